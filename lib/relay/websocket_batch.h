/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a relay sends in WebSocket messages: a drainer's batch with their headers between its
 * pieces, and control frames. One message holds as much as a batch has, whatever frames of DERP
 * that is. wslay writes all of it.
 */
#ifndef RELAY_WEBSOCKET_BATCH_H
#define RELAY_WEBSOCKET_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "relay/drainer.h"
#include "wire/websocket.h"

struct frame;
struct websocket_writer;
struct worker;

#define WEBSOCKET_CLOSE_SIZE 4
#define WEBSOCKET_PONG_SIZE  (2 + WEBSOCKET_MAX_CONTROL) /* at most */

/* The bytes of a batch, in their order. */
struct websocket_batch {
    struct iovec iov[2 * DRAINER_PIECES];
    unsigned count;
    size_t bytes;
    uint8_t heads[DRAINER_PIECES]; /* bytes of a header that is in front of each piece */
    uint8_t header[DRAINER_PIECES][WEBSOCKET_MAX_HEADER];
};

/* Puts headers in front of the pieces that are to be in messages. The result points into it, and
 * into the drainer's pieces. False without memory. */
bool websocket_wrap(const struct drainer *drainer, struct websocket_batch *out)
    __attribute__((warn_unused_result));

/* Write a control frame; its size, or 0 without memory. */
size_t websocket_close(struct worker *worker, uint16_t code, uint8_t out[WEBSOCKET_CLOSE_SIZE]);
size_t websocket_pong(struct worker *worker, const uint8_t *payload, size_t len,
                      uint8_t out[WEBSOCKET_PONG_SIZE]);

/* The same as a frame to be sent. NULL without memory. */
struct frame *websocket_close_frame(struct worker *worker, uint16_t code);

/* Frees what a worker keeps for that. NULL is allowed. */
void websocket_writer_free(struct websocket_writer *writer);

#endif
