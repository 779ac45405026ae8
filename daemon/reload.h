/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the configuration again, all or nothing. The main thread alone. */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "flags.h"
#include "renewal.h"
#include "status.h"
#include "web.h"

/* Reads file and command line into a configuration that is fit to run; otherwise every problem is
 * added. 0; -EINVAL; -ENOMEM. The config must be freed in each case. */
int configuration_read(struct config *config, const struct flags *flags, struct problems *problems);

/* The same, with the problems logged. */
int configuration_load(struct config *config, const struct flags *flags);

/* The limits among the configuration, as the library wants them. */
hyperderp_limits configuration_limits(const struct config *config);

/* On SIGHUP: what may change while the relay runs is applied to it, and to *config; what needs a
 * restart is named and left as it was. The log says both, and what was wrong. */
void reload(struct config *config, const struct flags *flags, struct status *status,
            struct web *web, struct renewal *renewal);

#endif
