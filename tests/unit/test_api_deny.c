/* SPDX-License-Identifier: BSD-3-Clause */
/* Denials with a reason, on each engine, in the clear, over TLS, in WebSocket messages: the client
 * and the log are told, and the connection stays for a while. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay_fixture.h"
#include "websocket_client.h"
#include "wire/frame.h"

#define REASON  "your key has not been let in; ask at https://vpn.example"
#define KEPT_MS 5000

enum { MAX_TICKETS = 8 };

struct office {
    const char *reason; /* what admit() denies with at once; NULL: later() does */
    bool later;
    sem_t asked;
    atomic_uint questions;
    hyperderp_admission *tickets[MAX_TICKETS];
    pthread_mutex_t lock; /* of the line */
    unsigned lines;
    char line[512]; /* the last one about a denial */
};

static hyperderp_verdict admit(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket)
{
    struct office *office = user;

    (void)client;
    if (!office->later)
        hyperderp_admission_deny(ticket, office->reason);
    else
        office->tickets[atomic_fetch_add(&office->questions, 1)] = ticket;
    sem_post(&office->asked);
    return HYPERDERP_LATER;
}

static void note_line(void *user, hyperderp_log_level level, const char *line)
{
    struct office *office = user;

    if (strncmp(line, "client denied: ", 15) != 0)
        return;
    pthread_mutex_lock(&office->lock);
    assert_int_equal(level, HYPERDERP_LOG_INFO);
    snprintf(office->line, sizeof(office->line), "%s", line);
    office->lines++;
    pthread_mutex_unlock(&office->lock);
}

static void start(struct fixture *fixture, struct office *office, hyperderp_relay_options options)
{
    assert_int_equal(sem_init(&office->asked, 0, 0), 0);
    pthread_mutex_init(&office->lock, NULL);
    options.user = office;
    options.admit = admit;
    options.log = note_line;
    options.log_level = HYPERDERP_LOG_INFO;
    fixture_start(fixture, &options, 0);
}

static void stop(struct fixture *fixture, struct office *office)
{
    fixture_stop(fixture);
    sem_destroy(&office->asked);
    pthread_mutex_destroy(&office->lock);
}

/* A client that has shown its key; the relay has asked. */
static int ask(const struct fixture *fixture, struct office *office)
{
    uint8_t request[CLIENT_MAX_REQUEST + 64];
    struct client client;
    int fd = fixture_connect(fixture);
    size_t size = fixture_fast_request(fixture, &client, request, sizeof(request));

    fixture_send(fd, request, size);
    client_wipe(&client);
    sem_wait(&office->asked);
    return fd;
}

/* ServerKey, then a Health frame with this text. */
static void expect_health(int fd, const char *text)
{
    uint8_t header[FRAME_HEADER_SIZE];
    uint8_t payload[UINT8_MAX]; /* a length of one byte fits */

    fixture_receive(fd, header, sizeof(header));
    assert_int_equal(header[0], FRAME_SERVER_KEY);
    fixture_receive(fd, payload, header[4]);
    fixture_receive(fd, header, sizeof(header));
    assert_int_equal(header[0], FRAME_HEALTH);
    assert_int_equal(header[1] | header[2] | header[3], 0);
    assert_int_equal(header[4], strlen(text));
    fixture_receive(fd, payload, header[4]);
    assert_memory_equal(payload, text, strlen(text));
}

static bool denied_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_denied == value;
}

static void check_line(struct office *office, const char *reason)
{
    pthread_mutex_lock(&office->lock);
    assert_int_equal(office->lines, 1);
    assert_non_null(strstr(office->line, " 127.0.0.1:"));
    assert_string_equal(office->line + strlen(office->line) - strlen(reason), reason);
    pthread_mutex_unlock(&office->lock);
}

