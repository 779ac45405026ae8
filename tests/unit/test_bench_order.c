/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's check of the order with random destinations, and its random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "../../bench/order.c"
#include "../../bench/random.h"

static void each_pair_has_its_own_order(void **state)
{
    struct order order;

    (void)state;
    assert_int_equal(order_init(&order, 20 * 20), 0);
    assert_int_equal(order_check(&order, 1, 2, 5), ORDER_UNKNOWN);
    assert_int_equal(order_check(&order, 1, 3, 4), ORDER_UNKNOWN); /* another destination */
    assert_int_equal(order_check(&order, 2, 1, 3), ORDER_UNKNOWN); /* the way back */
    assert_int_equal(order_check(&order, 1, 2, 6), ORDER_RIGHT);
    assert_int_equal(order_check(&order, 1, 3, 9), ORDER_RIGHT);
    assert_int_equal(order_check(&order, 2, 1, 4), ORDER_RIGHT);
    order_free(&order);
}

static void late_and_double_packets_are_seen(void **state)
{
    struct order order;

    (void)state;
    assert_int_equal(order_init(&order, 4), 0);
    assert_int_equal(order_check(&order, 1, 2, 10), ORDER_UNKNOWN);
    assert_int_equal(order_check(&order, 1, 2, 10), ORDER_WRONG);
    assert_int_equal(order_check(&order, 1, 2, 9), ORDER_WRONG);
    /* What came late does not make the next late one right. */
    assert_int_equal(order_check(&order, 1, 2, 10), ORDER_WRONG);
    assert_int_equal(order_check(&order, 1, 2, 11), ORDER_RIGHT);
    order_free(&order);
}

/* With twice the room, pairs that share a place are few: nearly all are remembered. */
static void few_pairs_are_forgotten(void **state)
{
    const uint32_t peers = 200;
    struct order order;
    unsigned unknown = 0;

    (void)state;
    assert_int_equal(order_init(&order, peers * peers), 0);
    for (uint64_t round = 1; round <= 2; round++) {
        unknown = 0;
        for (uint32_t source = 0; source < peers; source++)
            for (uint32_t destination = 0; destination < peers; destination++) {
                enum order_verdict verdict = order_check(&order, source, destination, round);

                assert_int_not_equal(verdict, ORDER_WRONG);
                unknown += verdict == ORDER_UNKNOWN;
            }
    }
    assert_in_range(unknown, 0, peers * peers / 10);
    order_free(&order);
}

/* The memory has a bound; the pairs that were seen last are those that it keeps. */
static void the_latest_are_remembered(void **state)
{
    const uint32_t recent = ORDER_MAX_ENTRIES / 16;
    struct order order;
    unsigned missed = 0;

    (void)state;
    assert_int_equal(order_init(&order, UINT64_MAX / 4), 0);
    assert_int_equal((order.mask + 1) * ORDER_WAYS, ORDER_MAX_ENTRIES);
    for (uint32_t i = 0; i < 4 * ORDER_MAX_ENTRIES; i++)
        assert_int_equal(order_check(&order, i, i ^ 1, 7), ORDER_UNKNOWN);
    for (uint32_t i = 4 * ORDER_MAX_ENTRIES - recent; i < 4 * ORDER_MAX_ENTRIES; i++)
        missed += order_check(&order, i, i ^ 1, 7) != ORDER_WRONG;
    assert_in_range(missed, 0, recent / 100);
    order_free(&order);
}

static void in_one_set_the_oldest_gives_way(void **state)
{
    struct order order;

    (void)state;
    assert_int_equal(order_init(&order, 1), 0);
    assert_int_equal(order.mask, 0);
    for (uint32_t i = 0; i < ORDER_WAYS; i++)
        assert_int_equal(order_check(&order, i, 100, 1), ORDER_UNKNOWN);
    assert_int_equal(order_check(&order, 0, 100, 2), ORDER_RIGHT); /* used again: 1 is the oldest */
    assert_int_equal(order_check(&order, 50, 100, 1), ORDER_UNKNOWN);
    assert_int_equal(order_check(&order, 0, 100, 3), ORDER_RIGHT);
    assert_int_equal(order_check(&order, 2, 100, 2), ORDER_RIGHT);
    assert_int_equal(order_check(&order, 1, 100, 2), ORDER_UNKNOWN);
    order_free(&order);
}

static void destinations_are_others_and_even(void **state)
{
    const uint32_t count = 10, self = 3, draws = 90000;
    unsigned drawn[10] = {0};
    struct random random;

    (void)state;
    random_init(&random, 1);
    for (uint32_t i = 0; i < draws; i++) {
        uint32_t other = random_other(&random, count, self);

        assert_in_range(other, 0, count - 1);
        drawn[other]++;
    }
    assert_int_equal(drawn[self], 0);
    for (uint32_t i = 0; i < count; i++)
        if (i != self)
            assert_in_range(drawn[i], draws / 9 - 500, draws / 9 + 500);
    random_init(&random, 0);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(random_other(&random, 2, i % 2), 1 - i % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_has_its_own_order),
        cmocka_unit_test(late_and_double_packets_are_seen),
        cmocka_unit_test(few_pairs_are_forgotten),
        cmocka_unit_test(the_latest_are_remembered),
        cmocka_unit_test(in_one_set_the_oldest_gives_way),
        cmocka_unit_test(destinations_are_others_and_even),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
