/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters: each lands in the field of its name, gauges may wrap in one block, readers of any age
 * are served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "relay/counters.h"

static void each_in_its_field(void **state)
{
    static struct counters first, second;
    hyperderp_counters sum = {0};
    uint64_t expected = 0;

    (void)state;
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        counters_add(&first, (enum counter)i, i + 1);
        counters_add(&second, (enum counter)i, 1000);
        counters_add(&second, (enum counter)i, 1000);
    }
    counters_sum(&sum, &first);
    counters_sum(&sum, &second);
#define X(name) assert_int_equal(sum.name, ++expected + 2000);
    COUNTERS(X)
#undef X
    assert_int_equal(expected, COUNTER_loop_events);
}

static void drops(void **state)
{
    static struct counters counters;
    hyperderp_counters sum = {0};

    (void)state;
    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            for (unsigned i = 0; i <= reason * 2 + kind; i++)
                counters_drop(&counters, (hyperderp_drop_reason)reason, (hyperderp_packet_kind)kind,
                              1);
    counters_sum(&sum, &counters);
    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            assert_int_equal(sum.drops[reason][kind], reason * 2 + kind + 1);
}

/* One worker saw it come, another saw it go. */
static void gauges_wrap(void **state)
{
    static struct counters first, second;
    hyperderp_counters sum = {0};

    (void)state;
    counters_add(&first, COUNTER_connections, 5);
    counters_add(&second, COUNTER_connections, (uint64_t)-1);
    counters_add(&second, COUNTER_connections, (uint64_t)-1);
    counters_sum(&sum, &second);
    counters_sum(&sum, &first);
    assert_int_equal(sum.connections, 3);
}

#define ADDS 2000000

static void *add(void *arg)
{
    for (unsigned i = 0; i < ADDS; i++)
        counters_add(arg, COUNTER_pings, 1);
    return NULL;
}

static void read_while_written(void **state)
{
    static struct counters counters;
    uint64_t before = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, add, &counters), 0);
    while (before < ADDS) {
        hyperderp_counters sum = {0};

        counters_sum(&sum, &counters);
        assert_true(sum.pings >= before && sum.pings <= ADDS);
        before = sum.pings;
    }
    pthread_join(thread, NULL);
}

static void readers_of_any_age(void **state)
{
    hyperderp_relay_options options;
    hyperderp_relay *relay;
    struct {
        hyperderp_counters counters;
        unsigned char behind[32];
    } out;

    (void)state;
    hyperderp_relay_options_init(&options);
    options.workers = 2;
    options.engine = HYPERDERP_ENGINE_EPOLL;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    static const size_t sizes[] = {0, sizeof(size_t),
                                   offsetof(hyperderp_counters, packets_received),
                                   sizeof(hyperderp_counters), sizeof(out)};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(&out, 0xee, sizeof(out));
        out.counters.size = sizes[i];
        hyperderp_relay_counters(relay, &out.counters);
        assert_int_equal(out.counters.size, sizes[i]);
        assert_int_equal(out.counters.recv_bytes == 0, sizes[i] > sizeof(size_t));
        assert_int_equal(out.counters.packets_received == 0,
                         sizes[i] > offsetof(hyperderp_counters, packets_received));
        assert_int_equal(out.behind[0], 0xee);
        if (sizes[i] >= sizeof(hyperderp_counters))
            assert_int_equal(out.counters.workers, 2);
    }
    hyperderp_relay_counters(relay, NULL);
    hyperderp_relay_free(relay);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(hyperderp_drop_reason_name(HYPERDERP_DROP_UNKNOWN_PEER), "unknown_peer");
    assert_string_equal(hyperderp_drop_reason_name(HYPERDERP_DROP_QUEUE_FULL), "queue_full");
    assert_string_equal(hyperderp_drop_reason_name(HYPERDERP_DROP_GONE), "gone");
    assert_string_equal(hyperderp_drop_reason_name(HYPERDERP_DROP_WRITE_ERROR), "write_error");
    assert_string_equal(hyperderp_drop_reason_name(HYPERDERP_DROP_MEMORY), "memory");
    assert_string_equal(hyperderp_drop_reason_name(HYPERDERP_DROP_EXPIRED), "expired");
    assert_string_equal(hyperderp_drop_reason_name((hyperderp_drop_reason)HYPERDERP_DROP_REASONS),
                        "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_in_its_field),  cmocka_unit_test(drops),
        cmocka_unit_test(gauges_wrap),        cmocka_unit_test(read_while_written),
        cmocka_unit_test(readers_of_any_age), cmocka_unit_test(names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
