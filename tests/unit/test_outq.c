/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue of a destination: order of the lanes, limits, and who gives way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "relay/outq.h"
#include "wire/frame.h"

static struct counters counters;
static struct frame_depot depot;
static struct frame_pool pool;
static uint32_t packet_bytes(const struct outq *queue)
{
    return queue->bytes[FRAME_KIND_DATA] + queue->bytes[FRAME_KIND_DISCO];
}

static const struct outq_limits roomy = {.frames = 1000, .bytes = 1 << 20};

static int begin(void **state)
{
    (void)state;
    srandom(3);
    frame_depot_init(&depot, 512 << 20);
    frame_pool_init(&pool, &depot, &counters);
    return 0;
}

static int end(void **state)
{
    size_t left = depot.used;

    (void)state;
    frame_pool_destroy(&pool);
    frame_depot_destroy(&depot);
    return left == 0 ? 0 : -1;
}

/* The time at which frames are made, which goes on in tests of their age. */
static uint32_t now;

/* A frame that carries its number, and its sender where it has a key. */
static struct frame *make_from(uint64_t sender, enum frame_kind kind, size_t size, uint32_t number)
{
    struct frame *frame = frame_alloc(&pool, size, FRAME_USE_CONTROL, 0);

    assert_non_null(frame);
    assert_true(size >= FRAME_HEADER_SIZE + sizeof(sender));
    frame->kind = (uint8_t)kind;
    frame->queued_at = now;
    memcpy(frame->data, &number, sizeof(number));
    memcpy(frame->data + FRAME_HEADER_SIZE, &sender, sizeof(sender));
    return frame;
}

static struct frame *make(enum frame_kind kind, size_t size, uint32_t number)
{
    return make_from(0, kind, size, number);
}

static uint64_t sender_of(const struct frame *frame)
{
    uint64_t sender;

    memcpy(&sender, frame->data + FRAME_HEADER_SIZE, sizeof(sender));
    return sender;
}

static uint32_t number_of(const struct frame *frame)
{
    uint32_t number;

    memcpy(&number, frame->data, sizeof(number));
    return number;
}

static void push(struct outq *queue, enum frame_kind kind, uint32_t number)
{
    struct frame_list dropped = {0};

    outq_push(queue, &roomy, make(kind, 100, number), &dropped);
    assert_null(dropped.head);
}

/* The next of a list must be this one; it is freed. */
static void expect(struct frame_list *list, enum frame_kind kind, uint32_t number)
{
    struct frame *frame = frame_list_pop(list);

    assert_non_null(frame);
    assert_int_equal(frame->kind, kind);
    assert_int_equal(number_of(frame), number);
    frame_free(&pool, frame);
}

static void free_list(struct frame_list *list)
{
    struct frame *frame;

    while ((frame = frame_list_pop(list)))
        frame_free(&pool, frame);
}

static void lanes_in_their_order(void **state)
{
    struct frame_list batch = {0};
    struct outq queue = {0};

    (void)state;
    assert_true(outq_is_empty(&queue));
    for (uint32_t i = 0; i < 3; i++) {
        push(&queue, FRAME_KIND_DATA, i);
        push(&queue, FRAME_KIND_DISCO, i);
        push(&queue, FRAME_KIND_CONTROL, i);
    }
    assert_int_equal(outq_pop(&queue, 100, 1 << 20, &batch), 9);
    static const enum frame_kind order[] = {FRAME_KIND_CONTROL, FRAME_KIND_DISCO, FRAME_KIND_DATA};
    for (unsigned kind = 0; kind < 3; kind++)
        for (uint32_t i = 0; i < 3; i++)
            expect(&batch, order[kind], i);
    assert_null(batch.head);
    assert_true(outq_is_empty(&queue));
    assert_int_equal(packet_bytes(&queue), 0);
    assert_int_equal(outq_pop(&queue, 100, 1 << 20, &batch), 0);
}

/* Takes a batch while data waits, and checks that at each point of it data is half, but for what
 * disco may be ahead. Returns the bytes of disco in front of the first data. */
