/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay inside the test program. */
#include "relay_embedded.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static hyperderp_relay *current;

/* Of the TLS listeners of all tests. */
static hyperderp_certificate *certificate(void)
{
    static hyperderp_certificate *made;

    if (!made)
        assert_int_equal(hyperderp_certificate_make(&made, "127.0.0.1", 10), 0);
    return made;
}

static void log_line(void *user, hyperderp_log_level level, const char *line)
{
    (void)user;
    if (level <= HYPERDERP_LOG_WARN)
        fprintf(stderr, "relay: %s\n", line);
}

void embedded_options(hyperderp_relay_options *options, const struct cell *cell)
{
    hyperderp_relay_options_init(options);
    options->engine = cell->engine;
    options->workers = cell->workers;
    options->log = log_line;
}

void embedded_start(struct embedded *embedded, const hyperderp_relay_options *options)
{
    hyperderp_listener_options listener;

    assert_null(current);
    assert_int_equal(hyperderp_relay_new(&embedded->relay, options), 0);
    current = embedded->relay;
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    listener.certificate = matrix_is_tls() ? certificate() : NULL;
    assert_int_equal(hyperderp_relay_add_listener(embedded->relay, &listener), 0);
    assert_int_equal(hyperderp_relay_listener_address(embedded->relay, 0, embedded->address,
                                                      sizeof(embedded->address)),
                     0);
    assert_int_equal(hyperderp_relay_start(embedded->relay), 0);
}

void embedded_counters(const struct embedded *embedded, hyperderp_counters *out)
{
    *out = (hyperderp_counters){.size = sizeof(*out)};
    hyperderp_relay_counters(embedded->relay, out);
}

static uint64_t sum_drops(const hyperderp_counters *counters, hyperderp_drop_reason reason)
{
    uint64_t sum = 0;

    for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
        sum += counters->drops[reason][kind];
    return sum;
}

uint64_t embedded_drops(const struct embedded *embedded, hyperderp_drop_reason reason)
{
    hyperderp_counters counters;

    embedded_counters(embedded, &counters);
    return sum_drops(&counters, reason);
}

void embedded_await_at(const struct embedded *embedded, size_t offset, const char *name,
                       uint64_t value, bool at_least)
{
    const struct timespec step = {.tv_nsec = 50000};
    int64_t until = now_us() + (int64_t)PATIENCE_MS * 1000;
    hyperderp_counters counters;
    uint64_t seen;

    for (;;) {
        embedded_counters(embedded, &counters);
        memcpy(&seen, (const char *)&counters + offset, sizeof(seen));
        if (at_least ? seen >= value : seen <= value)
            return;
        if (now_us() > until)
            fail_msg("counter %s stays at %" PRIu64 ", not %" PRIu64, name, seen, value);
        nanosleep(&step, NULL);
    }
}

void embedded_stop(struct embedded *embedded, hyperderp_counters *out)
{
    hyperderp_counters counters;
    uint64_t dropped = 0;

    hyperderp_relay_stop(embedded->relay);
    embedded_counters(embedded, &counters);
    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        dropped += sum_drops(&counters, (hyperderp_drop_reason)reason);
    assert_int_equal(counters.packets_received, counters.packets_delivered + dropped);
    assert_int_equal(counters.connections, 0);
    assert_int_equal(counters.peers_active, 0);
    assert_int_equal(counters.home_clients, 0);
    assert_int_equal(counters.queued_bytes, 0);
    if (out)
        *out = counters;
    current = NULL;
    hyperderp_relay_free(embedded->relay);
    embedded->relay = NULL;
}

void embedded_clean_up(void)
{
    hyperderp_relay *left = current;

    current = NULL;
    hyperderp_relay_free(left);
}
