/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data of a queue that has become long, by its senders: each has a queue of its own, they are
 * served in turn by bytes (deficit round robin), and when there is no room one that has at least
 * the mean share of all gives its oldest frame. So a sender that asks for less than its share gets
 * all of it, whatever others send. Order per sender is kept.
 *
 * A sender is told by the first eight bytes of its key, which stands at the same place in
 * RecvPacket and ForwardPacket: nobody finds a second key with the same ones. Senders beyond
 * OUTQ_SENDERS that wait at once share a queue.
 *
 * It lies in a frame of the pool, so that a destination that is not flooded has none. Not locked.
 */
#ifndef RELAY_OUTQ_SENDERS_H
#define RELAY_OUTQ_SENDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/frame_pool.h"

#define OUTQ_SENDERS        192
#define OUTQ_SENDER_BUCKETS 256

/* What a frame weighs: its bytes, in units that let the largest queue be counted, and something for
 * itself, as small ones also take their share of the queue. */
#define OUTQ_WEIGHT(size) ((size) / 64 + 16)

/* What one sender may send before it is the next one's turn: 4 KiB. */
#define OUTQ_QUANTUM 64

struct outq_sender {
    struct frame_list frames;
    uint64_t id;
    uint32_t weight;    /* of its frames */
    int32_t credit;     /* what it may send in this turn; below 0: has sent too much */
    uint8_t chained;    /* the next one in its bucket, or of those that are free */
    uint8_t next, prev; /* in the ring of those that have frames */
};

struct outq_senders {
    uint64_t weight; /* of all frames */
    unsigned active; /* in the ring */
    uint8_t current; /* whose turn it is */
    uint8_t victim;  /* who gives way, if it has enough */
    uint8_t free;    /* the first of those that are free */
    uint64_t salt;   /* clients choose their keys, but not their buckets */
    uint8_t buckets[OUTQ_SENDER_BUCKETS];
    struct outq_sender sender[OUTQ_SENDERS]; /* the first one is shared */
};

void outq_senders_init(struct outq_senders *senders, uint64_t salt);

/* Appends a frame to what its sender has. */
void outq_senders_push(struct outq_senders *senders, struct frame *frame);

/* Puts frames, in their order, in front of what their senders have. */
void outq_senders_push_front(struct outq_senders *senders, struct frame_list *frames);

/* The next frame to send; NULL when there is none. */
struct frame *outq_senders_pop(struct outq_senders *senders);

/* The frame that gives way. There must be one. */
struct frame *outq_senders_drop(struct outq_senders *senders);

/* Moves frames that were queued before that time to out. The stamp of the oldest one that is left
 * goes to oldest, if it is older than that. */
void outq_senders_expire(struct outq_senders *senders, uint32_t before, struct frame_list *out,
                         uint32_t *oldest);

#endif