static uint32_t check_halves(struct outq *queue, unsigned max_frames, uint32_t max_bytes)
{
    struct frame_list batch = {0};
    uint32_t bytes[FRAME_KINDS] = {0}, ahead = 0;
    struct frame *frame;

    outq_pop(queue, max_frames, max_bytes, &batch);
    assert_true(queue->frames[FRAME_KIND_DATA] > 0 && queue->frames[FRAME_KIND_DISCO] > 0);
    while ((frame = frame_list_pop(&batch))) {
        bytes[frame->kind] += frame->size;
        if (bytes[FRAME_KIND_DATA] == 0)
            ahead = bytes[FRAME_KIND_DISCO];
        assert_true(bytes[FRAME_KIND_DISCO] <= bytes[FRAME_KIND_DATA] + OUTQ_DISCO_AHEAD);
        frame_free(&pool, frame);
    }
    /* Nor is it less than it may. */
    assert_true(bytes[FRAME_KIND_DATA] <= bytes[FRAME_KIND_DISCO] + 2000);
    return ahead;
}

static void disco_leaves_half_to_data(void **state)
{
    static const size_t sizes[][2] = {{100, 100}, {120, 1437}, {1437, 1437}, {1437, 100}};
    struct frame_list batch = {0};
    struct outq queue = {0};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        for (uint32_t k = 0; k < 80; k++) {
            struct frame_list dropped = {0};
            outq_push(&queue, &roomy, make(FRAME_KIND_DISCO, sizes[i][0], k), &dropped);
            outq_push(&queue, &roomy, make(FRAME_KIND_DATA, sizes[i][1], k), &dropped);
            assert_null(dropped.head);
        }
        /* Small ones pass at once, which is what pings are. */
        uint32_t ahead = check_halves(&queue, 63, 30000);
        assert_true(sizes[i][0] > OUTQ_DISCO_AHEAD ? ahead == 0 : ahead > OUTQ_DISCO_AHEAD - 200);
        (void)check_halves(&queue, 10, 65536);
        outq_purge(&queue, &batch);
        free_list(&batch);
    }
    /* What one does not want the other gets, and the relay's own frames go first. */
    push(&queue, FRAME_KIND_DATA, 0);
    for (uint32_t i = 0; i < 40; i++)
        push(&queue, FRAME_KIND_DISCO, i);
    push(&queue, FRAME_KIND_CONTROL, 0);
    assert_int_equal(outq_pop(&queue, 30, 1 << 20, &batch), 30);
    expect(&batch, FRAME_KIND_CONTROL, 0);
    for (uint32_t i = 0; i < 10; i++)
        expect(&batch, FRAME_KIND_DISCO, i);
    expect(&batch, FRAME_KIND_DATA, 0);
    for (uint32_t i = 10; i < 28; i++)
        expect(&batch, FRAME_KIND_DISCO, i);
    assert_null(batch.head);
    outq_purge(&queue, &batch);
    free_list(&batch);
}

static void the_oldest_data_gives_way(void **state)
{
    const struct outq_limits few = {.frames = 10, .bytes = 1 << 20};
    const struct outq_limits small = {.frames = 1000, .bytes = 1000};
    struct frame_list dropped = {0}, batch = {0};
    struct outq queue = {0};

    (void)state;
    for (uint32_t i = 0; i < 25; i++)
        outq_push(&queue, &few, make(FRAME_KIND_DATA, 100, i), &dropped);
    for (uint32_t i = 0; i < 15; i++)
        expect(&dropped, FRAME_KIND_DATA, i);
    assert_null(dropped.head);
    outq_pop(&queue, 100, 1 << 20, &batch);
    for (uint32_t i = 15; i < 25; i++)
        expect(&batch, FRAME_KIND_DATA, i);

    for (uint32_t i = 0; i < 10; i++)
        outq_push(&queue, &small, make(FRAME_KIND_DATA, 100, i), &dropped);
    assert_null(dropped.head);
    outq_push(&queue, &small, make(FRAME_KIND_DATA, 250, 10), &dropped);
    for (uint32_t i = 0; i < 3; i++)
        expect(&dropped, FRAME_KIND_DATA, i);
    assert_null(dropped.head);
    assert_int_equal(packet_bytes(&queue), 950);
    outq_purge(&queue, &batch);
    for (uint32_t i = 3; i < 11; i++)
        expect(&batch, FRAME_KIND_DATA, i);
    assert_null(batch.head);
}

