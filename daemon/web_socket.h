/* SPDX-License-Identifier: BSD-3-Clause */
/* The listening socket of the web server. */
#ifndef DAEMON_WEB_SOCKET_H
#define DAEMON_WEB_SOCKET_H

#include <stddef.h>

/* Listens on "HOST:PORT", "[IPV6]:PORT" or ":PORT"; bound receives the address with the port that
 * the kernel chose for port 0. The socket or -errno. */
int web_socket_open(const char *address, char *bound, size_t room);

/* Writes the address that a socket is bound to. */
void web_socket_describe(int fd, char *out, size_t room);

#endif
