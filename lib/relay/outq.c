/* SPDX-License-Identifier: BSD-3-Clause */
/* The lanes of a destination's queue. */
#include "relay/outq.h"

static struct outq_senders *senders_of(const struct outq *queue, unsigned kind)
{
    return kind == FRAME_KIND_DATA && queue->senders
               ? (struct outq_senders *)(void *)queue->senders->data
               : NULL;
}

static void count_out(struct outq *queue, const struct frame *frame)
{
    queue->frames[frame->kind]--;
    queue->bytes[frame->kind] -= frame->size;
}

static void count_in(struct outq *queue, const struct frame *frame)
{
    if (frame->kind != FRAME_KIND_CONTROL &&
        (queue->frames[FRAME_KIND_DATA] + queue->frames[FRAME_KIND_DISCO] == 0 ||
         frame_is_older(frame, queue->oldest)))
        queue->oldest = frame->queued_at;
    queue->frames[frame->kind]++;
    queue->bytes[frame->kind] += frame->size;
}

static struct frame *lane_pop(struct outq *queue, unsigned kind)
{
    struct outq_senders *senders = senders_of(queue, kind);
    struct frame *frame = senders ? outq_senders_pop(senders) : frame_list_pop(&queue->lanes[kind]);

    if (frame)
        count_out(queue, frame);
    return frame;
}

/* What gives way. */
static struct frame *lane_drop(struct outq *queue, unsigned kind)
{
    struct outq_senders *senders = senders_of(queue, kind);
    struct frame *frame =
        senders ? outq_senders_drop(senders) : frame_list_pop(&queue->lanes[kind]);

    count_out(queue, frame);
    return frame;
}

/* Drops packets until the limits hold. */
static void trim(struct outq *queue, const struct outq_limits *limits, struct frame_list *dropped)
{
    const uint32_t *bytes = queue->bytes;

    while (queue->frames[FRAME_KIND_DISCO] > OUTQ_MAX_DISCO ||
           bytes[FRAME_KIND_DISCO] > limits->bytes / OUTQ_DISCO_SHARE)
        frame_list_push(dropped, lane_drop(queue, FRAME_KIND_DISCO));
    while (queue->frames[FRAME_KIND_DATA] > limits->frames ||
           (bytes[FRAME_KIND_DATA] > 0 &&
            bytes[FRAME_KIND_DATA] + bytes[FRAME_KIND_DISCO] > limits->bytes))
        frame_list_push(dropped, lane_drop(queue, FRAME_KIND_DATA));
}

void outq_push(struct outq *queue, const struct outq_limits *limits, struct frame *frame,
               struct frame_list *dropped)
{
    unsigned kind = frame->kind;
    struct outq_senders *senders = senders_of(queue, kind);

    if (kind == FRAME_KIND_CONTROL && queue->frames[kind] >= OUTQ_MAX_CONTROL) {
        frame_list_push(dropped, frame);
        return;
    }
    count_in(queue, frame);
    if (senders)
        outq_senders_push(senders, frame);
    else
        frame_list_push(&queue->lanes[kind], frame);
    trim(queue, limits, dropped);
}

void outq_push_front(struct outq *queue, const struct outq_limits *limits,
                     struct frame_list *frames, struct frame_list *dropped)
{
    struct frame_list back[FRAME_KINDS] = {0};
    struct frame *frame;

    while ((frame = frame_list_pop(frames))) {
        count_in(queue, frame);
        frame_list_push(&back[frame->kind], frame);
    }
    if (queue->senders)
        outq_senders_push_front(senders_of(queue, FRAME_KIND_DATA), &back[FRAME_KIND_DATA]);
    for (unsigned kind = 0; kind < FRAME_KINDS; kind++)
        frame_list_prepend(&queue->lanes[kind], &back[kind]);
    trim(queue, limits, dropped);
}

/* The lane of which the next frame is taken, given what a batch has of each. The queue is not
 * empty.
 */
static unsigned next_kind(const struct outq *queue, const uint32_t bytes[FRAME_KINDS])
{
    if (queue->frames[FRAME_KIND_CONTROL] > 0)
        return FRAME_KIND_CONTROL;
    if (queue->frames[FRAME_KIND_DISCO] == 0)
        return FRAME_KIND_DATA;
    if (queue->frames[FRAME_KIND_DATA] == 0)
        return FRAME_KIND_DISCO;
    uint32_t disco = bytes[FRAME_KIND_DISCO] + queue->lanes[FRAME_KIND_DISCO].head->size;
    return disco <= bytes[FRAME_KIND_DATA] + OUTQ_DISCO_AHEAD ? FRAME_KIND_DISCO : FRAME_KIND_DATA;
}

unsigned outq_pop(struct outq *queue, unsigned max_frames, uint32_t max_bytes,
                  struct frame_list *batch)
{
    uint32_t bytes[FRAME_KINDS] = {0}, sum = 0;
    unsigned count = 0;

    while (count < max_frames && sum < max_bytes && !outq_is_empty(queue)) {
        unsigned kind = next_kind(queue, bytes);
        struct frame *frame = lane_pop(queue, kind);
        if (!frame)
            break;
        bytes[kind] += frame->size;
        sum += frame->size;
        frame_list_push(batch, frame);
        count++;
    }
    return count;
}

/* A lane that is not sorted: the oldest are in front. */
static void expire_lane(struct outq *queue, unsigned kind, uint32_t before,
                        struct frame_list *expired)
{
    const struct frame_list *lane = &queue->lanes[kind];

    while (lane->head && frame_is_older(lane->head, before))
        frame_list_push(expired, frame_list_pop(&queue->lanes[kind]));
    if (lane->head && frame_is_older(lane->head, queue->oldest))
        queue->oldest = lane->head->queued_at;
}

void outq_expire(struct outq *queue, const struct outq_limits *limits, uint32_t now,
                 struct frame_list *expired)
{
    struct outq_senders *senders = senders_of(queue, FRAME_KIND_DATA);
    struct frame_list out = {0};
    struct frame *frame;

    if (limits->age_ms == 0 ||
        queue->frames[FRAME_KIND_DATA] + queue->frames[FRAME_KIND_DISCO] == 0 ||
        (int32_t)(now - queue->oldest) <= (int32_t)limits->age_ms)
        return;
    queue->oldest = now;
    expire_lane(queue, FRAME_KIND_DISCO, now - limits->age_ms, &out);
    expire_lane(queue, FRAME_KIND_DATA, now - limits->age_ms, &out);
    if (senders)
        outq_senders_expire(senders, now - limits->age_ms, &out, &queue->oldest);
    while ((frame = frame_list_pop(&out))) {
        count_out(queue, frame);
        frame_list_push(expired, frame);
    }
}

struct frame *outq_sort(struct outq *queue, struct frame *memory, uint64_t salt)
{
    struct frame *frame;

    if (!outq_wants_sorting(queue))
        return memory;
    queue->senders = memory;
    struct outq_senders *senders = senders_of(queue, FRAME_KIND_DATA);
    outq_senders_init(senders, salt);
    while ((frame = frame_list_pop(&queue->lanes[FRAME_KIND_DATA])))
        outq_senders_push(senders, frame);
    return NULL;
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
