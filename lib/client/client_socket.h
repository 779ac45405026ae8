/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A blocking DERP client over TCP or TLS, for this tree's tests and tools: hyperderp/client.h's,
 * with what breaks the rules (raw bytes, records, alerts) and without its limits. One thread at a
 * time. Every timeout_ms bounds the whole call (but for the look-up of a name, which the system's
 * resolver bounds); negative: no bound.
 */
#ifndef CLIENT_CLIENT_SOCKET_H
#define CLIENT_CLIENT_SOCKET_H

#include "client/client.h"
#include "client/stream.h"

struct client_socket;

/* Connects to "HOST:PORT" or "[IPV6]:PORT" and returns once the handshake is done (ServerInfo
 * received). options->host may be NULL: address is used. 0; -EINVAL for an address of another form;
 * -ENOENT for a name that does not resolve; -ETIMEDOUT; -ECONNREFUSED, also when the answer is not
 * a 101; -EPIPE, -EPROTO, or what connect() said. *out is NULL on error. */
int client_socket_connect(struct client_socket **out, const char *address,
                          const struct client_options *options, int timeout_ms);

/* The same over TLS; tls NULL: plain. With options->fast_start and a server_key of zeros the key in
 * the relay's certificate chain is used. Besides: -EPROTO when TLS fails, tls->fault says why;
 * -ENOKEY when the chain tells no key; -ECONNABORTED for an alert behind the handshake. */
int client_socket_connect_tls(struct client_socket **out, const char *address,
                              const struct client_options *options,
                              const struct client_tls_options *tls, int timeout_ms);

/* The same over a connected socket of the caller's, which it takes over in any case; address only
 * names the relay. What the relay wants to hear first has been said. */
int client_socket_connect_over(struct client_socket **out, int fd, const char *address,
                               const struct client_options *options,
                               const struct client_tls_options *tls, int timeout_ms);

/* Closes it; of TLS with close_notify, if the socket takes that at once. NULL is allowed. */
void client_socket_close(struct client_socket *socket);

int client_socket_fd(const struct client_socket *socket);
const hyperderp_key *client_socket_key(const struct client_socket *socket);
const hyperderp_key *client_socket_relay_key(const struct client_socket *socket);

/* Sends all of it. 0; -EPIPE, -ECONNRESET, -ETIMEDOUT, -EMSGSIZE. When the time runs out in the
 * middle of it the stream is cut inside a frame: whatever is sent after that is -EPIPE. */
int client_socket_send(struct client_socket *socket, const hyperderp_key *to, const void *packet,
                       size_t len, int timeout_ms);
int client_socket_send_raw(struct client_socket *socket, const void *bytes, size_t len,
                           int timeout_ms);

/* Waits for the next message (never CLIENT_MESSAGE_NONE or _SEND_INFO). The message is valid until
 * the next call. 0; -ETIMEDOUT; -ECONNRESET, end of stream as -EPIPE, with or without close_notify;
 * -ECONNABORTED for an alert; -EPROTO. */
int client_socket_recv(struct client_socket *socket, struct client_message *message,
                       int timeout_ms);

/* ---- Of TLS alone: the functions that send are -EINVAL on a plain connection ---- */

/* The cipher suite's name; NULL on a plain connection. */
const char *client_socket_suite(const struct client_socket *socket);

/* The name of the alert that ended what is received, "close_notify" for example: the relay's, or,
 * behind an -EPROTO, ours. NULL when there was none. */
const char *client_socket_alert(const struct client_socket *socket);

/* Sends bytes as one record of this type, at most TLS_MAX_PLAINTEXT of them; what they say is the
 * caller's affair. The record is written in parts of `part` bytes each; 0: at once. */
int client_socket_send_record(struct client_socket *socket, enum tls_content type,
                              const void *bytes, size_t len, size_t part, int timeout_ms);

/* Sends a KeyUpdate and goes on with the new key; `request` asks the relay for one in return. */
int client_socket_send_key_update(struct client_socket *socket, bool request, int timeout_ms);

/* Sends an alert; TLS_ALERT_CLOSE_NOTIFY says that nothing more will be sent. */
int client_socket_send_alert(struct client_socket *socket, enum tls_alert alert, int timeout_ms);

/* Sends bytes past TLS, sealed by nobody. Also on a plain connection. */
int client_socket_send_unsealed(struct client_socket *socket, const void *bytes, size_t len,
                                int timeout_ms);

#endif
