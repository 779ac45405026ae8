/* SPDX-License-Identifier: BSD-3-Clause */
/* Thousands of TLS clients come at the same moment, as after a restart: each joins, and those who
 * are connected already notice little. */
#include <inttypes.h>

#include "relay_process.h"
#include "storm.h"
#include "traffic.h"

/* A sanitizer makes handshakes several times slower; what it is there to see, it sees with fewer.
 */
#define CLIENTS (SANITIZED ? 300 : 5000)

/* What one of a hundred packets of the pair may take. The clients' half of the handshakes is worked
 * on by the core that the pair has too. */
#define P99_US      (SANITIZED ? 5000000 : 50000)
#define BUSY_P99_US 5000000

/* The part of the time that the relay may spend waiting for its core. Beyond that, what is measured
 * is what else runs on this machine. */
#define BUSY_SHARE 10

static void test_storm(void **state)
{
    size_t count = storm_size(CLIENTS);

    if (count < CLIENTS)
        print_message("the limit of open files allows %zu clients of %u\n", count,
                      (unsigned)CLIENTS);
    /* The last one's turn comes when all others had theirs. */
    struct process *relay =
        process_start_tls(*state, process_reserve_core(), "limits.handshake_timeout = \"60s\"");
    struct pair *pair = pair_start(process_address(relay), 500, 200);
    int64_t began = now_us(), waited = process_waited_us(relay);
    struct storm *storm = storm_run(process_address(relay), count);
    int64_t took = now_us() - began;
    waited = process_waited_us(relay) - waited;
    bool busy = waited * BUSY_SHARE > took;
    if (busy)
        print_message("the relay waited %" PRId64 " of %" PRId64
                      " ms for its core: this machine is "
                      "too busy to measure\n",
                      waited / 1000, took / 1000);
    pair_stop_within(pair, "the storm", 10 * A_SECOND_US, busy ? BUSY_P99_US : P99_US);
    storm_free(storm);
    process_stop(relay);
    assert_int_equal(process_counter(relay, "tls_ok"), count + 2);
    assert_int_equal(process_counter(relay, "handshakes_ok"), count + 2);
    assert_int_equal(process_counter(relay, "tls_timed_out"), 0);
    assert_int_equal(process_counter(relay, "packets_delivered"),
                     process_counter(relay, "packets_received"));
    process_free(relay);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"storm", test_storm, CELLS_ENGINES | CELLS_TLS_ALONE},
    };
    return matrix_run("tls_storm", tests, sizeof(tests) / sizeof(tests[0]));
}
