/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection's life, state by state, on both engines: deadlines, pages, limits and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay_fixture.h"

/* ---- Deadlines ------------------------------------------------------------------------------- */

static _Atomic(hyperderp_admission *) ticket_kept;

static hyperderp_verdict keep_ticket(void *user, const hyperderp_client_info *client,
                                     hyperderp_admission *ticket)
{
    (void)user;
    (void)client;
    ticket_kept = ticket;
    return HYPERDERP_LATER;
}

/* One connection in each state before open; none outlives the handshake's deadline, or ends before.
 */
static void each_state_has_a_deadline(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct client client;
    uint8_t request[CLIENT_MAX_REQUEST];
    int fd[5];

    options.handshake_timeout_ms = 300;
    options.admit = keep_ticket;
    ticket_kept = NULL;
    fixture_start(&fixture, &options, 0);
    int64_t began = fixture_now_ms();
    for (unsigned i = 0; i < 5; i++)
        fd[i] = fixture_connect(&fixture);
    fixture_send_text(fd[1], "GET /derp HTTP/1.1\r\nHost: rel");
    fixture_send_text(fd[2], FIXTURE_REQUEST);
    FIXTURE_SEND_LITERAL(fd[3],
                         FIXTURE_REQUEST "\x02\x00\x00\x01"); /* the beginning of a ClientInfo */
    fixture_send(fd[4], request, fixture_fast_request(&fixture, &client, request, sizeof(request)));
    for (unsigned i = 0; i < 5; i++) {
        (void)fixture_read_end(fd[i]);
        assert_true(fixture_now_ms() - began >= 300);
        fixture_hang_up(fd[i]);
    }
    assert_true(fixture_now_ms() - began < 2000);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_timed_out, 5);
    assert_non_null(ticket_kept);
    hyperderp_admission_answer(ticket_kept, HYPERDERP_ALLOW);
    client_wipe(&client);
    fixture_stop(&fixture);
}

struct held_worker {
    sem_t asked, go_on;
};

static hyperderp_verdict hold_worker(void *user, const hyperderp_client_info *client,
                                     hyperderp_admission *ticket)
{
    struct held_worker *held = user;

    (void)client;
    (void)ticket;
    sem_post(&held->asked);
    while (sem_wait(&held->go_on) != 0)
        ;
    return HYPERDERP_ALLOW;
}

/* Bytes, or the end of the stream, that are seen in the very turn in which the deadline passes: the
 * connection ends once. The worker is held up until both have happened. */
static void input_at_the_deadline(void **state)
{
    enum { CONNECTIONS = 30 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct held_worker held;
    struct client client;
    uint8_t bytes[CLIENT_MAX_REQUEST];
    int fd[CONNECTIONS];

    sem_init(&held.asked, 0, 0);
    sem_init(&held.go_on, 0, 0);
    options.user = &held;
    options.admit = hold_worker;
    /* All connections must have been made before it passes, over TLS with their handshakes. */
    options.handshake_timeout_ms = fixture_is_tls() ? 1500 : 200;
    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        fd[i] = fixture_connect(&fixture);
    fixture_wait(&fixture, counters_connections_are, CONNECTIONS);
    int slow = fixture_connect(&fixture);
    fixture_send(slow, bytes, fixture_fast_request(&fixture, &client, bytes, sizeof(bytes)));
    while (sem_wait(&held.asked) != 0)
        ;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        if (i % 3 == 0)
            fixture_hang_up(fd[i]);
        else if (i % 3 == 1)
            fixture_send_text(fd[i], FIXTURE_REQUEST);
        else
            fixture_send_text(fd[i], "GET / HTTP/1.1\r\n\r\n");
    }
    int64_t passed = fixture_now_ms() + options.handshake_timeout_ms + 100;
    while (fixture_now_ms() < passed)
        usleep(1000);
    sem_post(&held.go_on);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        if (i % 3 == 0)
            continue;
        (void)fixture_read_end(fd[i]);
        fixture_hang_up(fd[i]);
    }
    fixture_wait(&fixture, counters_connections_are, 1);
    fixture_hang_up(slow);
    client_wipe(&client);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
    sem_destroy(&held.asked);
    sem_destroy(&held.go_on);
}

/* A page's reader who never closes is waited for, but not for ever. Both engines at once, as it
 * takes seconds. */
