/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames that wait: right-sized buffers for what cannot go out at once, or has come in only by
 * half. Each worker keeps some free ones; a depot that all share evens out that frames are taken by
 * the sender's worker and given back by the receiver's. The bytes in use in the whole relay have a
 * bound.
 */
#ifndef RELAY_FRAME_POOL_H
#define RELAY_FRAME_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/counters.h"

enum frame_kind {
    FRAME_KIND_DATA = HYPERDERP_PACKET_DATA,
    FRAME_KIND_DISCO = HYPERDERP_PACKET_DISCO,
    FRAME_KIND_CONTROL, /* the relay's own: answers, KeepAlive, PeerGone */
};

/* What a frame is wanted for. Of the bytes that may be in use, some are kept back for those who
 * come later here: however much waits for slow receivers, packets still come in; however much has
 * come in by half, clients still get their answers. */
enum frame_use {
    FRAME_USE_WAITING,  /* a packet that has to wait: six eighths */
    FRAME_USE_INCOMING, /* the head or frame that is half received: seven eighths */
    FRAME_USE_CONTROL,  /* the relay's own frames, and what is left of one half sent: all */
    FRAME_USE_PASSING,  /* sent in the same turn: not counted, as there are few at a time */
};

#define FRAME_KINDS   3
#define FRAME_CLASSES 6

struct frame {
    struct frame *next;
    uint32_t size;        /* bytes in data */
    uint32_t sent;        /* of them, bytes that the kernel has taken */
    uint8_t size_class;   /* fixed */
    uint8_t kind;         /* enum frame_kind */
    uint16_t from_worker; /* whose client sent it */
    bool counted;         /* against the bound */
    bool sealed;          /* a TLS record, or a part of WebSocket messages: goes out as it is, in
                             its order; of the kind control, whatever it holds */
    bool bare;            /* never a part of a WebSocket message */
    union {
        /* In a sealed one: the packets that end in it, by kind and whether their sender is another
         * worker's than the destination. */
        uint16_t packets[HYPERDERP_PACKET_KINDS][2];
        /* In any other: when it began to wait, in milliseconds of a clock that may wrap. */
        uint32_t queued_at;
    };
    uint8_t data[];
};

/* Frames in a chain; the last one's next is NULL. */
struct frame_list {
    struct frame *head, *tail;
};

/* Shared by the workers of a relay. */
struct frame_depot {
    /* Relaxed: a bound and a gauge, they order nothing. Bytes in use, in the whole relay. */
    _Atomic size_t limit;
    _Atomic size_t used;

    pthread_mutex_t lock; /* guards what follows; a leaf: nothing is locked under it */
    struct frame
        *batches[FRAME_CLASSES]; /* chains of FRAME_BATCH frames, linked by their first's data */
    /* Read without the lock too, relaxed: who finds none there need not wait for it. */
    atomic_uint batch_count[FRAME_CLASSES];
};

/* Owned by one worker. */
struct frame_pool {
    struct frame_depot *depot;
    struct counters *counters;
    struct frame *free[FRAME_CLASSES];
    unsigned free_count[FRAME_CLASSES];
};

void frame_depot_init(struct frame_depot *depot, size_t limit);
/* The bound from now on; what is in use beyond it is not taken back. Any thread. */
void frame_depot_set_limit(struct frame_depot *depot, size_t limit);
void frame_depot_destroy(struct frame_depot *depot);

/* Takes bytes of the bound for what waits elsewhere than in a frame, and gives them back. False
 * when they are used up. Any thread. */
bool frame_depot_reserve(struct frame_depot *depot, size_t bytes, enum frame_use use);
void frame_depot_release(struct frame_depot *depot, size_t bytes);

void frame_pool_init(struct frame_pool *pool, struct frame_depot *depot, struct counters *counters);
void frame_pool_destroy(struct frame_pool *pool);

/* A frame with room for size bytes, which are not set; NULL when the bound or the system's memory
 * is reached, or no frame can be that large. size is the frame's size; sent is 0; next is NULL;
 * kind is FRAME_KIND_CONTROL until the caller knows better. */
struct frame *frame_alloc(struct frame_pool *pool, size_t size, enum frame_use use,
                          uint16_t from_worker);

/* The bytes that fit into a frame. */
size_t frame_room(const struct frame *frame);

void frame_free(struct frame_pool *pool, struct frame *frame);

/* Counts a frame of FRAME_USE_PASSING that has to stay. False when the bound is reached. */
bool frame_count(struct frame_pool *pool, struct frame *frame);

/* Appends bytes to a frame, or makes one where *frame is NULL; it becomes larger where it must, and
 * takes up as much as it holds. False, and nothing has changed, where frame_alloc() would fail. */
bool frame_append(struct frame_pool *pool, struct frame **frame, const uint8_t *bytes, size_t len,
                  enum frame_use use);

/* The packets that are in a frame. */
static inline unsigned frame_packets(const struct frame *frame)
{
    unsigned sum = 0;

    if (!frame->sealed)
        return frame->kind != FRAME_KIND_CONTROL;
    for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
        sum += frame->packets[kind][0] + (unsigned)frame->packets[kind][1];
    return sum;
}

/* Whether one that is not sealed began to wait before that time. */
static inline bool frame_is_older(const struct frame *frame, uint32_t than)
{
    return (int32_t)(frame->queued_at - than) < 0;
}

static inline void frame_list_push(struct frame_list *list, struct frame *frame)
{
    frame->next = NULL;
    if (list->head)
        list->tail->next = frame;
    else
        list->head = frame;
    list->tail = frame;
}

static inline struct frame *frame_list_pop(struct frame_list *list)
{
    struct frame *frame = list->head;
    if (frame)
        list->head = frame->next;
    return frame;
}

/* Puts all of front before list. */
static inline void frame_list_prepend(struct frame_list *list, struct frame_list *front)
{
    if (!front->head)
        return;
    front->tail->next = list->head;
    if (!list->head)
        list->tail = front->tail;
    list->head = front->head;
    *front = (struct frame_list){0};
}

#endif
