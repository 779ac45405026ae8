/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What waits for one destination: a bounded queue in three lanes. The relay's own frames go first,
 * then disco, then data; of what is sent while data waits, data is half. Packets that
 * have waited for too long are dropped. A full lane of disco loses its oldest, one of data the
 * oldest of a sender that has much in it. Not locked: the sink that owns it does that.
 */
#ifndef RELAY_OUTQ_H
#define RELAY_OUTQ_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/frame_pool.h"
#include "relay/outq_senders.h"

#define OUTQ_MAX_CONTROL 64
#define OUTQ_MAX_DISCO   128

/* The part of the bytes that disco may have, so that it never pushes data out by its mass. */
#define OUTQ_DISCO_SHARE 8

/* While data waits, disco has at most so many bytes more than data, at each point of a batch: some
 * pings pass at once, and yet data is half of whatever part of the batch the kernel takes. */
#define OUTQ_DISCO_AHEAD 1024

/* Frames of data that wait as they came; more are sorted by their senders. About what one batch
 * takes: of that nobody has to wait for another for long. */
#define OUTQ_UNSORTED 64

struct outq_limits {
    uint32_t frames; /* of data */
    uint32_t bytes;  /* of all packets */
    uint32_t age_ms; /* of packets; 0: as old as they will */
};

struct outq {
    struct frame_list lanes[FRAME_KINDS];
    uint32_t frames[FRAME_KINDS];
    uint32_t bytes[FRAME_KINDS];
    uint32_t oldest;       /* no packet began to wait before that: see frame_is_older() */
    struct frame *senders; /* NULL, or holds a struct outq_senders, where data then is */
};

static inline bool outq_is_empty(const struct outq *queue)
{
    return queue->frames[FRAME_KIND_CONTROL] + queue->frames[FRAME_KIND_DISCO] +
               queue->frames[FRAME_KIND_DATA] ==
           0;
}

/* Moves packets that are older than the limit to expired. To be called before packets are added or
 * taken; costs nothing while nothing is so old. */
void outq_expire(struct outq *queue, const struct outq_limits *limits, uint32_t now,
                 struct frame_list *expired);

/*
 * Appends a frame, whose queued_at is set, to its lane. Frames that must give way for it, the
 * oldest first, are appended to dropped; of the relay's own frames the new one gives way itself.
 */
void outq_push(struct outq *queue, const struct outq_limits *limits, struct frame *frame,
               struct frame_list *dropped);

/* Puts back in front what was taken but not sent, in its order, each frame into its lane. Older
 * than all that waits, it is also the first to give way. */
void outq_push_front(struct outq *queue, const struct outq_limits *limits,
                     struct frame_list *frames, struct frame_list *dropped);

/* Moves frames into batch, in the order to send them: at most max_frames, and no further one once
 * they have max_bytes. Returns their number. */
unsigned outq_pop(struct outq *queue, unsigned max_frames, uint32_t max_bytes,
                  struct frame_list *batch);

/* Moves everything into out. */
void outq_purge(struct outq *queue, struct frame_list *out);

/* Tells whether data should be sorted by its senders. That takes OUTQ_SENDERS_SIZE bytes, which
 * cannot be had while the queue is locked: outq_sort() is to be called with a frame that has them,
 * as soon as possible. It gives the frame back where it has no use for it any more. */
static inline bool outq_wants_sorting(const struct outq *queue)
{
    return queue->frames[FRAME_KIND_DATA] > OUTQ_UNSORTED && !queue->senders;
}

#define OUTQ_SENDERS_SIZE sizeof(struct outq_senders)

struct frame *outq_sort(struct outq *queue, struct frame *memory, uint64_t salt);

/* Gives back the memory for sorting, if it has any; the queue must be empty. */
static inline struct frame *outq_unsort(struct outq *queue)
{
    struct frame *memory = queue->senders;

    queue->senders = NULL;
    return memory;
}

#endif
