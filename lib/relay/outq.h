/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What waits for one destination: a bounded queue in three lanes. The relay's own frames go first,
 * then disco, then data; disco never takes more than half of a batch while data waits. A full lane
 * of packets loses its oldest. Not locked: the sink that owns it does that.
 */
#ifndef RELAY_OUTQ_H
#define RELAY_OUTQ_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/frame_pool.h"

#define OUTQ_MAX_CONTROL 64
#define OUTQ_MAX_DISCO   128

/* The part of the bytes that disco may have, so that it never pushes data out by its mass. */
#define OUTQ_DISCO_SHARE 8

struct outq_limits {
    uint32_t frames; /* of data */
    uint32_t bytes;  /* of all packets */
};

struct outq {
    struct frame_list lanes[FRAME_KINDS];
    uint32_t frames[FRAME_KINDS];
    uint32_t bytes[FRAME_KINDS];
};

static inline bool outq_is_empty(const struct outq *queue)
{
    return !queue->lanes[FRAME_KIND_CONTROL].head && !queue->lanes[FRAME_KIND_DISCO].head &&
           !queue->lanes[FRAME_KIND_DATA].head;
}

/*
 * Appends a frame to its lane. Frames that must give way for it, the oldest first, are appended to
 * dropped; of the relay's own frames the new one gives way itself.
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

#endif
