/* SPDX-License-Identifier: BSD-3-Clause */
/* Several requests on one connection, and what comes behind them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "relay_fixture.h"

#define PROBE "GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n"

/* Reads the head of an answer, byte by byte; returns whether it says that the connection closes. */
static bool read_head(int fd, const char *status)
{
    char head[4096];
    size_t len = 0;

    do {
        assert_true(len + 1 < sizeof(head));
        fixture_receive(fd, head + len, 1);
        head[++len] = '\0';
    } while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0);
    assert_memory_equal(head, status, strlen(status));
    return strstr(head, "\r\nConnection: close\r\n") != NULL;
}

/* One after the other, in one piece, and in two; the last one is told to be the last. */
static void several(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    unsigned answers = 0;

    fixture_start(&fixture, &options, 0);
    int fd = fixture_connect(&fixture);
    fixture_send_text(fd, PROBE);
    assert_false(read_head(fd, "HTTP/1.1 200 "));
    fixture_send_text(fd, PROBE PROBE "GET /gene");
    assert_false(read_head(fd, "HTTP/1.1 200 "));
    assert_false(read_head(fd, "HTTP/1.1 200 "));
    fixture_send_text(fd, "rate_204 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_false(read_head(fd, "HTTP/1.1 204 "));
    for (answers = 5; answers < 32; answers++) {
        fixture_send_text(fd, PROBE);
        assert_false(read_head(fd, "HTTP/1.1 200 "));
    }
    fixture_send_text(fd, PROBE);
    assert_true(read_head(fd, "HTTP/1.1 200 "));
    assert_int_equal(fixture_read_end(fd), 0);
    fixture_hang_up(fd);
    assert_int_equal(fixture_counters(&fixture).http_requests, answers);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* A client that has asked for a page may still join. */
static void then_derp(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    int fd = fixture_connect(&fixture);
    fixture_send_text(fd, PROBE FIXTURE_REQUEST);
    assert_false(read_head(fd, "HTTP/1.1 200 "));
    assert_false(read_head(fd, "HTTP/1.1 101 "));
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Nobody waits for ever for another request, and that is no failed handshake; a half one is. */
static void nothing_more(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;

    options.handshake_timeout_ms = 300;
    fixture_start(&fixture, &options, 0);
    int fd = fixture_connect(&fixture);
    fixture_send_text(fd, PROBE);
    assert_false(read_head(fd, "HTTP/1.1 200 "));
    assert_int_equal(fixture_read_end(fd), 0);
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_timed_out, 0);
    fd = fixture_connect(&fixture);
    fixture_send_text(fd, PROBE "GET /");
    assert_false(read_head(fd, "HTTP/1.1 200 "));
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_timed_out, 1);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(several),
        FIXTURE_ON_ALL(then_derp),
        FIXTURE_ON_ALL(nothing_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
