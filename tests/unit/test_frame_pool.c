/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames that wait: sizes, the bound of memory, and their way between workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "relay/frame_pool.h"
#include "wire/frame.h"

#define LARGEST (FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET)

static uint64_t hits(const struct counters *counters)
{
    return counters->value[COUNTER_frame_pool_hits];
}

static uint64_t misses(const struct counters *counters)
{
    return counters->value[COUNTER_frame_pool_misses];
}

/* Every size from nothing to the largest frame has room, which the sanitizer watches. */
static void every_size_has_room(void **state)
{
    struct counters counters = {0};
    struct frame_depot depot;
    struct frame_pool pool;

    (void)state;
    frame_depot_init(&depot, 1 << 30);
    frame_pool_init(&pool, &depot, &counters);
    for (size_t size = 0; size <= LARGEST; size += size < 20000 ? 1 : 97) {
        struct frame *frame = frame_alloc(&pool, size, FRAME_USE_CONTROL, 3);

        assert_non_null(frame);
        assert_int_equal(frame->size, size);
        assert_int_equal(frame->sent, 0);
        assert_int_equal(frame->kind, FRAME_KIND_CONTROL);
        assert_true(frame_room(frame) >= size);
        assert_int_equal(frame->from_worker, 3);
        assert_null(frame->next);
        assert_true(depot.used >= size && depot.used <= sizeof(*frame) + 6 * size + 256);
        memset(frame->data, 0xaa, frame_room(frame));
        frame->sent = 7;
        frame_free(&pool, frame);
        assert_int_equal(depot.used, 0);
    }
    struct frame *frame = frame_alloc(&pool, LARGEST, FRAME_USE_CONTROL, 0);
    assert_non_null(frame);
    frame_free(&pool, frame);
    assert_null(frame_alloc(&pool, LARGEST + 4096, FRAME_USE_CONTROL, 0));
    assert_null(frame_alloc(&pool, SIZE_MAX, FRAME_USE_CONTROL, 0));
    assert_int_equal(depot.used, 0);
    frame_pool_destroy(&pool);
    frame_depot_destroy(&depot);
}

static void bounded(void **state)
{
    enum { LIMIT = 1 << 20 };
    static struct frame *frames[10000];
    struct counters counters = {0};
    struct frame_depot depot;
    struct frame_pool pool;
    unsigned count = 0;

    (void)state;
    frame_depot_init(&depot, LIMIT);
    frame_pool_init(&pool, &depot, &counters);
    for (unsigned round = 0; round < 3; round++) {
        while ((frames[count] = frame_alloc(&pool, 1400, FRAME_USE_CONTROL, 0))) {
            count++;
            assert_true(depot.used <= LIMIT);
        }
        assert_true(count > LIMIT / 2000 && count < LIMIT / 1400);
        /* What was refused has not been counted: one back, one again. */
        frame_free(&pool, frames[--count]);
        frames[count] = frame_alloc(&pool, 1400, FRAME_USE_CONTROL, 0);
        assert_non_null(frames[count++]);
        assert_null(frame_alloc(&pool, 1400, FRAME_USE_CONTROL, 0));
        while (count > 0)
            frame_free(&pool, frames[--count]);
        assert_int_equal(depot.used, 0);
    }
    frame_pool_destroy(&pool);
    frame_depot_destroy(&depot);
}

/* Of the bound something is kept back for each use that comes later: packets that wait never keep
 * packets from coming in, and neither keeps clients from getting their answers. */
static void shares(void **state)
{
    enum { LIMIT = 8 << 20, FRAMES = 20000 };
    static const enum frame_use uses[] = {FRAME_USE_WAITING, FRAME_USE_INCOMING, FRAME_USE_CONTROL};
    static struct frame *frames[FRAMES];
    struct counters counters = {0};
    struct frame_depot depot;
    struct frame_pool pool;
    unsigned count = 0;

    (void)state;
    frame_depot_init(&depot, LIMIT);
    frame_pool_init(&pool, &depot, &counters);
    for (unsigned i = 0; i < 3; i++) {
        while ((frames[count] = frame_alloc(&pool, 1400, uses[i], 0)))
            assert_true(++count < FRAMES);
        assert_in_range(depot.used, LIMIT / 8 * (6 + i) - 4096, LIMIT / 8 * (6 + i));
        for (unsigned j = 0; j < i; j++)
            assert_null(frame_alloc(&pool, 10, uses[j], 0));
    }
    while (count > 0)
        frame_free(&pool, frames[--count]);
    assert_int_equal(depot.used, 0);
    frame_pool_destroy(&pool);
    frame_depot_destroy(&depot);
}

