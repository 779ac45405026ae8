/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues of senders: who is where, whose turn it is, and who gives way. */
#include "relay/outq_senders.h"

#include <string.h>

#include "wire/frame.h"

/* The sender of those for which there was no room. It is in no bucket: also the end of chains. */
#define SHARED 0

_Static_assert(OUTQ_SENDERS <= UINT8_MAX, "indices are bytes");

void outq_senders_init(struct outq_senders *senders, uint64_t salt)
{
    memset(senders, 0, sizeof(*senders));
    senders->salt = salt;
    senders->free = 1;
    for (unsigned i = 1; i + 1 < OUTQ_SENDERS; i++)
        senders->sender[i].chained = (uint8_t)(i + 1);
}

static uint64_t id_of(const struct frame *frame)
{
    uint64_t id = 0;

    if (frame->size >= FRAME_HEADER_SIZE + sizeof(id))
        memcpy(&id, frame->data + FRAME_HEADER_SIZE, sizeof(id));
    return id;
}

static uint32_t weight_of(const struct frame *frame)
{
    return OUTQ_WEIGHT(frame->size);
}

static uint8_t *bucket_of(struct outq_senders *senders, uint64_t id)
{
    return &senders->buckets[((id ^ senders->salt) * 0x9e3779b97f4a7c15u) >> 56];
}

static bool is_active(const struct outq_sender *sender)
{
    return sender->frames.head != NULL;
}

/* Enters the ring as the last one to have its turn. */
static void join(struct outq_senders *senders, uint8_t index)
{
    struct outq_sender *all = senders->sender, *sender = &all[index];

    if (senders->active++ == 0) {
        senders->current = senders->victim = sender->next = sender->prev = index;
    } else {
        sender->next = senders->current;
        sender->prev = all[senders->current].prev;
        all[sender->prev].next = all[sender->next].prev = index;
    }
    sender->credit = OUTQ_QUANTUM;
}

/* Leaves the ring, and its place, as it has no frames. */
static void leave(struct outq_senders *senders, uint8_t index)
{
    struct outq_sender *all = senders->sender, *sender = &all[index];

    senders->active--;
    all[sender->prev].next = sender->next;
    all[sender->next].prev = sender->prev;
    if (senders->current == index)
        senders->current = sender->next;
    if (senders->victim == index)
        senders->victim = sender->next;
    if (index == SHARED)
        return;
    uint8_t *at = bucket_of(senders, sender->id);
    while (*at != index)
        at = &all[*at].chained;
    *at = sender->chained;
    sender->chained = senders->free;
    senders->free = index;
}

/*
 * The place of a frame's sender. One that has none gets none either while others share one: what
 * it has there must not be overtaken.
 */
static uint8_t place_of(struct outq_senders *senders, const struct frame *frame)
{
    struct outq_sender *all = senders->sender;
    uint64_t id = id_of(frame);
    uint8_t *bucket = bucket_of(senders, id), index = *bucket;

    while (index != SHARED && all[index].id != id)
        index = all[index].chained;
    if (index != SHARED || is_active(&all[SHARED]) || senders->free == SHARED)
        return index;
    index = senders->free;
    senders->free = all[index].chained;
    all[index].id = id;
    all[index].chained = *bucket;
    *bucket = index;
    return index;
}

static struct outq_sender *add(struct outq_senders *senders, const struct frame *frame)
{
    uint8_t index = place_of(senders, frame);
    struct outq_sender *sender = &senders->sender[index];

    if (!is_active(sender))
        join(senders, index);
    sender->weight += weight_of(frame);
    senders->weight += weight_of(frame);
    if (sender->weight > senders->sender[senders->victim].weight)
        senders->victim = index;
    return sender;
}

static struct frame *take(struct outq_senders *senders, uint8_t index)
{
    struct outq_sender *sender = &senders->sender[index];
    struct frame *frame = frame_list_pop(&sender->frames);

    sender->weight -= weight_of(frame);
    senders->weight -= weight_of(frame);
    if (!is_active(sender))
        leave(senders, index);
    return frame;
}

void outq_senders_push(struct outq_senders *senders, struct frame *frame)
{
    frame_list_push(&add(senders, frame)->frames, frame);
}

void outq_senders_push_front(struct outq_senders *senders, struct frame_list *frames)
{
    struct frame *frame, *backwards = NULL;

    while ((frame = frame_list_pop(frames))) {
        frame->next = backwards;
        backwards = frame;
    }
    while ((frame = backwards)) {
        backwards = frame->next;
        struct outq_sender *sender = add(senders, frame);
        struct frame_list front = {0};
        frame_list_push(&front, frame);
        frame_list_prepend(&sender->frames, &front);
        /* It was charged for it. */
        int64_t credit = (int64_t)sender->credit + weight_of(frame);
        sender->credit = credit < OUTQ_QUANTUM ? (int32_t)credit : OUTQ_QUANTUM;
    }
}

struct frame *outq_senders_pop(struct outq_senders *senders)
{
    if (senders->active == 0)
        return NULL;
    for (;;) {
        uint8_t index = senders->current;
        struct outq_sender *sender = &senders->sender[index];
        if (sender->credit > 0) {
            sender->credit -= (int32_t)weight_of(sender->frames.head);
            return take(senders, index);
        }
        sender->credit += OUTQ_QUANTUM;
        senders->current = sender->next;
    }
}

/* The search ends, as somebody has at least the mean; and goes on where it ended, so that it is
 * short. */
struct frame *outq_senders_drop(struct outq_senders *senders)
{
    const struct outq_sender *all = senders->sender;

    while ((uint64_t)all[senders->victim].weight * senders->active < senders->weight)
        senders->victim = all[senders->victim].next;
    return take(senders, senders->victim);
}

void outq_senders_expire(struct outq_senders *senders, uint32_t before, struct frame_list *out,
                         uint32_t *oldest)
{
    uint8_t index = senders->current;

    for (unsigned left = senders->active; left > 0; left--) {
        struct outq_sender *sender = &senders->sender[index];
        uint8_t next = sender->next;
        while (is_active(sender) && frame_is_older(sender->frames.head, before))
            frame_list_push(out, take(senders, index));
        if (is_active(sender) && frame_is_older(sender->frames.head, *oldest))
            *oldest = sender->frames.head->queued_at;
        index = next;
    }
}