/* Told at once, and counted at once; the connection stays. A drain does not wait for it. */
static void denied_inside_admit(void **state)
{
    struct office office = {.reason = REASON};
    struct fixture fixture;

    start(&fixture, &office, fixture_options(fixture_engine(state), 2));
    int fd = ask(&fixture, &office);
    expect_health(fd, REASON);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.handshakes_denied, 1);
    assert_int_equal(counters.health_frames, 1);
    assert_int_equal(counters.handshakes_ok, 0);
    assert_int_equal(counters.connections, 1);
    assert_int_equal(counters.connections_by_state[HYPERDERP_CONNECTION_CLOSING], 1);
    check_line(&office, REASON);
    /* What it sends is nobody's affair. */
    fixture_send(fd, "\x04\x00\x00", 3);
    int64_t begun = fixture_now_ms();
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), -ETIMEDOUT);
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    assert_true(fixture_now_ms() - begun < KEPT_MS);
    counters = fixture_counters(&fixture);
    assert_int_equal(counters.handshakes_denied, 1);
    assert_int_equal(counters.handshakes_timed_out + counters.handshakes_failed, 0);
    stop(&fixture, &office);
}

static void *deny_all(void *arg)
{
    struct office *office = arg;

    for (unsigned i = 0; i < MAX_TICKETS; i++) {
        sem_wait(&office->asked);
        hyperderp_admission_deny(office->tickets[i], REASON);
    }
    return NULL;
}

static void denied_by_another_thread(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct office office = {.later = true};
    struct fixture fixture;
    pthread_t thread;
    int fds[MAX_TICKETS];

    start(&fixture, &office, options);
    assert_int_equal(pthread_create(&thread, NULL, deny_all, &office), 0);
    for (unsigned i = 0; i < MAX_TICKETS; i++) {
        uint8_t request[CLIENT_MAX_REQUEST + 64];
        struct client client;
        fds[i] = fixture_connect(&fixture);
        fixture_send(fds[i], request,
                     fixture_fast_request(&fixture, &client, request, sizeof(request)));
        client_wipe(&client);
    }
    for (unsigned i = 0; i < MAX_TICKETS; i++)
        expect_health(fds[i], REASON);
    pthread_join(thread, NULL);
    fixture_wait(&fixture, denied_are, MAX_TICKETS);
    assert_int_equal(fixture_counters(&fixture).connections, MAX_TICKETS);
    hyperderp_relay_stop(fixture.relay); /* closes them at once */
    for (unsigned i = 0; i < MAX_TICKETS; i++) {
        (void)fixture_read_end(fds[i]);
        fixture_hang_up(fds[i]);
    }
    assert_int_equal(fixture_counters(&fixture).handshakes_denied, MAX_TICKETS);
    stop(&fixture, &office);
}

/* What the embedder says may be somebody else's words. */
static void reason_is_cleaned(void **state)
{
    static const char euro[] = "\xe2\x82\xac";
    char longer[3 * HYPERDERP_MAX_DENY_REASON], expected[HYPERDERP_MAX_DENY_REASON + 1] = "";
    const char *const said[] = {"a\nforged line\x1b[31m \xff, \xc3( \xc2\x85.", longer};
    const char *const told[] = {"a?forged line?[31m ?, ?( ?.", expected};

    /* 199 bytes, and then characters of three. */
    memset(longer, 'x', HYPERDERP_MAX_DENY_REASON - 1);
    memcpy(expected, longer, HYPERDERP_MAX_DENY_REASON - 1);
    longer[HYPERDERP_MAX_DENY_REASON - 1] = '\0';
    for (unsigned i = 0; i < HYPERDERP_MAX_DENY_REASON / 3; i++)
        strcat(longer, euro);
    for (unsigned i = 0; i < 2; i++) {
        struct office office = {.reason = said[i]};
        struct fixture fixture;
        start(&fixture, &office, fixture_options(fixture_engine(state), 1));
        int fd = ask(&fixture, &office);
        expect_health(fd, told[i]);
        check_line(&office, told[i]);
        fixture_hang_up(fd);
        stop(&fixture, &office);
    }
}

/* As hyperderp_admission_answer(). */
static void no_reason(void **state)
{
    const char *const none[] = {NULL, ""};

    for (unsigned i = 0; i < 2; i++) {
        struct office office = {.reason = none[i]};
        struct fixture fixture;
        start(&fixture, &office, fixture_options(fixture_engine(state), 1));
        int fd = ask(&fixture, &office);
        (void)fixture_read_end(fd);
        fixture_hang_up(fd);
        fixture_wait(&fixture, counters_connections_are, 0);
        assert_int_equal(fixture_counters(&fixture).handshakes_denied, 1);
        assert_int_equal(fixture_counters(&fixture).health_frames, 0);
        assert_int_equal(office.lines, 0);
        stop(&fixture, &office);
    }
    hyperderp_admission_deny(NULL, REASON);
}