static void disco_and_control_are_bounded(void **state)
{
    struct frame_list dropped = {0}, batch = {0};
    struct outq queue = {0};

    (void)state;
    for (uint32_t i = 0; i < OUTQ_MAX_DISCO + 5; i++)
        outq_push(&queue, &roomy, make(FRAME_KIND_DISCO, 100, i), &dropped);
    for (uint32_t i = 0; i < 5; i++)
        expect(&dropped, FRAME_KIND_DISCO, i);
    for (uint32_t i = 0; i < OUTQ_MAX_CONTROL + 5; i++)
        outq_push(&queue, &roomy, make(FRAME_KIND_CONTROL, 100, i), &dropped);
    for (uint32_t i = OUTQ_MAX_CONTROL; i < OUTQ_MAX_CONTROL + 5; i++)
        expect(&dropped, FRAME_KIND_CONTROL, i);
    assert_null(dropped.head);
    assert_int_equal(packet_bytes(&queue), OUTQ_MAX_DISCO * 100);
    outq_purge(&queue, &batch);
    for (uint32_t i = 0; i < OUTQ_MAX_CONTROL; i++)
        expect(&batch, FRAME_KIND_CONTROL, i);
    for (uint32_t i = 5; i < OUTQ_MAX_DISCO + 5; i++)
        expect(&batch, FRAME_KIND_DISCO, i);
    assert_null(batch.head);
    assert_true(outq_is_empty(&queue));
    assert_int_equal(packet_bytes(&queue), 0);
}

/* The bytes are a limit of all packets: nobody gets round it, or pushes data out, by packets that
 * look like disco. */
static void disco_is_bounded_by_bytes(void **state)
{
    const struct outq_limits limits = {.frames = 1024, .bytes = 131072};
    struct frame_list dropped = {0}, left = {0};
    struct outq queue = {0};
    uint32_t next = 0;

    (void)state;
    for (uint32_t i = 0; i < 16; i++) {
        outq_push(&queue, &limits, make(FRAME_KIND_DATA, 5000, i), &dropped);
        assert_null(dropped.head);
    }
    for (uint32_t i = 0; i < OUTQ_MAX_DISCO; i++) {
        outq_push(&queue, &limits, make(FRAME_KIND_DISCO, 4000, i), &dropped);
        assert_true(packet_bytes(&queue) <= limits.bytes);
        while (dropped.head)
            expect(&dropped, FRAME_KIND_DISCO, next++);
    }
    assert_int_equal(queue.frames[FRAME_KIND_DATA], 16);
    assert_in_range(queue.frames[FRAME_KIND_DISCO], 2, OUTQ_MAX_DISCO / 2);
    outq_purge(&queue, &left);
    free_list(&left);
}

/* What comes back from a short send stands before all that waits, in its order, and is the first to
 * give way. */
