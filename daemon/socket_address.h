/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets that somebody else has opened, and the addresses of the configuration. */
#ifndef DAEMON_SOCKET_ADDRESS_H
#define DAEMON_SOCKET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a socket is of this type, listens if it is for connections, and is bound to what an
 * address of the configuration says: "HOST:PORT", "[IPV6]:PORT", ":PORT", "unix:/PATH" whose file
 * is still there. Any port will do where the address has port 0. */
bool socket_address_matches(int fd, int type, const char *address);

/* Whether the kernel shall choose the port. */
bool socket_address_has_any_port(const char *address);

/* Writes what a socket is, for its name in a store: "tcp.127.0.0.1.443". */
void socket_address_name(int fd, char *out, size_t room);

#endif
