/* SPDX-License-Identifier: BSD-3-Clause */
/* From a configuration to a relay that listens. */
#ifndef DAEMON_STARTUP_H
#define DAEMON_STARTUP_H

#include "access.h"
#include "flags.h"
#include "sockets.h"

/* Makes the relay with its key and its listeners, on sockets of the process before where there are
 * such, those with TLS with the certificate; access, which must outlive it, says who may join. What
 * went wrong has been logged. Returns STATUS_OK or the exit status; *out must be freed in each
 * case. */
int startup_relay(hyperderp_relay **out, const struct config *config, const struct flags *flags,
                  struct sockets *sockets, hyperderp_certificate *certificate,
                  struct access *access);

#endif