static void put_back_in_front(void **state)
{
    const struct outq_limits few = {.frames = 5, .bytes = 1 << 20};
    struct frame_list back = {0}, dropped = {0}, batch = {0};
    struct outq queue = {0};

    (void)state;
    for (uint32_t i = 10; i < 13; i++) {
        push(&queue, FRAME_KIND_DATA, i);
        push(&queue, FRAME_KIND_DISCO, i);
    }
    frame_list_push(&back, make(FRAME_KIND_DISCO, 100, 1));
    for (uint32_t i = 0; i < 4; i++)
        frame_list_push(&back, make(FRAME_KIND_DATA, 100, i));
    frame_list_push(&back, make(FRAME_KIND_DISCO, 100, 2));
    frame_list_push(&back, make(FRAME_KIND_CONTROL, 100, 1));
    outq_push_front(&queue, &few, &back, &dropped);
    assert_null(back.head);
    assert_int_equal(packet_bytes(&queue), 5 * 100 + 5 * 100);
    expect(&dropped, FRAME_KIND_DATA, 0);
    expect(&dropped, FRAME_KIND_DATA, 1);
    assert_null(dropped.head);
    push(&queue, FRAME_KIND_DATA, 13); /* behind, also after a lane was put together anew */
    push(&queue, FRAME_KIND_CONTROL, 2);
    outq_pop(&queue, 100, 1 << 20, &batch);
    static const uint32_t disco[] = {1, 2, 10, 11, 12}, data[] = {2, 3, 10, 11, 12, 13};
    expect(&batch, FRAME_KIND_CONTROL, 1);
    expect(&batch, FRAME_KIND_CONTROL, 2);
    for (unsigned i = 0; i < 5; i++)
        expect(&batch, FRAME_KIND_DISCO, disco[i]);
    for (unsigned i = 0; i < 6; i++)
        expect(&batch, FRAME_KIND_DATA, data[i]);
    assert_null(batch.head);
}

/* A queue of numbers beside the real one: first number that waits, and the next one, of each lane.
 */
struct model {
    uint32_t first[FRAME_KINDS], next[FRAME_KINDS];
};

static void check_counts(const struct outq *queue, const struct model *model,
                         const struct outq_limits *limits)
{
    for (unsigned kind = 0; kind < FRAME_KINDS; kind++) {
        uint32_t number = model->first[kind], bytes = 0;

        for (struct frame *frame = queue->lanes[kind].head; frame; frame = frame->next) {
            assert_int_equal(number_of(frame), number++);
            bytes += frame->size;
        }
        assert_int_equal(number, model->next[kind]);
        assert_int_equal(queue->frames[kind], model->next[kind] - model->first[kind]);
        assert_int_equal(queue->bytes[kind], bytes);
    }
    assert_true(packet_bytes(queue) <= limits->bytes);
    assert_true(queue->frames[FRAME_KIND_DISCO] <= OUTQ_MAX_DISCO);
    assert_true(queue->frames[FRAME_KIND_DATA] <= limits->frames);
}

static void drop_from_model(struct model *model, struct frame_list *dropped)
{
    struct frame *frame;

    while ((frame = frame_list_pop(dropped))) {
        if (frame->kind == FRAME_KIND_CONTROL)
            assert_int_equal(number_of(frame), --model->next[FRAME_KIND_CONTROL]);
        else
            assert_int_equal(number_of(frame), model->first[frame->kind]++);
        frame_free(&pool, frame);
    }
}

static void random_operations(void **state)
{
    const struct outq_limits limits = {.frames = 50, .bytes = 20000};
    struct model model = {0};
    struct outq queue = {0};

    (void)state;
    for (unsigned step = 0; step < 200000; step++) {
        struct frame_list dropped = {0}, batch = {0}, back = {0};

        if (random() % 4 > 0) {
            enum frame_kind kind = (enum frame_kind)(random() % FRAME_KINDS);
            size_t size = 13 + (size_t)random() % (random() % 20 ? 200 : 4000);

            outq_push(&queue, &limits, make(kind, size, model.next[kind]++), &dropped);
        } else {
            unsigned max = 1 + (unsigned)random() % 30;
            uint32_t max_bytes = 1 + (uint32_t)random() % 5000, bytes = 0;
            bool keeps = random() % 3 == 0;
            unsigned count = outq_pop(&queue, max, max_bytes, &batch), taken = 0;
            struct frame *frame;

            assert_true(count <= max);
            assert_int_equal(count == 0, outq_is_empty(&queue) && !batch.head);
            while ((frame = frame_list_pop(&batch))) {
                assert_true(bytes < max_bytes);
                bytes += frame->size;
                /* A short send: the first ones went out, the others come back. */
                if (keeps && taken >= count / 2) {
                    frame_list_push(&back, frame);
                } else {
                    assert_int_equal(number_of(frame), model.first[frame->kind]++);
                    frame_free(&pool, frame);
                }
                taken++;
            }
            assert_int_equal(taken, count);
            assert_true(outq_is_empty(&queue) || count == max || bytes >= max_bytes);
            outq_push_front(&queue, &limits, &back, &dropped);
        }
        drop_from_model(&model, &dropped);
        check_counts(&queue, &model, &limits);
    }
    struct frame_list left = {0};
    outq_purge(&queue, &left);
    free_list(&left);
}

