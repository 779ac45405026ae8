/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker that drains a sink: collects frames for it, sends them in one go, keeps what the socket
 * did not take, waits for room, and goes on until nothing is left. Belongs to the thread of its
 * worker; the sink's queue is taken from under the sink's lock. Short sends never let frames
 * overlap: the rest of a frame goes out before anything else does.
 */
#ifndef RELAY_DRAINER_H
#define RELAY_DRAINER_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "io/chunk.h"
#include "io/timer.h"
#include "relay/frame_pool.h"
#include "wire/frame.h"

/* What one send takes: pieces of memory, and bytes after which no further piece is added. */
#define DRAINER_PIECES 64
#define DRAINER_BYTES  65536
/* The same for what is sealed, once the socket has been full: nothing passes what is sealed, so
 * that pings would wait for it. Two records. */
#define DRAINER_NARROW 32768
#define DRAINER_MAX    (DRAINER_BYTES - 1 + FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET)

struct sink;
struct worker;

enum drainer_phase {
    DRAINER_STAGING, /* collects frames of this turn; sent at its end */
    DRAINER_LOADED,  /* holds a batch from the queue, to be sent at the end of a turn */
    DRAINER_SENDING, /* the kernel has the batch */
    DRAINER_WAITING, /* the socket was full: holds nothing, waits for room */
    DRAINER_UNARMED, /* as WAITING, but the engine could not take the request yet */
};

struct drainer_piece {
    struct io_chunk *chunk; /* whole RecvPacket frames in a receive chunk, or NULL: */
    struct frame *frame;    /* a frame of the pool */
};

struct drainer {
    struct worker *worker;
    struct sink *sink; /* a reference */
    enum drainer_phase phase;
    uint32_t slot, generation;
    struct drainer *next; /* in the worker's list of what to flush, or of free ones */
    int unacknowledged;   /* bytes that TCP had not got through at the last look */
    int64_t taken_at;     /* when the receiver was last seen to take something */
    struct timer stall;   /* runs while it waits */
    unsigned pieces;
    unsigned packets; /* in all pieces */
    size_t bytes;     /* in all pieces */
    bool sealed;      /* the pieces are records of TLS, or parts of WebSocket messages */
    bool narrow;      /* the socket has been full */
    struct msghdr message;
    struct iovec iov[DRAINER_PIECES];
    struct drainer_piece piece[DRAINER_PIECES];
};

/* Makes a drainer that is staging, and notes it for the end of the turn. Called under the sink's
 * lock. NULL when memory is out. */
struct drainer *drainer_new(struct worker *worker, struct sink *sink);

/* Adds a frame of the pool, whose ownership passes. Returns false when the batch is full. */
bool drainer_add_frame(struct drainer *drainer, struct frame *frame);

/* The same however many bytes the batch has; there must be room for a piece. */
void drainer_load_frame(struct drainer *drainer, struct frame *frame);

/* Gives back what the batch holds, which then is empty. */
void drainer_release_batch(struct drainer *drainer);

/* The size and kind of a frame of our own making, whose header can be believed. */
size_t drainer_frame_size(const uint8_t *bytes);
enum frame_kind drainer_frame_kind(const uint8_t *bytes, size_t size);

/* Adds a whole RecvPacket frame in a chunk, to which it takes a reference. False when the batch is
 * full. */
bool drainer_add_chunk(struct drainer *drainer, struct io_chunk *chunk, uint8_t *bytes,
                       size_t size);

/* Sends what the worker's drainers hold: the end of a turn. */
void drainers_flush(struct worker *worker);

/* Completions of the kernel. */
void drainer_sent(struct drainer *drainer, int result);
void drainer_writable(struct drainer *drainer);

/* Frees the memory that the worker keeps for drainers to come. */
void drainers_destroy(struct worker *worker);

#endif
