/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listeners behind a proxy: each connection begins with a header of the PROXY protocol
 * (wire/proxy.h), which says whom it comes from. Such a header is believed, so only those may
 * connect that are trusted to send one, and they must.
 */
#ifndef RELAY_PROXIED_H
#define RELAY_PROXIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hyperderp/relay.h>

#include "relay/conn.h"
#include "relay/endpoint.h"
#include "relay/log.h"

struct listener;

/* Sets a listener up as its options say, whose socket is one of the file system or not. 0, -ENOMEM,
 * or -EINVAL for a network that is none, or for nobody to trust; the log gets the reason. */
int proxied_set_up(struct listener *listener, const hyperderp_listener_options *options,
                   bool is_unix, const struct log *log);
void proxied_free(struct listener *listener);

/* Whether a peer of the listener's may send a header. Over a socket of the file system everybody
 * may: its mode says who can connect. */
bool proxied_trusts(const struct listener *listener, const struct endpoint *peer);

/* Reads the header, in CONN_PROXY; what follows it is left to the next state. Returns the bytes
 * used. */
size_t proxied_input(struct conn *conn, const uint8_t *bytes, size_t len);

#endif