/* ---- Sorted by senders ---- */

static void sort(struct outq *queue)
{
    struct frame *memory = frame_alloc(&pool, OUTQ_SENDERS_SIZE, FRAME_USE_CONTROL, 0);

    assert_non_null(memory);
    assert_true(outq_wants_sorting(queue));
    assert_null(outq_sort(queue, memory, (uint64_t)random()));
    assert_false(outq_wants_sorting(queue));
}

static void unsort(struct outq *queue)
{
    struct frame *memory = outq_unsort(queue);

    assert_true(outq_is_empty(queue));
    if (memory)
        frame_free(&pool, memory);
}

/* Only a long queue is sorted, and memory that comes when it is short again is given back. */
static void only_long_queues_are_sorted(void **state)
{
    struct frame_list batch = {0};
    struct outq queue = {0};

    (void)state;
    for (uint32_t i = 0; i < OUTQ_UNSORTED; i++) {
        push(&queue, FRAME_KIND_DATA, i);
        assert_false(outq_wants_sorting(&queue));
    }
    push(&queue, FRAME_KIND_DATA, OUTQ_UNSORTED);
    assert_true(outq_wants_sorting(&queue));
    outq_pop(&queue, 1, 1 << 20, &batch);
    struct frame *memory = frame_alloc(&pool, OUTQ_SENDERS_SIZE, FRAME_USE_CONTROL, 0);
    assert_non_null(memory);
    assert_ptr_equal(outq_sort(&queue, memory, 1), memory);
    frame_free(&pool, memory);
    push(&queue, FRAME_KIND_DATA, OUTQ_UNSORTED + 1);
    sort(&queue);
    outq_purge(&queue, &batch);
    for (uint32_t i = 0; i < OUTQ_UNSORTED + 2; i++)
        expect(&batch, FRAME_KIND_DATA, i);
    assert_null(batch.head);
    unsort(&queue);
}

/* A sender at full speed, and 20 that send a hundredth of what is taken each: none of theirs is
 * lost, though three quarters of all are, and none waits for more than a few batches. */
static void who_sends_little_loses_nothing(void **state)
{
    const struct outq_limits limits = {.frames = 1024, .bytes = 2 << 20};
    uint32_t sent[21] = {0}, got[21] = {0}, lost[21] = {0}, worst = 0;
    struct outq queue = {0};
    struct frame *frame;

    (void)state;
    for (now = 0; now < 20000; now++) {
        struct frame_list dropped = {0}, batch = {0};
        for (unsigned i = 0; i < 200; i++)
            outq_push(&queue, &limits, make_from(20, FRAME_KIND_DATA, 1437, sent[20]++), &dropped);
        outq_push(&queue, &limits, make_from(now % 20, FRAME_KIND_DATA, 1437, sent[now % 20]++),
                  &dropped);
        if (outq_wants_sorting(&queue))
            sort(&queue);
        outq_pop(&queue, 50, 65536, &batch);
        while ((frame = frame_list_pop(&dropped))) {
            lost[sender_of(frame)]++;
            frame_free(&pool, frame);
        }
        while ((frame = frame_list_pop(&batch))) {
            uint32_t waited = now - frame->queued_at;
            got[sender_of(frame)]++;
            if (sender_of(frame) < 20 && now > 100 && waited > worst)
                worst = waited;
            frame_free(&pool, frame);
        }
    }
    print_message("of %u packets of the flood %u were lost; others waited at most %u batches\n",
                  sent[20], lost[20], worst);
    assert_true(lost[20] > sent[20] / 2);
    assert_true(got[20] > 10000);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(lost[i], 0);
        assert_true(sent[i] - got[i] <= 2);
    }
    assert_true(worst <= 2);
    struct frame_list left = {0};
    outq_purge(&queue, &left);
    free_list(&left);
    unsort(&queue);
}

