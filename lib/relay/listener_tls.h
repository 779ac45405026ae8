/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners that speak TLS: their certificates. */
#ifndef RELAY_LISTENER_TLS_H
#define RELAY_LISTENER_TLS_H

#include <hyperderp/relay.h>

#include "relay/relay.h"

/* Makes what a listener with these options needs for TLS; *out is NULL for one without. 0; -EINVAL,
 * -ENOMEM, -EOPNOTSUPP as hyperderp_relay_add_listener(). */
int listener_tls_make(struct tls_server **out, hyperderp_relay *relay,
                      const hyperderp_listener_options *options);

#endif
