/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * WebSocket under the receiving half of a connection, above TLS: messages come in, and what is in
 * them goes on as the stream of bytes that a client without WebSocket sends. The sending half is
 * websocket_batch.h. Owned by the conn's worker.
 *
 * Content is unmasked where it lies in the receive chunk and goes on from there. A connection holds
 * a reader (4.4 KiB) only while a frame is half received.
 */
#ifndef RELAY_WEBSOCKET_H
#define RELAY_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/chunk.h"
#include "relay/conn.h"
#include "wire/websocket.h"

struct websocket {
    struct websocket_stream stream;
    struct websocket_reader *reader; /* of the frame that is half received, or NULL */
};

/* From now on the connection's bytes are WebSocket's, both ways. False without memory. */
bool websocket_begin(struct conn *conn);

/* Takes bytes that the client has sent, which lie in a chunk (or, with chunk NULL, elsewhere). */
void websocket_input(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len);

/* The connection is closed at once, for this reason: the Close frame will tell. Nothing to do
 * without WebSocket. */
void websocket_end(struct conn *conn, enum conn_end end);

/* Frees it with its connection. */
void websocket_free(struct conn *conn);

/* Tells whether a frame is half received. */
static inline bool websocket_is_waiting(const struct websocket *websocket)
{
    return websocket && websocket->reader;
}

#endif
