/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a connection comes from, as short as can be: each connection keeps it, in its sink. It is
 * asked of the kernel once, when the connection is accepted; behind a proxy its header changes it
 * (proxied.h). Nobody else asks the socket.
 */
#ifndef RELAY_ENDPOINT_H
#define RELAY_ENDPOINT_H

#include <stdint.h>
#include <sys/socket.h>

enum endpoint_kind {
    ENDPOINT_UNKNOWN,
    ENDPOINT_IP,
    ENDPOINT_UNIX,  /* a socket of this machine's file system */
    ENDPOINT_LOCAL, /* this program */
};

struct endpoint {
    uint8_t ip[16]; /* IPv4 as IPv6 maps it */
    uint16_t port;
    uint8_t kind; /* enum endpoint_kind */
};

#define ENDPOINT_TEXT_SIZE 64

struct endpoint endpoint_read(const struct sockaddr *address);

/* Asks the kernel for a socket's peer. */
struct endpoint endpoint_of_peer(int fd);

/* Writes "192.0.2.1:443" or "[2001:db8::1]:443"; "unix", "local" or "unknown" for others. */
void endpoint_format(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_SIZE]);

#endif