static void lingering_ends(void **state)
{
    static const hyperderp_engine engines[] = {HYPERDERP_ENGINE_EPOLL, HYPERDERP_ENGINE_IO_URING};
    struct fixture fixture[2];
    unsigned count = fixture_has(HYPERDERP_ENGINE_IO_URING) ? 2 : 1;
    int fd[2];

    (void)state;
    for (unsigned i = 0; i < count; i++) {
        hyperderp_relay_options options = fixture_options(engines[i], 1);

        fixture_start(&fixture[i], &options, 0);
    }
    for (unsigned i = 0; i < count; i++) {
        fd[i] = fixture_connect(&fixture[i]);
        fixture_send_text(fd[i], "GET / HTTP/1.0\r\n\r\n");
        assert_int_equal(fixture_read_end(fd[i]), 0);
    }
    int64_t began = fixture_now_ms();
    for (unsigned i = 0; i < count; i++)
        fixture_wait(&fixture[i], counters_connections_are, 0);
    assert_true(fixture_now_ms() - began > 1000 && fixture_now_ms() - began < 6000);
    for (unsigned i = 0; i < count; i++)
        fixture_hang_up(fd[i]);
    while (count-- > 0) /* in the opposite order, as each counts the open files of before */
        fixture_stop(&fixture[count]);
}

/* ---- Open ------------------------------------------------------------------------------------ */

#define CLOSE "Connection: close\r\n"

static void pages(void **state)
{
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n" CLOSE "\r\n", "HTTP/1.1 200 "},
        {"GET /derp/probe HTTP/1.1\r\nHost: x\r\n" CLOSE "\r\n", "HTTP/1.1 200 "},
        {"GET /derp HTTP/1.1\r\nHost: x\r\n" CLOSE "\r\n", "HTTP/1.1 426 "},
        {"GET /nowhere HTTP/1.1\r\nHost: x\r\n" CLOSE "\r\n", "HTTP/1.1 404 "},
        {"\x16\x03\x01 hello", "HTTP/1.1 400 "},
    };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = fixture_connect(&fixture);
        char head[14] = "";

        fixture_send_text(fd, cases[i].request);
        fixture_receive(fd, head, 13);
        assert_string_equal(head, cases[i].answer);
        assert_int_equal(fixture_read_end(fd), 0);
        fixture_hang_up(fd);
    }
    /* A head without end is answered as well, although more of it comes than is read. */
    int fd = fixture_connect(&fixture);
    char head[14] = "", junk[9000];
    memset(junk, 'a', sizeof(junk));
    memcpy(junk, "GET /", 5);
    fixture_send(fd, junk, sizeof(junk));
    fixture_receive(fd, head, 13);
    assert_string_equal(head, "HTTP/1.1 431 ");
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).http_requests, 6);
    fixture_stop(&fixture);
}

static void keepalives_and_pings(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    uint8_t ping[FRAME_HEADER_SIZE + FRAME_MAX_PING];

    options.keepalive_ms = 50;
    fixture_start(&fixture, &options, 0);
    struct client_socket *client = fixture_join(&fixture, 0);
    int64_t began = fixture_now_ms();
    for (unsigned i = 0; i < 5; i++)
        fixture_expect(client, CLIENT_MESSAGE_KEEP_ALIVE);
    int64_t took = fixture_now_ms() - began;
    assert_true(took >= 5 * 50 - 50 && took < 3000);
    assert_true(fixture_counters(&fixture).keepalives >= 5);

    for (size_t i = 0; i < sizeof(ping); i++)
        ping[i] = (uint8_t)i;
    frame_header_encode(ping, FRAME_PING, FRAME_MAX_PING);
    assert_int_equal(client_socket_send_raw(client, ping, sizeof(ping), FIXTURE_PATIENCE_MS), 0);
    struct client_message message;
    do
        assert_int_equal(client_socket_recv(client, &message, FIXTURE_PATIENCE_MS), 0);
    while (message.type == CLIENT_MESSAGE_KEEP_ALIVE);
    assert_int_equal(message.type, CLIENT_MESSAGE_PONG);
    assert_memory_equal(message.payload, ping + FRAME_HEADER_SIZE, FRAME_PING_SIZE);
    assert_int_equal(fixture_counters(&fixture).pings, 1);
    assert_int_equal(fixture_counters(&fixture).pongs, 1);
    client_socket_close(client);
    fixture_stop(&fixture);
}

static void say_preferred(struct client_socket *client, uint8_t preferred)
{
    uint8_t frame[FRAME_HEADER_SIZE + 1];

    frame_header_encode(frame, FRAME_NOTE_PREFERRED, 1);
    frame[FRAME_HEADER_SIZE] = preferred;
    assert_int_equal(client_socket_send_raw(client, frame, sizeof(frame), FIXTURE_PATIENCE_MS), 0);
    fixture_expect_nothing(client);
}

