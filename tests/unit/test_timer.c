/* SPDX-License-Identifier: BSD-3-Clause */
/* The timer wheel against a fake clock, and against a plain list of deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "io/timer.h"

#define TICK  ((int64_t)TIMER_TICK_NS)
#define ROUND (TIMER_SLOTS * TICK)

/* Not a multiple of a tick, as the clock of a machine seldom is. */
#define START (987 * ROUND + 12345678)

static struct timers timers;
static int64_t now;

struct probe {
    struct timer timer; /* first */
    int64_t fired_at;   /* -1 until then */
    unsigned fired;
    /* What it does to another one when it fires. */
    struct probe *other;
    void (*act)(struct probe *probe);
};

static void fire(struct timer *timer)
{
    struct probe *probe = (struct probe *)timer;

    assert_false(timer_is_set(timer));
    probe->fired++;
    probe->fired_at = now;
    if (probe->act)
        probe->act(probe);
}

static struct probe make_probe(void)
{
    return (struct probe){.timer.fire = fire, .fired_at = -1};
}

static int begin(void **state)
{
    (void)state;
    srandom(4711);
    now = START;
    timers_init(&timers, now);
    return 0;
}

static int64_t random_below(int64_t limit)
{
    return (int64_t)(((uint64_t)random() << 31 | (uint64_t)random()) % (uint64_t)limit);
}

static void run_at(int64_t at)
{
    now = at;
    timers_run(&timers, now);
}

/* A loop that sleeps as long as timers_wait() allows meets every deadline within two ticks. */
static void slept_exactly_as_long_as_allowed(void **state)
{
    enum { COUNT = 3000 };
    static struct probe probes[COUNT];
    unsigned left = COUNT, turns = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        probes[i] = make_probe();
        timer_set(&timers, &probes[i].timer, now + random_below(3 * ROUND));
    }
    while (left > 0) {
        int64_t wait = timers_wait(&timers, now);

        assert_true(wait >= 0);
        assert_true(++turns < 4 * TIMER_SLOTS);
        run_at(now + wait);
        for (unsigned i = left = 0; i < COUNT; i++)
            left += probes[i].fired == 0;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(probes[i].fired, 1);
        assert_true(probes[i].fired_at >= probes[i].timer.deadline);
        assert_true(probes[i].fired_at <= probes[i].timer.deadline + 2 * TICK);
    }
    assert_int_equal(timers_wait(&timers, now), -1);
}

/* Sets, moves, stops and sleeps at random, some sleeps several rounds long; beside it, what should
 * be. */
static void random_operations(void **state)
{
    enum { COUNT = 400, STEPS = 20000 };
    static struct probe probes[COUNT];
    static bool set[COUNT];
    static unsigned expected[COUNT];
    static int64_t due[COUNT]; /* the deadline, or when it was set if that was later */

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        probes[i] = make_probe();
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)random_below(COUNT);
        int64_t kind = random_below(10);

        if (kind < 4) {
            /* Some in the past, some exactly on a tick, some rounds away. */
            int64_t deadline = now - 3 * TICK + random_below(kind < 3 ? 40 * TICK : 4 * ROUND);

            if (kind == 2)
                deadline -= deadline % TICK;
            timer_set(&timers, &probes[i].timer, deadline);
            due[i] = deadline > now ? deadline : now;
            set[i] = true;
        } else if (kind == 4) {
            timer_stop(&timers, &probes[i].timer);
            set[i] = false;
        } else {
            run_at(now + random_below(step % 1000 == 0 ? 5 * ROUND : 3 * TICK));
        }
        for (i = 0; i < COUNT; i++) {
            bool fired = probes[i].fired != expected[i];

            assert_int_equal(timer_is_set(&probes[i].timer), set[i] && !fired);
            if (fired) {
                assert_true(set[i]);
                assert_int_equal(probes[i].fired, expected[i] + 1);
                assert_int_equal(probes[i].fired_at, now);
                assert_true(probes[i].timer.deadline <= now);
                expected[i]++;
                set[i] = false;
            } else if (set[i] && kind > 4) {
                assert_true(due[i] > now - 2 * TICK);
            }
            if (set[i]) {
                int64_t wait = timers_wait(&timers, now);

                assert_true(wait >= 0 && now + wait <= due[i] + 2 * TICK);
            }
        }
    }
}

/* With one timer set within a round, the wait is exact: wherever the wheel stands, wherever it is
 * set. */
static void wait_is_that_of_the_next_deadline(void **state)
{
    (void)state;
    for (int64_t at = 0; at < 2 * TIMER_SLOTS; at += 61) {
        for (int64_t ahead = 1; ahead < TIMER_SLOTS; ahead += 7) {
            struct probe probe = make_probe();

            now = START + at * TICK;
            timers_init(&timers, now);
            assert_int_equal(timers_wait(&timers, now), -1);
            timer_set(&timers, &probe.timer, now + ahead * TICK);
            int64_t wait = timers_wait(&timers, now);
            assert_true(wait >= ahead * TICK && wait < (ahead + 1) * TICK);
            run_at(now + wait - 1);
            assert_int_equal(probe.fired, 0);
            run_at(now + 1);
            assert_int_equal(probe.fired, 1);
            assert_int_equal(timers_wait(&timers, now), -1);
        }
    }
}

