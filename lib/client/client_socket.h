/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A blocking DERP client over TCP, for tests and tools. One thread at a time. Every timeout_ms
 * bounds the whole call (but for the look-up of a name, which the system's resolver bounds);
 * negative: no bound.
 */
#ifndef CLIENT_CLIENT_SOCKET_H
#define CLIENT_CLIENT_SOCKET_H

#include "client/client.h"

struct client_socket;

/* Connects to "HOST:PORT" or "[IPV6]:PORT" and returns once the handshake is done (ServerInfo
 * received). options->host may be NULL: address is used. 0; -EINVAL for an address of another form;
 * -ENOENT for a name that does not resolve; -ETIMEDOUT; -ECONNREFUSED, also when the answer is not
 * a 101; -EPIPE, -EPROTO, or what connect() said. *out is NULL on error. */
int client_socket_connect(struct client_socket **out, const char *address,
                          const struct client_options *options, int timeout_ms);
void client_socket_close(struct client_socket *socket); /* NULL is allowed */

int client_socket_fd(const struct client_socket *socket);
const hyperderp_key *client_socket_key(const struct client_socket *socket);

/* Sends all of it. 0; -EPIPE, -ECONNRESET, -ETIMEDOUT, -EMSGSIZE. When the time runs out in the
 * middle of it the stream is cut inside a frame: whatever is sent after that is -EPIPE. */
int client_socket_send(struct client_socket *socket, const hyperderp_key *to, const void *packet,
                       size_t len, int timeout_ms);
int client_socket_send_raw(struct client_socket *socket, const void *bytes, size_t len,
                           int timeout_ms);

/* Waits for the next message (never CLIENT_MESSAGE_NONE or _SEND_INFO). The message is valid until
 * the next call. 0; -ETIMEDOUT; -ECONNRESET, 0-byte end of stream as -EPIPE; -EPROTO. */
int client_socket_recv(struct client_socket *socket, struct client_message *message,
                       int timeout_ms);

#endif
