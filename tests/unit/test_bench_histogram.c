/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's histogram: its quantiles against those of the sorted values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../bench/histogram.c"

static struct histogram histogram;

static int clear(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof(histogram));
    return 0;
}

static void empty(void **state)
{
    (void)state;
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(histogram_quantile(&histogram, 1), 0);
}

static void buckets_cover_all_values_once(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(bucket_of(bucket_end(i)), i);
        assert_int_equal(bucket_of(bucket_end(i) + 1), i + 1);
    }
    assert_int_equal(bucket_of(0), 0);
    assert_int_equal(bucket_end(HISTOGRAM_BUCKETS - 1), (1ull << HISTOGRAM_MAX_BITS) - 1);
    assert_int_equal(bucket_of(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 60; value++)
        histogram_add(&histogram, value);
    assert_int_equal(histogram_quantile(&histogram, 0), 1);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 30);
    assert_int_equal(histogram_quantile(&histogram, 59.0 / 60), 59);
    assert_int_equal(histogram_quantile(&histogram, 1), 60);
}

static void quantile_never_exceeds_max(void **state)
{
    (void)state;
    histogram_add(&histogram, 1000001);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 1000001);
    assert_int_equal(histogram.max, 1000001);
}

static void values_beyond_the_range(void **state)
{
    (void)state;
    histogram_add(&histogram, 5);
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 5);
    assert_int_equal(histogram_quantile(&histogram, 1), UINT64_MAX);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Values over nine orders of magnitude, from a generator with a fixed seed. */
static void quantiles_of_many(void **state)
{
    static const double shares[] = {0.001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999};
    static uint64_t values[20000];
    const size_t count = sizeof(values) / sizeof(values[0]);
    uint64_t x = 88172645463325252u, got, exact;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        values[i] = (x >> 20) >> (x % 40);
        histogram_add(&histogram, values[i]);
    }
    qsort(values, count, sizeof(values[0]), compare);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        exact = values[(size_t)(shares[i] * (double)count + 0.5) - 1];
        got = histogram_quantile(&histogram, shares[i]);
        assert_in_range(got, exact, exact + exact / 64 + 1);
    }
    assert_int_equal(histogram.count, count);
    assert_int_equal(histogram_quantile(&histogram, 1), values[count - 1]);
}

static void merge_is_as_if_all_were_added(void **state)
{
    static struct histogram a, b;

    (void)state;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    for (uint64_t i = 0; i < 1000; i++) {
        histogram_add(i % 3 == 0 ? &a : &b, i * i * i);
        histogram_add(&histogram, i * i * i);
    }
    histogram_merge(&a, &b);
    assert_memory_equal(&a, &histogram, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(empty, clear),
        cmocka_unit_test_setup(buckets_cover_all_values_once, clear),
        cmocka_unit_test_setup(small_values_are_exact, clear),
        cmocka_unit_test_setup(quantile_never_exceeds_max, clear),
        cmocka_unit_test_setup(values_beyond_the_range, clear),
        cmocka_unit_test_setup(quantiles_of_many, clear),
        cmocka_unit_test_setup(merge_is_as_if_all_were_added, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
