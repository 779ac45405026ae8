/* SPDX-License-Identifier: BSD-3-Clause */
/* Size classes, the workers' free frames, and the depot between them. */
#include "relay/frame_pool.h"

#include <string.h>

#include "memory/memory.h"
#include "wire/frame.h"

/* Frames that change hands between a worker and the depot at a time. */
#define FRAME_BATCH 32

/* Batches of a class that the depot keeps; what is beyond goes back to the heap. */
#define DEPOT_BATCHES 16

/* Room of each class. Tuned to what travels: disco and control; small data; an MTU of 1280 to 1500;
 * a head of HTTP; jumbo, and a record of TLS; and the largest frame of the protocol. */
static const uint32_t class_room[FRAME_CLASSES] = {
    192, 640, 1664, 8448, 16704, FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET + 64};

/* Free frames of a class that a worker keeps: many small ones, few large ones. */
static const unsigned class_keep[FRAME_CLASSES] = {256, 256, 256, 64, 32, 8};

void frame_depot_init(struct frame_depot *depot, size_t limit)
{
    memset(depot, 0, sizeof(*depot));
    atomic_init(&depot->limit, limit);
    atomic_init(&depot->used, 0);
    pthread_mutex_init(&depot->lock, NULL);
}

static void free_chain(struct frame *frame)
{
    while (frame) {
        struct frame *next = frame->next;
        memory_free(frame);
        frame = next;
    }
}

/* A batch is linked to the next by a pointer in its first frame's data, which nobody else uses
 * now. */
static struct frame *batch_next(struct frame *batch)
{
    struct frame *next;
    memcpy(&next, batch->data, sizeof(next));
    return next;
}

void frame_depot_set_limit(struct frame_depot *depot, size_t limit)
{
    atomic_store_explicit(&depot->limit, limit, memory_order_relaxed);
}

void frame_depot_destroy(struct frame_depot *depot)
{
    for (unsigned size_class = 0; size_class < FRAME_CLASSES; size_class++) {
        struct frame *batch = depot->batches[size_class];
        while (batch) {
            struct frame *next = batch_next(batch);
            free_chain(batch);
            batch = next;
        }
    }
    pthread_mutex_destroy(&depot->lock);
}

void frame_pool_init(struct frame_pool *pool, struct frame_depot *depot, struct counters *counters)
{
    *pool = (struct frame_pool){.depot = depot, .counters = counters};
}

void frame_pool_destroy(struct frame_pool *pool)
{
    for (unsigned size_class = 0; size_class < FRAME_CLASSES; size_class++)
        free_chain(pool->free[size_class]);
}

static unsigned class_for(size_t size)
{
    unsigned size_class = 0;
    while (size_class < FRAME_CLASSES && class_room[size_class] < size)
        size_class++;
    return size_class;
}

static size_t class_bytes(unsigned size_class)
{
    return sizeof(struct frame) + class_room[size_class];
}

/* Needs the depot's lock. */
static void count_batches(struct frame_depot *depot, unsigned size_class, int by)
{
    unsigned count = atomic_load_explicit(&depot->batch_count[size_class], memory_order_relaxed);
    atomic_store_explicit(&depot->batch_count[size_class], count + (unsigned)by,
                          memory_order_relaxed);
}