/* Kept for as long as is said, also when its client has left: nothing is read. Then it gets an
 * orderly end. */
static void kept_for_a_while(void **state)
{
    struct office office = {.reason = REASON};
    struct fixture fixture;

    start(&fixture, &office, fixture_options(fixture_engine(state), 1));
    int64_t begun = fixture_now_ms();
    int left = ask(&fixture, &office), fd = ask(&fixture, &office);
    expect_health(left, REASON);
    fixture_hang_up(left);
    expect_health(fd, REASON);
    assert_int_equal(fixture_read_end(fd), 0);
    assert_true(fixture_now_ms() - begun >= KEPT_MS - 100);
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_denied, 2);
    assert_int_equal(fixture_counters(&fixture).handshakes_timed_out, 0);
    stop(&fixture, &office);
}

/* Where there is little room those who are denied do not take it up. */
static void not_kept_where_it_is_crowded(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct office office = {.reason = REASON};
    struct fixture fixture;

    options.max_connections = 1;
    start(&fixture, &office, options);
    int64_t begun = fixture_now_ms();
    int fd = ask(&fixture, &office);
    expect_health(fd, REASON);
    assert_int_equal(fixture_read_end(fd), 0);
    assert_true(fixture_now_ms() - begun < KEPT_MS);
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_denied, 1);
    stop(&fixture, &office);
}

/* Nor while the relay hands its clients over, which ends when they have left. */
static void not_kept_by_a_relay_that_leaves(void **state)
{
    struct office office = {.reason = REASON};
    struct fixture fixture;

    start(&fixture, &office, fixture_options(fixture_engine(state), 2));
    int64_t begun = fixture_now_ms();
    int fd = ask(&fixture, &office);
    expect_health(fd, REASON);
    assert_int_equal(hyperderp_relay_hand_over(fixture.relay, 1), 0);
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_true(fixture_now_ms() - begun < KEPT_MS);
    stop(&fixture, &office);
}

/* Denials that nobody is there for any more. */
static void denied_too_late(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct office office = {.later = true};
    struct fixture fixture;

    options.handshake_timeout_ms = 200;
    start(&fixture, &office, options);
    int fd = ask(&fixture, &office);
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    hyperderp_admission_deny(office.tickets[0], REASON);
    fd = ask(&fixture, &office);
    hyperderp_relay_stop(fixture.relay);
    hyperderp_admission_deny(office.tickets[1], REASON);
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    assert_int_equal(fixture_counters(&fixture).handshakes_denied, 0);
    assert_int_equal(fixture_counters(&fixture).health_frames, 0);
    assert_int_equal(office.lines, 0);
    stop(&fixture, &office);
}

/* In a message, and the Close frame behind it says that it is a matter of policy. */
static void denied_over_websocket(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct office office = {.reason = REASON};
    struct websocket_client ws;
    struct fixture fixture;

    options.max_connections = 1; /* so that it is not kept */
    start(&fixture, &office, options);
    ws_open(&ws, &fixture);
    ws_expect_switch(&ws);
    ws_send_info(&ws);
    struct client_message message = ws_expect(&ws, CLIENT_MESSAGE_HEALTH);
    assert_int_equal(message.len, strlen(REASON));
    assert_memory_equal(message.payload, REASON, message.len);
    ws_expect_close(&ws, 1008);
    ws_hang_up(&ws);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_denied, 1);
    stop(&fixture, &office);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(denied_inside_admit),
        FIXTURE_ON_ALL(denied_by_another_thread),
        FIXTURE_ON_BOTH(reason_is_cleaned),
        FIXTURE_ON_ALL(no_reason),
        FIXTURE_ON_BOTH(kept_for_a_while),
        FIXTURE_ON_ALL(not_kept_where_it_is_crowded),
        FIXTURE_ON_ALL(not_kept_by_a_relay_that_leaves),
        FIXTURE_ON_ALL(denied_too_late),
        FIXTURE_ON_ALL(denied_over_websocket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
