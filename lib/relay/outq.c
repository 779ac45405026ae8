/* SPDX-License-Identifier: BSD-3-Clause */
/* The lanes of a destination's queue. */
#include "relay/outq.h"

static struct frame *lane_pop(struct outq *queue, unsigned kind)
{
    struct frame *frame = frame_list_pop(&queue->lanes[kind]);
    if (frame) {
        queue->frames[kind]--;
        queue->bytes[kind] -= frame->size;
    }
    return frame;
}

/* Drops the oldest packets until the limits hold. */
static void trim(struct outq *queue, const struct outq_limits *limits, struct frame_list *dropped)
{
    const uint32_t *bytes = queue->bytes;

    while (queue->frames[FRAME_KIND_DISCO] > OUTQ_MAX_DISCO ||
           bytes[FRAME_KIND_DISCO] > limits->bytes / OUTQ_DISCO_SHARE)
        frame_list_push(dropped, lane_pop(queue, FRAME_KIND_DISCO));
    while (queue->frames[FRAME_KIND_DATA] > limits->frames ||
           (bytes[FRAME_KIND_DATA] > 0 &&
            bytes[FRAME_KIND_DATA] + bytes[FRAME_KIND_DISCO] > limits->bytes))
        frame_list_push(dropped, lane_pop(queue, FRAME_KIND_DATA));
}

void outq_push(struct outq *queue, const struct outq_limits *limits, struct frame *frame,
               struct frame_list *dropped)
{
    unsigned kind = frame->kind;

    if (kind == FRAME_KIND_CONTROL && queue->frames[kind] >= OUTQ_MAX_CONTROL) {
        frame_list_push(dropped, frame);
        return;
    }
    frame_list_push(&queue->lanes[kind], frame);
    queue->frames[kind]++;
    queue->bytes[kind] += frame->size;
    trim(queue, limits, dropped);
}

void outq_push_front(struct outq *queue, const struct outq_limits *limits,
                     struct frame_list *frames, struct frame_list *dropped)
{
    struct frame_list back[FRAME_KINDS] = {0};
    struct frame *frame;

    while ((frame = frame_list_pop(frames))) {
        queue->frames[frame->kind]++;
        queue->bytes[frame->kind] += frame->size;
        frame_list_push(&back[frame->kind], frame);
    }
    for (unsigned kind = 0; kind < FRAME_KINDS; kind++)
        frame_list_prepend(&queue->lanes[kind], &back[kind]);
    trim(queue, limits, dropped);
}

static unsigned pop_lane(struct outq *queue, unsigned kind, unsigned max_frames, uint32_t max_bytes,
                         uint32_t *bytes, struct frame_list *batch)
{
    unsigned count = 0;

    while (count < max_frames && *bytes < max_bytes && queue->lanes[kind].head) {
        struct frame *frame = lane_pop(queue, kind);
        *bytes += frame->size;
        frame_list_push(batch, frame);
        count++;
    }
    return count;
}

unsigned outq_pop(struct outq *queue, unsigned max_frames, uint32_t max_bytes,
                  struct frame_list *batch)
{
    /* While data waits, disco gets half of what the relay's own frames leave. */
    unsigned share = queue->lanes[FRAME_KIND_DATA].head ? 2 : 1;
    uint32_t bytes = 0;
    unsigned count = pop_lane(queue, FRAME_KIND_CONTROL, max_frames, max_bytes, &bytes, batch);

    count += pop_lane(queue, FRAME_KIND_DISCO, (max_frames - count) / share, max_bytes / share,
                      &bytes, batch);
    count += pop_lane(queue, FRAME_KIND_DATA, max_frames - count, max_bytes, &bytes, batch);
    count += pop_lane(queue, FRAME_KIND_DISCO, max_frames - count, max_bytes, &bytes, batch);
    return count;
}

void outq_purge(struct outq *queue, struct frame_list *out)
{
    static const unsigned order[FRAME_KINDS] = {FRAME_KIND_CONTROL, FRAME_KIND_DISCO,
                                                FRAME_KIND_DATA};
    struct frame *frame;

    for (unsigned i = 0; i < FRAME_KINDS; i++)
        while ((frame = lane_pop(queue, order[i])))
            frame_list_push(out, frame);
}
