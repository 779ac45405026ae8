/* SPDX-License-Identifier: BSD-3-Clause */
/* Ten senders flat out against a relay that has one core: no stream is damaged, memory stays within
 * its bound, and an eleventh pair still passes packets. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay_process.h"
#include "traffic.h"

#define SENDERS "10"

/* What the relay may grow by: its receive chunks (2 MiB), what waits for each of eleven
 * destinations (2 MiB and what rounding up to buffer sizes adds), the free buffers it keeps, and
 * something for connections. */
#define RSS_BOUND_KIB (2048 + 11 * 3072 + 6144)

/* The first and the second core that this program may use; -1 where there is only one. */
static void find_cores(int *first, int *second)
{
    cpu_set_t cores;

    *first = *second = -1;
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0 || CPU_COUNT(&cores) < 2)
        return;
    for (int core = 0; core < CPU_SETSIZE && *second < 0; core++) {
        if (!CPU_ISSET((unsigned)core, &cores))
            continue;
        *(*first < 0 ? first : second) = core;
    }
}

/* A number in the load generator's JSON. */
static uint64_t figure(const char *json, const char *name)
{
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "\"%s\": ", name);
    const char *at = strstr(json, quoted);
    if (!at)
        fail_msg("no %s in the load generator's figures", name);
    return strtoull(at + strlen(quoted), NULL, 10);
}

static void test_flood(void **state)
{
    const char *given = getenv("FLOOD_SECONDS");
    unsigned seconds = given ? (unsigned)strtoul(given, NULL, 10) : 4;
    char duration[16];
    int relay_core, load_core;

    find_cores(&relay_core, &load_core);
    assert_true(seconds > 0 && seconds < 500);
    snprintf(duration, sizeof(duration), "%u", seconds);
    struct process *relay = process_start(*state, 0, relay_core);
    long rss_before = process_rss_kib(relay);
    struct pair *pair = pair_start(process_address(relay), 200, 1000);
    const char *arguments[] = {"--relay",    process_address(relay),
                               "--pairs",    SENDERS,
                               "--rate",     "0",
                               "--burst",    "8",
                               "--size",     "1400",
                               "--duration", duration,
                               "--json",     matrix_is_tls() ? "--tls" : NULL,
                               "--insecure", NULL};
    struct process *load = process_spawn(BENCH, arguments, load_core);
    int status = process_wait(load, (int)seconds * 1000 + PATIENCE_MS);
    long rss_most = process_peak_kib(relay);
    /* It shares its core with twenty threads that never rest. */
    pair_stop(pair, "the flood", 10 * A_SECOND_US);

    const char *json = process_output(load);
    if (status != 0)
        fail_msg("the load generator found fault, status %d:\n%s%s", status, json,
                 process_log(load));
    uint64_t sent = figure(json, "sent"), delivered = figure(json, "delivered");
    assert_int_equal(figure(json, "damaged"), 0);
    assert_int_equal(figure(json, "misordered"), 0);
    assert_int_equal(figure(json, "broken_connections"), 0);
    assert_true(delivered > 0);
    process_free(load);
    process_stop(relay);
    print_message("%" PRIu64 " packets sent, %" PRIu64 " delivered in %u s; RSS %ld KiB, at most "
                  "%ld KiB\n",
                  sent, delivered, seconds, rss_before, rss_most);
    assert_true(process_counter(relay, "packets_received") >= sent);
    assert_true(process_counter(relay, "packets_delivered") >= delivered);
    assert_int_equal(process_counter(relay, "send_errors"), 0);
    assert_int_equal(process_counter(relay, "protocol_errors"), 0);
    if (!SANITIZED)
        assert_true(rss_most - rss_before <= RSS_BOUND_KIB);
    process_free(relay);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"flood", test_flood, CELLS_ENGINES | CELLS_TLS},
    };
    return matrix_run("flood", tests, sizeof(tests) / sizeof(tests[0]));
}
