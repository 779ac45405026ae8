/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a relay sends in WebSocket messages: a drainer's batch with their headers in it, and control
 * frames. Messages hold what comes next of the stream, wherever a frame of DERP ends. wslay writes
 * all of it.
 */
#ifndef RELAY_WEBSOCKET_BATCH_H
#define RELAY_WEBSOCKET_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "relay/drainer.h"
#include "tls/record.h"
#include "wire/websocket.h"

struct frame;
struct websocket_writer;
struct worker;

#define WEBSOCKET_CLOSE_SIZE 4
#define WEBSOCKET_PONG_SIZE  (2 + WEBSOCKET_MAX_CONTROL) /* at most */

/*
 * Bytes of a message: with its header it fills a record of TLS. Tailscale's client in a browser
 * takes no message above 32 KiB.
 */
#define WEBSOCKET_MESSAGE (TLS_MAX_PLAINTEXT - WEBSOCKET_MAX_HEADER)

/* Of a batch: what goes out bare ends a message, as does its size. */
#define WEBSOCKET_MESSAGES (DRAINER_PIECES + DRAINER_MAX / WEBSOCKET_MESSAGE)
#define WEBSOCKET_SLICES   (DRAINER_PIECES + 2 * WEBSOCKET_MESSAGES)

struct websocket_header {
    size_t at; /* it is in front of this byte of the drainer's batch */
    size_t size;
    uint8_t bytes[WEBSOCKET_MAX_HEADER];
};

/* The bytes of a batch with the headers between them, in their order. */
struct websocket_batch {
    struct iovec iov[WEBSOCKET_SLICES];
    unsigned slices;
    unsigned headers;
    size_t bytes;
    struct websocket_header header[WEBSOCKET_MESSAGES];
};

/* Puts what is to be in messages into them. The result points into itself, and into the drainer's
 * pieces. False without memory. */
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