static void stopped_ones_cost_one_turn_at_most(void **state)
{
    struct probe probe = make_probe();

    (void)state;
    timer_set(&timers, &probe.timer, now + 5 * TICK);
    timer_stop(&timers, &probe.timer);
    timer_stop(&timers, &probe.timer);
    assert_false(timer_is_set(&probe.timer));
    int64_t wait = timers_wait(&timers, now);
    if (wait >= 0)
        run_at(now + wait);
    assert_int_equal(timers_wait(&timers, now), -1);
    assert_int_equal(probe.fired, 0);
}

static void set_again(struct probe *probe)
{
    if (probe->fired < 100)
        timer_set(&timers, &probe->timer, now - TICK);
}

/* A timer that sets itself to a time gone by fires once a tick, not for ever in one turn. */
static void set_into_the_past_by_itself(void **state)
{
    struct probe probe = make_probe();

    (void)state;
    probe.act = set_again;
    timer_set(&timers, &probe.timer, now - 5 * TICK);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(probe.fired, i);
        run_at(now);
        assert_int_equal(probe.fired, i);
        run_at(now + TICK);
    }
    assert_int_equal(probe.fired, 100);
    assert_false(timer_is_set(&probe.timer));
}

static void set_soon_again(struct probe *probe)
{
    timer_set(&timers, &probe->timer, now + 1);
}

/* What is set while the wheel catches up after a long sleep is not put behind it. */
static void set_while_catching_up(void **state)
{
    /* The last one is two hundred years: a sleep costs at most one round of the wheel. */
    static const int64_t sleeps[] = {
        2, 100, TIMER_SLOTS - 1, TIMER_SLOTS, TIMER_SLOTS + 1, 7 * TIMER_SLOTS, 197100000000};

    (void)state;
    for (unsigned i = 0; i < sizeof(sleeps) / sizeof(sleeps[0]); i++) {
        struct probe probe = make_probe();

        probe.act = set_soon_again;
        timer_set(&timers, &probe.timer, now + TICK / 2);
        run_at(now + sleeps[i] * TICK);
        assert_int_equal(probe.fired, 1);
        run_at(now + 2 * TICK);
        assert_int_equal(probe.fired, 2);
        timer_stop(&timers, &probe.timer);
    }
}

static void stop_other(struct probe *probe)
{
    timer_stop(&timers, &probe->other->timer);
}

static void move_other(struct probe *probe)
{
    timer_set(&timers, &probe->other->timer, now + 10 * TICK);
}

/* Two that are due at once: whichever comes first may stop or move the other. */
static void one_acts_on_another_that_is_due(void **state)
{
    struct probe a = make_probe(), b = make_probe(), c = make_probe();

    (void)state;
    a.other = &b;
    b.other = &a;
    a.act = b.act = stop_other;
    timer_set(&timers, &a.timer, now + TICK);
    timer_set(&timers, &b.timer, now + TICK);
    timer_set(&timers, &c.timer, now + TICK);
    run_at(now + 2 * TICK);
    assert_int_equal(a.fired + b.fired, 1);
    assert_int_equal(c.fired, 1);
    assert_false(timer_is_set(&a.timer) || timer_is_set(&b.timer));

    a.fired = b.fired = 0;
    a.act = b.act = move_other;
    timer_set(&timers, &a.timer, now + TICK);
    timer_set(&timers, &b.timer, now + TICK);
    run_at(now + 2 * TICK);
    assert_int_equal(a.fired + b.fired, 1);
    a.act = b.act = NULL;
    run_at(now + 9 * TICK);
    assert_int_equal(a.fired + b.fired, 1);
    run_at(now + 2 * TICK);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 1);
}

static void moved_ones_fire_once(void **state)
{
    struct probe probe = make_probe();

    (void)state;
    timer_set(&timers, &probe.timer, now + TICK);
    timer_set(&timers, &probe.timer, now + 20 * TICK);
    run_at(now + 19 * TICK);
    assert_int_equal(probe.fired, 0);
    timer_set(&timers, &probe.timer, now + TICK);
    run_at(now + 3 * TICK);
    assert_int_equal(probe.fired, 1);
    run_at(now + 3 * ROUND);
    assert_int_equal(probe.fired, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(slept_exactly_as_long_as_allowed, begin),
        cmocka_unit_test_setup(random_operations, begin),
        cmocka_unit_test_setup(wait_is_that_of_the_next_deadline, begin),
        cmocka_unit_test_setup(stopped_ones_cost_one_turn_at_most, begin),
        cmocka_unit_test_setup(set_into_the_past_by_itself, begin),
        cmocka_unit_test_setup(set_while_catching_up, begin),
        cmocka_unit_test_setup(one_acts_on_another_that_is_due, begin),
        cmocka_unit_test_setup(moved_ones_fire_once, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
