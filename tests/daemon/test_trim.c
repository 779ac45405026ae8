/* SPDX-License-Identifier: BSD-3-Clause */
/* When memory is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trim.h"

static bool due(struct trim *trim, uint64_t connections, uint64_t queued_bytes)
{
    const hyperderp_counters counters = {
        .size = sizeof(counters), .connections = connections, .queued_bytes = queued_bytes};

    return trim_is_due(trim, &counters);
}

static void a_small_relay_never(void **state)
{
    struct trim trim = {0};

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_false(due(&trim, i % 2 ? 400 : 0, i % 3 ? 1 << 20 : 0));
}

/* Once, when half of the most is gone; not again while nothing comes. */
static void when_half_has_gone(void **state)
{
    struct trim trim = {0};

    (void)state;
    assert_false(due(&trim, 3000, 0));
    assert_false(due(&trim, 2000, 0));
    assert_true(due(&trim, 1500, 0));
    assert_false(due(&trim, 1400, 0));
    assert_true(due(&trim, 0, 0));
    assert_false(due(&trim, 0, 0));
    assert_false(due(&trim, 10, 32 << 20));
    assert_false(due(&trim, 10, 17 << 20));
    assert_true(due(&trim, 10, 1 << 20));
    assert_false(due(&trim, 10, 0));
}

/* What comes and goes within its half costs nothing. */
static void not_for_ebb_and_flow(void **state)
{
    struct trim trim = {0};

    (void)state;
    assert_false(due(&trim, 1000, 8 << 20));
    for (unsigned i = 0; i < 100; i++)
        assert_false(due(&trim, i % 2 ? 600 : 1000, i % 2 ? 5 << 20 : 8 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_relay_never),
        cmocka_unit_test(when_half_has_gone),
        cmocka_unit_test(not_for_ebb_and_flow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