/* ---- Age ---- */

static void old_packets_are_dropped(void **state)
{
    const struct outq_limits limits = {.frames = 1000, .bytes = 1 << 20, .age_ms = 100};
    const struct outq_limits ageless = {.frames = 1000, .bytes = 1 << 20};
    struct frame_list expired = {0}, batch = {0};
    struct outq queue = {0};

    (void)state;
    now = UINT32_MAX - 50; /* it wraps in between */
    outq_expire(&queue, &limits, now, &expired);
    for (uint32_t i = 0; i < 5; i++) {
        push(&queue, FRAME_KIND_DATA, i);
        push(&queue, FRAME_KIND_DISCO, i);
        push(&queue, FRAME_KIND_CONTROL, i);
        now += 20;
    }
    /* They are 100, 80, 60, 40 and 20 ms old. */
    outq_expire(&queue, &limits, now, &expired);
    assert_null(expired.head);
    outq_expire(&queue, &limits, now - 500, &expired); /* a worker whose turn began before */
    assert_null(expired.head);
    outq_expire(&queue, &ageless, now + 1000000, &expired);
    assert_null(expired.head);
    outq_expire(&queue, &limits, now + 1, &expired);
    expect(&expired, FRAME_KIND_DISCO, 0);
    expect(&expired, FRAME_KIND_DATA, 0);
    assert_null(expired.head);
    assert_int_equal(packet_bytes(&queue), 800);
    outq_expire(&queue, &limits, now + 41, &expired);
    for (uint32_t i = 1; i < 3; i++)
        expect(&expired, FRAME_KIND_DISCO, i);
    for (uint32_t i = 1; i < 3; i++)
        expect(&expired, FRAME_KIND_DATA, i);
    assert_null(expired.head);
    /* What comes back from a short send has its age. */
    assert_int_equal(outq_pop(&queue, 100, 1 << 20, &batch), 9);
    now += 50;
    push(&queue, FRAME_KIND_DATA, 5);
    outq_push_front(&queue, &limits, &batch, &expired);
    outq_expire(&queue, &limits, now + 20, &expired);
    expect(&expired, FRAME_KIND_DISCO, 3);
    expect(&expired, FRAME_KIND_DATA, 3);
    assert_null(expired.head);
    /* The relay's own frames have no age. */
    outq_expire(&queue, &limits, now + 1000, &expired);
    expect(&expired, FRAME_KIND_DISCO, 4);
    expect(&expired, FRAME_KIND_DATA, 4);
    expect(&expired, FRAME_KIND_DATA, 5);
    assert_null(expired.head);
    assert_int_equal(queue.frames[FRAME_KIND_CONTROL], 5);
    outq_purge(&queue, &batch);
    free_list(&batch);
}

/* ---- Random events, against what must be true of each sender ---- */

#define MANY_SENDERS 400

/* Frames of a sender leave in the order in which they came, whether they are sent, give way or
 * become too old. */
struct by_sender {
    uint32_t first[MANY_SENDERS], next[MANY_SENDERS];
    uint32_t waiting;
};

static void goes(struct by_sender *model, struct frame *frame)
{
    assert_int_equal(number_of(frame), model->first[sender_of(frame)]++);
    model->waiting--;
    frame_free(&pool, frame);
}

/* One call's worth of events: what came to an end is checked by goes(). */
static void one_push(struct outq *queue, const struct outq_limits *limits, struct by_sender *model,
                     unsigned senders)
{
    struct frame_list expired = {0}, dropped = {0};
    /* Some send much more than others. */
    uint64_t sender =
        random() % 2 ? (uint64_t)random() % (1 + senders / 20) : (uint64_t)random() % senders;
    size_t size = 13 + (size_t)random() % (random() % 30 ? 1500 : 60000);
    struct frame *frame;

    outq_expire(queue, limits, now, &expired);
    while ((frame = frame_list_pop(&expired))) {
        assert_true((int32_t)(now - frame->queued_at) > (int32_t)limits->age_ms);
        goes(model, frame);
    }
    outq_push(queue, limits, make_from(sender, FRAME_KIND_DATA, size, model->next[sender]++),
              &dropped);
    model->waiting++;
    while ((frame = frame_list_pop(&dropped)))
        goes(model, frame);
    assert_true(packet_bytes(queue) <= limits->bytes);
    assert_true(queue->frames[FRAME_KIND_DATA] <= limits->frames);
    if (outq_wants_sorting(queue) && random() % 4 == 0)
        sort(queue);
}

