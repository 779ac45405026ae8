/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's schedule: evenly spread over all threads, and counted as it is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../bench/schedule.c"

#define START 1000000000u

static void evenly_spaced(void **state)
{
    struct schedule schedule;

    (void)state;
    schedule_init(&schedule, START, 1000, 1, 0, 10, 10);
    for (uint64_t tick = 0; tick < 5000; tick++)
        assert_int_equal(schedule_due(&schedule, tick), START + tick * 1000000);
}

/* A write of several packets has the time of all of them. */
static void bursts_keep_the_rate(void **state)
{
    struct schedule schedule;

    (void)state;
    schedule_init(&schedule, START, 80000, 8, 0, 10, 10);
    assert_int_equal(schedule_due(&schedule, 1), START + 100000);
    assert_int_equal(schedule_count_before(&schedule, START + 1000000000), 10000);
}

/* Threads with 3, 4 and 1 senders: together they send what one thread with 8 would. */
static void threads_share_one_rate(void **state)
{
    static const unsigned senders[] = {3, 4, 1};
    struct schedule schedule;
    uint64_t count = 0;
    unsigned before = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        schedule_init(&schedule, START, 8000, 1, before, senders[i], 8);
        assert_in_range(schedule_due(&schedule, 0), START, START + 1000000);
        count += schedule_count_before(&schedule, START + 1000000000);
        before += senders[i];
    }
    assert_int_equal(count, 8000);
}

/* Threads with equal shares take turns. */
static void threads_take_turns(void **state)
{
    struct schedule first, second;

    (void)state;
    schedule_init(&first, START, 1000, 1, 0, 5, 10);
    schedule_init(&second, START, 1000, 1, 5, 5, 10);
    assert_int_equal(schedule_due(&first, 0), START);
    assert_int_equal(schedule_due(&second, 0), START + 1000000);
    assert_int_equal(schedule_due(&first, 1), START + 2000000);
    assert_int_equal(schedule_due(&second, 1), START + 3000000);
}

static void count_agrees_with_due(void **state)
{
    struct schedule schedule;

    (void)state;
    schedule_init(&schedule, START, 123456.7, 3, 2, 5, 9);
    for (uint64_t tick = 0; tick < 3000; tick += 7) {
        uint64_t due = schedule_due(&schedule, tick);

        assert_int_equal(schedule_count_before(&schedule, due), tick);
        assert_int_equal(schedule_count_before(&schedule, due + 1), tick + 1);
    }
    assert_int_equal(schedule_count_before(&schedule, 0), 0);
    assert_int_equal(schedule_count_before(&schedule, START), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evenly_spaced),          cmocka_unit_test(bursts_keep_the_rate),
        cmocka_unit_test(threads_share_one_rate), cmocka_unit_test(threads_take_turns),
        cmocka_unit_test(count_agrees_with_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
