/* SPDX-License-Identifier: BSD-3-Clause */
/* Listening sockets: from an address text to a socket, and back. */
#ifndef RELAY_LISTENER_H
#define RELAY_LISTENER_H

#include <stddef.h>
#include <sys/socket.h>

#include <hyperderp/relay.h>

#include "relay/log.h"

#define LISTENER_ADDRESS_SIZE 64 /* "[" IPv6 "%" interface "]:" port */

struct listener {
    int fd; /* -1 once it is closed; owned by the worker that accepts from it while that runs */
    char address[LISTENER_ADDRESS_SIZE];
};

/* Opens a listener, or takes over the caller's socket. 0 or -errno, as the public function says;
 * the log gets the reason. user_timeout_ms is what TCP may wait for the acknowledgement of what was
 * sent. */
int listener_open(struct listener *listener, const hyperderp_listener_options *options,
                  unsigned user_timeout_ms, const struct log *log);
void listener_close(struct listener *listener);

/* Writes "192.0.2.1:443" or "[2001:db8::1]:443"; "unix" or "unknown" for others. */
void listener_format_address(const struct sockaddr *address, char out[LISTENER_ADDRESS_SIZE]);

#endif
