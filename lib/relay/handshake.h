/* SPDX-License-Identifier: BSD-3-Clause */
/* From the first byte of a connection to its admission: the HTTP request, ServerKey, ClientInfo. */
#ifndef RELAY_HANDSHAKE_H
#define RELAY_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

#include "relay/conn.h"

/* Reads the request head; what follows it is left to the next state. Returns the bytes used. */
size_t handshake_http(struct conn *conn, const uint8_t *bytes, size_t len);

/* Opens a ClientInfo payload and asks admit(). */
void handshake_client_info(struct conn *conn, const uint8_t *payload, size_t len);

/* Keeps bytes that came together with ClientInfo until admit() has answered. Returns the bytes
 * used. */
size_t handshake_hold(struct conn *conn, const uint8_t *bytes, size_t len);

/* The answer to the question whether the client may join. */
void handshake_decided(struct conn *conn, hyperderp_verdict verdict);

/* The answer is no, and the client is told why. */
void handshake_denied(struct conn *conn, const char *reason);

#endif
