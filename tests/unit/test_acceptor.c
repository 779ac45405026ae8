/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may connect, on both engines: so many a second, and so many from one address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "relay_fixture.h"

static hyperderp_limits limits_with(unsigned accept_rate, unsigned per_ip)
{
    return (hyperderp_limits){
        .size = sizeof(hyperderp_limits), .accept_rate = accept_rate, .connections_per_ip = per_ip};
}

static bool counters_accepts_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->accepts == value;
}

/* Connects so often, and waits until each has been judged. */
static void connect_all(const struct fixture *fixture, int *fds, unsigned count)
{
    uint64_t before = fixture_counters(fixture).accepts;

    for (unsigned i = 0; i < count; i++)
        fds[i] = fixture_connect_bare(fixture);
    fixture_wait(fixture, counters_accepts_are, before + count);
}

static bool refused_and_open_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->connections + counters->refused[HYPERDERP_REFUSED_ACCEPT_RATE] == value;
}

static void accept_rate_is_held(void **state)
{
    enum { MANY = 40, RATE = 10, AT_ONCE = 5 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    int fds[MANY];

    options.accept_rate = RATE;
    options.accept_burst = AT_ONCE;
    fixture_start(&fixture, &options, 0);
    int64_t began = fixture_now_ms();
    connect_all(&fixture, fds, MANY);
    fixture_wait(&fixture, refused_and_open_are, MANY);
    int64_t took = fixture_now_ms() - began;
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_in_range(counters.connections, AT_ONCE, AT_ONCE + 1 + (uint64_t)took * RATE / 1000);
    assert_int_equal(counters.slab_exhausts, 0);

    /* Half a second brings five more. */
    uint64_t before = counters.connections;
    usleep(500000); /* the time in which the bucket fills */
    int more[MANY];
    connect_all(&fixture, more, MANY);
    fixture_wait(&fixture, refused_and_open_are, 2 * MANY);
    assert_true(fixture_counters(&fixture).connections >= before + AT_ONCE);

    /* Without the limit all get in. */
    hyperderp_limits none = limits_with(0, 0);
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &none), 0);
    before = fixture_counters(&fixture).connections;
    for (unsigned i = 0; i < MANY; i++)
        close(fds[i]);
    connect_all(&fixture, fds, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        close(fds[i]);
        close(more[i]);
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).refused[HYPERDERP_REFUSED_ACCEPT_RATE],
                     2 * MANY - before);
    fixture_stop(&fixture);
}

static bool per_ip_refused_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->refused[HYPERDERP_REFUSED_PER_IP] == value;
}

static void refused_from(const struct fixture *fixture, const char *source)
{
    uint64_t before = fixture_counters(fixture).refused[HYPERDERP_REFUSED_PER_IP];
    int fd = fixture_connect_from(fixture, source);

    (void)fixture_read_end(fd);
    close(fd);
    fixture_wait(fixture, per_ip_refused_are, before + 1);
}

static void so_many_from_one_address(void **state)
{
    enum { MOST = 3 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    int first[MOST], second[MOST];

    options.connections_per_ip = MOST;
    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < MOST; i++) {
        first[i] = fixture_connect_from(&fixture, "127.0.0.2");
        second[i] = fixture_connect_from(&fixture, "127.0.0.3");
    }
    fixture_wait(&fixture, counters_connections_are, 2 * MOST);
    refused_from(&fixture, "127.0.0.2");
    refused_from(&fixture, "127.0.0.3");
    assert_int_equal(fixture_counters(&fixture).slab_exhausts, 0);
    /* One that goes makes room for one, of its own address. */
    close(first[0]);
    fixture_wait(&fixture, counters_connections_are, 2 * MOST - 1);
    refused_from(&fixture, "127.0.0.3");
    first[0] = fixture_connect_from(&fixture, "127.0.0.2");
    fixture_wait(&fixture, counters_connections_are, 2 * MOST);
    refused_from(&fixture, "127.0.0.2");
    /* Clients join from a third one. */
    struct client_socket *client = fixture_join(&fixture, 0);
    fixture_expect_nothing(client);
    client_socket_close(client);
    for (unsigned i = 0; i < MOST; i++) {
        close(first[i]);
        close(second[i]);
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).refused[HYPERDERP_REFUSED_PER_IP], 4);
    fixture_stop(&fixture);
}

/* A limit that comes later counts those who are there. */
static void limit_by_address_comes_and_goes(void **state)
{
    enum { THERE = 4 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_limits two = limits_with(0, 2), none = limits_with(0, 0);
    struct fixture fixture;
    int fds[THERE + 1];

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < THERE; i++)
        fds[i] = fixture_connect_from(&fixture, "127.0.0.2");
    fixture_wait(&fixture, counters_connections_are, THERE);
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &two), 0);
    refused_from(&fixture, "127.0.0.2");
    assert_int_equal(fixture_counters(&fixture).connections, THERE);
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &none), 0);
    fds[THERE] = fixture_connect_from(&fixture, "127.0.0.2");
    fixture_wait(&fixture, counters_connections_are, THERE + 1);
    for (unsigned i = 0; i <= THERE; i++)
        close(fds[i]);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_BOTH(accept_rate_is_held),
        FIXTURE_ON_ALL(so_many_from_one_address),
        FIXTURE_ON_ALL(limit_by_address_comes_and_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