static void hits_and_misses(void **state)
{
    struct frame *frames[20];
    struct counters counters = {0};
    struct frame_depot depot;
    struct frame_pool pool;

    (void)state;
    frame_depot_init(&depot, 1 << 30);
    frame_pool_init(&pool, &depot, &counters);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 20; i++)
            frames[i] = frame_alloc(&pool, 500, FRAME_USE_CONTROL, 0);
        for (unsigned i = 0; i < 20; i++)
            frame_free(&pool, frames[i]);
        assert_int_equal(misses(&counters), 20);
        assert_int_equal(hits(&counters), round * 20);
    }
    frames[0] = frame_alloc(&pool, 5000, FRAME_USE_CONTROL, 0); /* none of that size is free */
    assert_int_equal(misses(&counters), 21);
    frame_free(&pool, frames[0]);
    frame_pool_destroy(&pool);
    frame_depot_destroy(&depot);
}

/* One worker takes, another gives back, as where sender and receiver are with different workers:
 * the frames find their way home and the heap is left alone. */
static void frames_migrate(void **state)
{
    static const size_t sizes[] = {100, 1400, 8000, 16000};
    static struct frame *frames[400];
    struct counters taker_counters = {0}, giver_counters = {0};
    struct frame_pool taker, giver;
    struct frame_depot depot;

    (void)state;
    frame_depot_init(&depot, 1 << 30);
    for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        memset(&taker_counters, 0, sizeof(taker_counters));
        frame_pool_init(&taker, &depot, &taker_counters);
        frame_pool_init(&giver, &depot, &giver_counters);
        for (unsigned round = 0; round < 100; round++) {
            for (unsigned i = 0; i < 400; i++) {
                frames[i] = frame_alloc(&taker, sizes[s], FRAME_USE_CONTROL, 0);
                assert_non_null(frames[i]);
                memset(frames[i]->data, (int)i, sizes[s]);
            }
            for (unsigned i = 0; i < 400; i++) {
                assert_int_equal(frames[i]->data[sizes[s] - 1], (uint8_t)i);
                frame_free(&giver, frames[i]);
            }
            assert_int_equal(depot.used, 0);
        }
        assert_int_equal(misses(&taker_counters) + hits(&taker_counters), 400 * 100);
        assert_true(misses(&taker_counters) < 1000);
        frame_pool_destroy(&taker);
        frame_pool_destroy(&giver);
    }
    frame_depot_destroy(&depot);
}

struct migration {
    pthread_barrier_t barrier;
    struct frame_depot depot;
    struct frame *table[2][300];
};

struct mover {
    struct migration *migration;
    unsigned number;
};

/* Two threads that free what the other has allocated, at once. */
static void *move(void *arg)
{
    struct mover *mover = arg;
    struct migration *migration = mover->migration;
    struct counters *counters = aligned_alloc(64, (sizeof(*counters) + 63) / 64 * 64);
    struct frame_pool pool;

    memset(counters, 0, sizeof(*counters));
    frame_pool_init(&pool, &migration->depot, counters);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < 300; i++) {
            struct frame *frame = frame_alloc(&pool, 64 + i * 5, FRAME_USE_CONTROL, 0);

            if (frame)
                memset(frame->data, (int)mover->number, frame->size);
            migration->table[mover->number][i] = frame;
        }
        pthread_barrier_wait(&migration->barrier);
        for (unsigned i = 0; i < 300; i++)
            if (migration->table[!mover->number][i])
                frame_free(&pool, migration->table[!mover->number][i]);
        pthread_barrier_wait(&migration->barrier);
    }
    frame_pool_destroy(&pool);
    free(counters);
    return NULL;
}