/* Fetches a batch from the depot. */
static void pool_refill(struct frame_pool *pool, unsigned size_class)
{
    struct frame_depot *depot = pool->depot;

    if (atomic_load_explicit(&depot->batch_count[size_class], memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&depot->lock);
    struct frame *batch = depot->batches[size_class];
    if (batch) {
        depot->batches[size_class] = batch_next(batch);
        count_batches(depot, size_class, -1);
    }
    pthread_mutex_unlock(&depot->lock);
    if (batch) {
        pool->free[size_class] = batch;
        pool->free_count[size_class] = FRAME_BATCH;
    }
}

/* Gives a batch to the depot, or to the heap when that has enough. */
static void pool_spill(struct frame_pool *pool, unsigned size_class)
{
    struct frame_depot *depot = pool->depot;
    struct frame *batch = pool->free[size_class], *last = batch;

    for (unsigned i = 1; i < FRAME_BATCH; i++)
        last = last->next;
    pool->free[size_class] = last->next;
    pool->free_count[size_class] -= FRAME_BATCH;
    last->next = NULL;

    pthread_mutex_lock(&depot->lock);
    if (atomic_load_explicit(&depot->batch_count[size_class], memory_order_relaxed) <
        DEPOT_BATCHES) {
        memcpy(batch->data, &depot->batches[size_class], sizeof(batch));
        depot->batches[size_class] = batch;
        count_batches(depot, size_class, 1);
        batch = NULL;
    }
    pthread_mutex_unlock(&depot->lock);
    free_chain(batch);
}

size_t frame_room(const struct frame *frame)
{
    return class_room[frame->size_class];
}

bool frame_depot_reserve(struct frame_depot *depot, size_t bytes, enum frame_use use)
{
    size_t limit =
        atomic_load_explicit(&depot->limit, memory_order_relaxed) / 8 * (6 + (size_t)use);

    if (use == FRAME_USE_PASSING)
        return true;
    if (atomic_fetch_add_explicit(&depot->used, bytes, memory_order_relaxed) + bytes <= limit)
        return true;
    frame_depot_release(depot, bytes);
    return false;
}

void frame_depot_release(struct frame_depot *depot, size_t bytes)
{
    atomic_fetch_sub_explicit(&depot->used, bytes, memory_order_relaxed);
}

struct frame *frame_alloc(struct frame_pool *pool, size_t size, enum frame_use use,
                          uint16_t from_worker)
{
    struct frame_depot *depot = pool->depot;
    unsigned size_class = class_for(size);
    if (size_class == FRAME_CLASSES)
        return NULL;
    size_t bytes = class_bytes(size_class);

    if (!frame_depot_reserve(depot, bytes, use))
        return NULL;
    if (!pool->free[size_class])
        pool_refill(pool, size_class);
    struct frame *frame = pool->free[size_class];
    if (frame) {
        pool->free[size_class] = frame->next;
        pool->free_count[size_class]--;
        counters_add(pool->counters, COUNTER_frame_pool_hits, 1);
    } else {
        frame = memory_alloc(bytes);
        if (!frame) {
            if (use != FRAME_USE_PASSING)
                atomic_fetch_sub_explicit(&depot->used, bytes, memory_order_relaxed);
            return NULL;
        }
        frame->size_class = (uint8_t)size_class;
        counters_add(pool->counters, COUNTER_frame_pool_misses, 1);
        counters_add(pool->counters, COUNTER_packet_allocations, 1);
    }
    frame->next = NULL;
    frame->size = (uint32_t)size;
    frame->sent = 0;
    frame->kind = FRAME_KIND_CONTROL;
    frame->from_worker = from_worker;
    frame->counted = use != FRAME_USE_PASSING;
    frame->sealed = false;
    frame->bare = false;
    return frame;
}

bool frame_count(struct frame_pool *pool, struct frame *frame)
{
    if (!frame->counted)
        frame->counted =
            frame_depot_reserve(pool->depot, class_bytes(frame->size_class), FRAME_USE_CONTROL);
    return frame->counted;
}

bool frame_append(struct frame_pool *pool, struct frame **frame, const uint8_t *bytes, size_t len,
                  enum frame_use use)
{
    struct frame *old = *frame;
    size_t before = old ? old->size : 0;

    if (!old || before + len > frame_room(old)) {
        struct frame *larger = frame_alloc(pool, before + len, use, 0);
        if (!larger)
            return false;
        if (old) {
            memcpy(larger->data, old->data, before);
            frame_free(pool, old);
        }
        *frame = larger;
    }
    memcpy((*frame)->data + before, bytes, len);
    (*frame)->size = (uint32_t)(before + len);
    return true;
}

void frame_free(struct frame_pool *pool, struct frame *frame)
{
    unsigned size_class = frame->size_class;

    if (frame->counted)
        atomic_fetch_sub_explicit(&pool->depot->used, class_bytes(size_class),
                                  memory_order_relaxed);
    if (pool->free_count[size_class] >= class_keep[size_class]) {
        if (class_keep[size_class] < FRAME_BATCH) {
            memory_free(frame);
            return;
        }
        pool_spill(pool, size_class);
    }
    frame->next = pool->free[size_class];
    pool->free[size_class] = frame;
    pool->free_count[size_class]++;
}