static void home_clients_are_counted(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct client_socket *client[3];

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < 3; i++) {
        client[i] = fixture_join(&fixture, 0);
        say_preferred(client[i], 1);
        say_preferred(client[i], 1);
        assert_int_equal(fixture_counters(&fixture).home_clients, i + 1);
    }
    say_preferred(client[0], 0);
    say_preferred(client[0], 0);
    assert_int_equal(fixture_counters(&fixture).home_clients, 2);
    client_socket_close(client[0]);
    client_socket_close(client[1]);
    fixture_wait(&fixture, counters_connections_are, 1);
    assert_int_equal(fixture_counters(&fixture).home_clients, 1);
    client_socket_close(client[2]);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- Limits and ends ------------------------------------------------------------------------- */

static void connections_are_bounded(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct client_socket *client[5];

    options.max_connections = 5;
    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < 5; i++)
        client[i] = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < 3; i++) {
        int fd = fixture_connect(&fixture);
        (void)fixture_read_end(fd);
        fixture_hang_up(fd);
    }
    assert_int_equal(fixture_counters(&fixture).slab_exhausts, 3);
    client_socket_close(client[4]);
    fixture_wait(&fixture, counters_connections_are, 4);
    client[4] = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < 5; i++) {
        fixture_expect_nothing(client[i]);
        client_socket_close(client[i]);
    }
    fixture_stop(&fixture);
}

/* A drain: Restarting comes, then an orderly end; those who are not open yet are closed. */
static void drained(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct client_socket *client[6];

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < 6; i++)
        client[i] = fixture_join(&fixture, 0);
    int fd = fixture_connect(&fixture);
    fixture_wait(&fixture, counters_connections_are, 7);
    (void)hyperderp_relay_drain(fixture.relay, 0);
    for (unsigned i = 0; i < 6; i++) {
        struct client_message message = fixture_expect(client[i], CLIENT_MESSAGE_RESTARTING);
        assert_true(message.reconnect_in_ms < 60000 && message.try_for_ms > 0);
        assert_int_equal(client_socket_recv(client[i], &message, FIXTURE_PATIENCE_MS), -EPIPE);
        client_socket_close(client[i]);
    }
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    fixture_stop(&fixture);
}

/* Opens and closes sockets whose numbers were those of the relay a moment ago, and finds in each
 * the bytes that it has put there. */
static void *use_other_sockets(void *arg)
{
    atomic_bool *end = arg;

    while (!*end) {
        int fd[2];
        char bytes[8];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
            abort();
        if (send(fd[1], "not hers", 8, 0) != 8)
            abort();
        for (unsigned i = 0; i < 20; i++)
            sched_yield();
        if (recv(fd[0], bytes, sizeof(bytes), MSG_DONTWAIT) != 8)
            abort(); /* somebody else has read them */
        close(fd[0]);
        close(fd[1]);
    }
    return NULL;
}

/* Stopped with connections in every state, and clients still coming: nothing leaks, and no other
 * socket of the program is touched. */
static void stopped_at_any_time(void **state)
{
    hyperderp_engine engine = fixture_engine(state);

    for (unsigned round = 0; round < 20; round++) {
        hyperderp_relay_options options = fixture_options(engine, 1 + round % 3);
        struct fixture fixture;
        int fd[40];
        uint8_t bytes[CLIENT_MAX_REQUEST];
        struct client client;
        pthread_t thread;
        atomic_bool end = false;

        fixture_start(&fixture, &options, 0);
        for (unsigned i = 0; i < 40; i++) {
            fd[i] = fixture_connect(&fixture);
            if (i % 4 == 1)
                fixture_send_text(fd[i], FIXTURE_REQUEST);
            if (i % 4 == 2)
                fixture_send_text(fd[i], "GET / HTTP/1.1\r\n\r\n");
            if (i % 4 < 3)
                continue;
            fixture_send(fd[i], bytes,
                         fixture_fast_request(&fixture, &client, bytes, sizeof(bytes)));
            client_wipe(&client);
        }
        assert_int_equal(pthread_create(&thread, NULL, use_other_sockets, &end), 0);
        if (round % 2)
            (void)hyperderp_relay_drain(fixture.relay, 0);
        hyperderp_relay_stop(fixture.relay);
        for (unsigned i = 0; i < 40; i++) {
            (void)fixture_read_end(fd[i]);
            fixture_hang_up(fd[i]);
        }
        end = true;
        pthread_join(thread, NULL);
        fixture_stop(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(each_state_has_a_deadline),
        FIXTURE_ON_ALL(input_at_the_deadline),
        FIXTURE_ON_ALL(pages),
        FIXTURE_ON_ALL(keepalives_and_pings),
        FIXTURE_ON_ALL(home_clients_are_counted),
        FIXTURE_ON_BOTH(connections_are_bounded),
        FIXTURE_ON_ALL(drained),
        FIXTURE_ON_ALL(stopped_at_any_time),
        cmocka_unit_test(lingering_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