static void one_pop(struct outq *queue, const struct outq_limits *limits, struct by_sender *model,
                    unsigned senders)
{
    struct frame_list batch = {0}, back = {0}, expired = {0}, dropped = {0};
    struct frame *frame;

    outq_expire(queue, limits, now, &expired);
    while ((frame = frame_list_pop(&expired)))
        goes(model, frame);
    unsigned max = 1 + (unsigned)random() % 63;
    unsigned count = outq_pop(queue, max, 65536, &batch), sent = (unsigned)random() % (max + 1);
    assert_true(count <= max);
    assert_int_equal(count == 0, model->waiting == 0);
    while ((frame = frame_list_pop(&batch))) {
        /* Where senders share a place, what comes back from a short send may hide an older one. */
        if (limits->age_ms > 0 && senders < OUTQ_SENDERS)
            assert_true((int32_t)(now - frame->queued_at) <= (int32_t)limits->age_ms);
        if (sent > 0) {
            sent--;
            goes(model, frame);
        } else {
            frame_list_push(&back, frame);
        }
    }
    outq_push_front(queue, limits, &back, &dropped);
    while ((frame = frame_list_pop(&dropped)))
        goes(model, frame);
    if (outq_is_empty(queue))
        unsort(queue);
}

static void random_senders(void **state)
{
    static const unsigned senders[] = {1, 3, 30, 150, 190, 400};
    static const struct outq_limits limits[] = {{.frames = 1024, .bytes = 2 << 20},
                                                {.frames = 200, .bytes = 131072},
                                                {.frames = 1024, .bytes = 2 << 20, .age_ms = 40}};
    struct frame *frame;

    (void)state;
    for (unsigned run = 0; run < 18; run++) {
        static struct by_sender model;
        struct outq queue = {0};
        struct frame_list left = {0};
        memset(&model, 0, sizeof(model));
        now = run * 0x20000000u - 100;
        for (unsigned step = 0; step < 30000; step++) {
            now += random() % 8 == 0;
            if (random() % (step / 3000 % 2 ? 60 : 20) > 0)
                one_push(&queue, &limits[run % 3], &model, senders[run / 3]);
            else
                one_pop(&queue, &limits[run % 3], &model, senders[run / 3]);
            assert_int_equal(queue.frames[FRAME_KIND_DATA], model.waiting);
        }
        outq_purge(&queue, &left);
        while ((frame = frame_list_pop(&left)))
            goes(&model, frame);
        assert_int_equal(model.waiting, 0);
        for (unsigned i = 0; i < MANY_SENDERS; i++)
            assert_int_equal(model.first[i], model.next[i]);
        assert_int_equal(packet_bytes(&queue), 0);
        unsort(&queue);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lanes_in_their_order, begin, end),
        cmocka_unit_test_setup_teardown(disco_leaves_half_to_data, begin, end),
        cmocka_unit_test_setup_teardown(the_oldest_data_gives_way, begin, end),
        cmocka_unit_test_setup_teardown(disco_and_control_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(disco_is_bounded_by_bytes, begin, end),
        cmocka_unit_test_setup_teardown(put_back_in_front, begin, end),
        cmocka_unit_test_setup_teardown(random_operations, begin, end),
        cmocka_unit_test_setup_teardown(only_long_queues_are_sorted, begin, end),
        cmocka_unit_test_setup_teardown(who_sends_little_loses_nothing, begin, end),
        cmocka_unit_test_setup_teardown(old_packets_are_dropped, begin, end),
        cmocka_unit_test_setup_teardown(random_senders, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