static void two_threads(void **state)
{
    static struct migration migration;
    struct mover movers[2] = {{&migration, 0}, {&migration, 1}};
    pthread_t thread[2];

    (void)state;
    pthread_barrier_init(&migration.barrier, NULL, 2);
    frame_depot_init(&migration.depot, 400 << 10); /* the bound is met now and then */
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, move, &movers[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(migration.depot.used, 0);
    frame_depot_destroy(&migration.depot);
    pthread_barrier_destroy(&migration.barrier);
}

/* What passes in one turn is not counted against the bound, until it has to stay. */
static void passing_frames_are_counted_when_they_stay(void **state)
{
    struct counters counters = {0};
    struct frame_depot depot;
    struct frame_pool pool;

    (void)state;
    frame_depot_init(&depot, 4096);
    frame_pool_init(&pool, &depot, &counters);
    struct frame *first = frame_alloc(&pool, 1000, FRAME_USE_PASSING, 0);
    struct frame *second = frame_alloc(&pool, 3000, FRAME_USE_PASSING, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(depot.used, 0);
    assert_true(frame_count(&pool, first));
    assert_true(frame_count(&pool, first)); /* once */
    size_t used = depot.used;
    assert_true(used >= 1000 && used < 2000);
    assert_false(frame_count(&pool, second)); /* beyond the bound */
    assert_int_equal(depot.used, used);
    frame_free(&pool, second);
    assert_int_equal(depot.used, used);
    frame_free(&pool, first);
    assert_int_equal(depot.used, 0);
    frame_pool_destroy(&pool);
    frame_depot_destroy(&depot);
}

static void bytes_are_appended_as_they_come(void **state)
{
    struct counters counters = {0};
    struct frame_depot depot;
    struct frame_pool pool;
    struct frame *frame = NULL;

    (void)state;
    frame_depot_init(&depot, 40000);
    frame_pool_init(&pool, &depot, &counters);
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t bytes[3] = {(uint8_t)i, (uint8_t)(i >> 8), 7};
        assert_true(frame_append(&pool, &frame, bytes, sizeof(bytes), FRAME_USE_INCOMING));
        assert_int_equal(frame->size, 3 * (i + 1));
        if (i == 30) /* memory for what has come, not for what may */
            assert_true(depot.used < 400);
    }
    for (unsigned i = 0; i < 5000; i++) {
        assert_int_equal(frame->data[3 * i], (uint8_t)i);
        assert_int_equal(frame->data[3 * i + 1], (uint8_t)(i >> 8));
    }
    /* Beyond the bound nothing changes. */
    size_t used = depot.used;
    uint8_t *more = calloc(1, 30000);
    assert_false(frame_append(&pool, &frame, more, 30000, FRAME_USE_INCOMING));
    assert_int_equal(frame->size, 15000);
    assert_int_equal(depot.used, used);
    free(more);
    frame_free(&pool, frame);
    assert_int_equal(depot.used, 0);
    frame_pool_destroy(&pool);
    frame_depot_destroy(&depot);
}

static void packets_are_counted_by_frame(void **state)
{
    struct counters counters = {0};
    struct frame_depot depot;
    struct frame_pool pool;

    (void)state;
    frame_depot_init(&depot, 1 << 20);
    frame_pool_init(&pool, &depot, &counters);
    struct frame *frame = frame_alloc(&pool, 100, FRAME_USE_PASSING, 0);
    assert_int_equal(frame_packets(frame), 0); /* the relay's own */
    frame->kind = FRAME_KIND_DISCO;
    assert_int_equal(frame_packets(frame), 1);
    frame->kind = FRAME_KIND_CONTROL;
    frame->sealed = true;
    memset(frame->packets, 0, sizeof(frame->packets));
    assert_int_equal(frame_packets(frame), 0);
    frame->packets[HYPERDERP_PACKET_DATA][1] = 300;
    frame->packets[HYPERDERP_PACKET_DISCO][0] = 2;
    assert_int_equal(frame_packets(frame), 302);
    frame_free(&pool, frame);
    frame_pool_destroy(&pool);
    frame_depot_destroy(&depot);
}

static void lists(void **state)
{
    struct frame frames[6] = {0};
    struct frame_list front = {0}, list = {0};

    (void)state;
    frame_list_prepend(&list, &front);
    assert_null(frame_list_pop(&list));
    for (unsigned i = 0; i < 2; i++)
        frame_list_push(&front, &frames[i]);
    frame_list_prepend(&list, &front);
    assert_null(front.head);
    frame_list_push(&list, &frames[2]);
    for (unsigned i = 0; i < 3; i++)
        assert_ptr_equal(frame_list_pop(&list), &frames[i]);
    assert_null(frame_list_pop(&list));
    frame_list_push(&list, &frames[4]);
    frame_list_push(&front, &frames[3]);
    frame_list_prepend(&list, &front);
    frame_list_push(&list, &frames[5]);
    for (unsigned i = 3; i < 6; i++)
        assert_ptr_equal(frame_list_pop(&list), &frames[i]);
    assert_null(frame_list_pop(&list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_room),
        cmocka_unit_test(bounded),
        cmocka_unit_test(shares),
        cmocka_unit_test(hits_and_misses),
        cmocka_unit_test(frames_migrate),
        cmocka_unit_test(two_threads),
        cmocka_unit_test(passing_frames_are_counted_when_they_stay),
        cmocka_unit_test(bytes_are_appended_as_they_come),
        cmocka_unit_test(packets_are_counted_by_frame),
        cmocka_unit_test(lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
