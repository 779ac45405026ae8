/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection's life, state by state, on both engines: deadlines, input however it is cut, keys.
 */
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
#include <stdio.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay_fixture.h"

#define REQUEST "GET /derp HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n"

static hyperderp_engine engine_of(void **state)
{
    hyperderp_engine engine = *(hyperderp_engine *)*state;

    if (!fixture_has(engine))
        skip();
    return engine;
}

static void send_all(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* A literal that may hold NULs. */
#define SEND_LITERAL(fd, text) send_all(fd, text, sizeof(text) - 1)

static void send_text(int fd, const char *text)
{
    send_all(fd, text, strlen(text));
}

static uint8_t *disco_packet(uint8_t out[100])
{
    static const uint8_t magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

    memset(out, 7, 100);
    memcpy(out, magic, sizeof(magic));
    return out;
}

/* Nothing comes for as long as it takes the relay to answer a Ping. */
static void expect_nothing_before_pong(struct client_socket *client)
{
    uint8_t ping[FRAME_HEADER_SIZE + FRAME_PING_SIZE] = {FRAME_PING, 0, 0, 0, FRAME_PING_SIZE};

    memset(ping + FRAME_HEADER_SIZE, 0x5a, FRAME_PING_SIZE);
    assert_int_equal(client_socket_send_raw(client, ping, sizeof(ping), FIXTURE_PATIENCE_MS), 0);
    struct client_message message = fixture_expect(client, CLIENT_MESSAGE_PONG);
    assert_memory_equal(message.payload, ping + FRAME_HEADER_SIZE, FRAME_PING_SIZE);
}

static void pass(struct client_socket *from, struct client_socket *to, const char *text)
{
    assert_int_equal(
        client_socket_send(from, client_socket_key(to), text, strlen(text), FIXTURE_PATIENCE_MS),
        0);
    struct client_message message = fixture_expect(to, CLIENT_MESSAGE_PACKET);
    assert_true(hyperderp_key_equal(&message.peer, client_socket_key(from)));
    assert_int_equal(message.len, strlen(text));
    assert_memory_equal(message.payload, text, message.len);
}

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
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
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
    send_text(fd[1], "GET /derp HTTP/1.1\r\nHost: rel");
    send_text(fd[2], REQUEST);
    SEND_LITERAL(fd[3], REQUEST "\x02\x00\x00\x01"); /* the beginning of a ClientInfo */
    send_all(fd[4], request, fixture_fast_request(&fixture, &client, request, sizeof(request)));
    for (unsigned i = 0; i < 5; i++) {
        (void)fixture_read_end(fd[i]);
        assert_true(fixture_now_ms() - began >= 300);
        close(fd[i]);
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
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    struct fixture fixture;
    struct held_worker held;
    struct client client;
    uint8_t bytes[CLIENT_MAX_REQUEST];
    int fd[CONNECTIONS];

    sem_init(&held.asked, 0, 0);
    sem_init(&held.go_on, 0, 0);
    options.user = &held;
    options.admit = hold_worker;
    options.handshake_timeout_ms = 200;
    fixture_start(&fixture, &options, 0);
    int64_t began = fixture_now_ms();
    for (unsigned i = 0; i < CONNECTIONS; i++)
        fd[i] = fixture_connect(&fixture);
    fixture_wait(&fixture, counters_connections_are, CONNECTIONS);
    int slow = fixture_connect(&fixture);
    send_all(slow, bytes, fixture_fast_request(&fixture, &client, bytes, sizeof(bytes)));
    while (sem_wait(&held.asked) != 0)
        ;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        if (i % 3 == 0)
            close(fd[i]);
        else if (i % 3 == 1)
            send_text(fd[i], REQUEST);
        else
            send_text(fd[i], "GET / HTTP/1.1\r\n\r\n");
    }
    while (fixture_now_ms() < began + 400)
        usleep(1000);
    sem_post(&held.go_on);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        if (i % 3 == 0)
            continue;
        (void)fixture_read_end(fd[i]);
        close(fd[i]);
    }
    fixture_wait(&fixture, counters_connections_are, 1);
    close(slow);
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
        send_text(fd[i], "GET / HTTP/1.1\r\nHost: relay\r\n\r\n");
        assert_int_equal(fixture_read_end(fd[i]), 0);
    }
    int64_t began = fixture_now_ms();
    for (unsigned i = 0; i < count; i++)
        fixture_wait(&fixture[i], counters_connections_are, 0);
    assert_true(fixture_now_ms() - began > 1000 && fixture_now_ms() - began < 6000);
    for (unsigned i = 0; i < count; i++)
        close(fd[i]);
    while (count-- > 0) /* in the opposite order, as each counts the open files of before */
        fixture_stop(&fixture[count]);
}

/* ---- Input ----------------------------------------------------------------------------------- */

static void byte_by_byte(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    struct fixture fixture;
    struct client client;
    uint8_t bytes[4096], disco[100];

    fixture_start(&fixture, &options, 0);
    struct client_socket *other = fixture_join(&fixture, 0);
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    len += fixture_packet(bytes + len, client_socket_key(other), "", 0);
    len += fixture_packet(bytes + len, client_socket_key(other), "x", 1);
    frame_header_encode(bytes + len, 0x77, 3); /* no type that anybody knows */
    len += FRAME_HEADER_SIZE + 3;
    len += fixture_packet(bytes + len, client_socket_key(other), disco_packet(disco), 100);
    int fd = fixture_connect(&fixture);
    for (size_t i = 0; i < len; i++)
        send_all(fd, bytes + i, 1);

    static const size_t sizes[] = {0, 1, 100};
    for (unsigned i = 0; i < 3; i++) {
        struct client_message message = fixture_expect(other, CLIENT_MESSAGE_PACKET);
        assert_true(hyperderp_key_equal(&message.peer, &client.public_key));
        assert_int_equal(message.len, sizes[i]);
    }
    assert_int_equal(fixture_counters(&fixture).unknown_frames, 1);
    close(fd);
    client_wipe(&client);
    client_socket_close(other);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Whatever the cut, what comes out is the same: the stream in two pieces, and in random ones. */
static void cut_anywhere(void **state)
{
    enum { PACKETS = 40 };
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    static uint8_t bytes[200000];
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    srandom(5);
    struct client_socket *other = fixture_join(&fixture, 0);
    for (unsigned round = 0; round < 20; round++) {
        struct client client;
        size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));

        for (unsigned i = 0; i < PACKETS; i++) {
            uint8_t packet[4000];
            size_t size = 1 + (size_t)random() % sizeof(packet);

            memset(packet, (int)i, size);
            len += fixture_packet(bytes + len, client_socket_key(other), packet, size);
        }
        int fd = fixture_connect(&fixture);
        for (size_t at = 0, piece; at < len; at += piece) {
            piece = 1 + (size_t)random() % (round < 10 ? 3000 : 40000);
            piece = piece < len - at ? piece : len - at;
            send_all(fd, bytes + at, piece);
        }
        for (unsigned i = 0; i < PACKETS; i++) {
            struct client_message message = fixture_expect(other, CLIENT_MESSAGE_PACKET);

            assert_int_equal(message.payload[0], i);
            assert_int_equal(message.payload[message.len - 1], i);
        }
        close(fd);
        client_wipe(&client);
        fixture_expect(other, CLIENT_MESSAGE_PEER_GONE);
    }
    client_socket_close(other);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Reads frames from a raw socket until one of this type; the core must find them well formed. */
static void read_until(int fd, struct client *client, enum client_message_type type)
{
    static uint8_t buffer[CLIENT_MAX_FRAME];
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};
    size_t len = 0;

    while (message.type != type) {
        ssize_t used = client_read(client, buffer, len, &message);
        assert_true(used >= 0);
        memmove(buffer, buffer + used, len - (size_t)used);
        len -= (size_t)used;
        if (used > 0 || message.type != CLIENT_MESSAGE_NONE)
            continue;
        ssize_t got = recv(fd, buffer + len, 1, 0);
        assert_int_equal(got, 1);
        len++;
    }
    assert_int_equal(len, 0);
}

static void all_in_one_write(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 3);
    struct fixture fixture;
    struct client client;
    uint8_t bytes[8192];

    fixture_start(&fixture, &options, 0);
    struct client_socket *other = fixture_join(&fixture, 0);
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    for (uint8_t i = 0; i < 3; i++)
        len += fixture_packet(bytes + len, client_socket_key(other), &i, 1);
    frame_header_encode(bytes + len, FRAME_PING, FRAME_PING_SIZE);
    len += FRAME_HEADER_SIZE + FRAME_PING_SIZE;
    int fd = fixture_connect(&fixture);
    send_all(fd, bytes, len);
    read_until(fd, &client, CLIENT_MESSAGE_SERVER_INFO);
    read_until(fd, &client, CLIENT_MESSAGE_PONG);
    for (uint8_t i = 0; i < 3; i++)
        assert_int_equal(fixture_expect(other, CLIENT_MESSAGE_PACKET).payload[0], i);
    close(fd);
    client_wipe(&client);
    client_socket_close(other);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void breaks_the_protocol(struct fixture *fixture, const uint8_t *bytes, size_t len)
{
    struct client_socket *client = fixture_join(fixture, 0);
    uint64_t before = fixture_counters(fixture).protocol_errors;

    assert_int_equal(client_socket_send_raw(client, bytes, len, FIXTURE_PATIENCE_MS), 0);
    (void)fixture_read_end(client_socket_fd(client));
    client_socket_close(client);
    fixture_wait(fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(fixture).protocol_errors, before + 1);
}

static void bad_frames_close(void **state)
{
    static const uint8_t frames[][FRAME_HEADER_SIZE] = {
        {FRAME_SEND_PACKET, 0, 0, 0, HYPERDERP_KEY_SIZE - 1},
        {FRAME_SEND_PACKET, 0, 1, 0, 33},
        {FRAME_PING, 0, 0, 0, 7},
        {FRAME_PING, 0, 0, 3, 0xe9},
        {FRAME_NOTE_PREFERRED},
        {FRAME_NOTE_PREFERRED, 0, 0, 0, 2},
        {0x77, 0, 0x10, 0, 1},
        {0x77, 0xff, 0xff, 0xff, 0xff},
    };
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    struct fixture fixture;
    struct client client;
    uint8_t bytes[2 * CLIENT_MAX_REQUEST];

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
        breaks_the_protocol(&fixture, frames[i], FRAME_HEADER_SIZE);

    /* Before ClientInfo nothing else is allowed, and a ClientInfo must open. */
    int fd = fixture_connect(&fixture);
    SEND_LITERAL(fd, REQUEST "\x12\x00\x00\x00\x08");
    (void)fixture_read_end(fd);
    close(fd);
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    bytes[len - 1] ^= 1;
    fd = fixture_connect(&fixture);
    send_all(fd, bytes, len);
    (void)fixture_read_end(fd);
    close(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_failed, 1 + 1);
    client_wipe(&client);
    fixture_stop(&fixture);
}

/* Unknown types of the largest size are skipped, and what follows them is found. */
static void unknown_frames_are_skipped(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    static uint8_t big[FRAME_HEADER_SIZE + FRAME_MAX_SKIPPED];
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *client = fixture_join(&fixture, 0);
    memset(big, FRAME_SEND_PACKET, sizeof(big));
    frame_header_encode(big, 0x77, FRAME_MAX_SKIPPED);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(client_socket_send_raw(client, big, sizeof(big), FIXTURE_PATIENCE_MS), 0);
    expect_nothing_before_pong(client);
    assert_int_equal(fixture_counters(&fixture).unknown_frames, 3);
    assert_int_equal(fixture_counters(&fixture).packets_received, 0);
    client_socket_close(client);
    fixture_stop(&fixture);
}

static void pages(void **state)
{
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "},
        {"GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "},
        {"GET /derp HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 426 "},
        {"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "},
        {"\x16\x03\x01 hello", "HTTP/1.1 400 "},
    };
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = fixture_connect(&fixture);
        char head[14] = "";

        send_text(fd, cases[i].request);
        assert_int_equal(recv(fd, head, 13, MSG_WAITALL), 13);
        assert_string_equal(head, cases[i].answer);
        assert_int_equal(fixture_read_end(fd), 0);
        close(fd);
    }
    /* A head without end is answered as well, although more of it comes than is read. */
    int fd = fixture_connect(&fixture);
    char head[14] = "", junk[9000];
    memset(junk, 'a', sizeof(junk));
    memcpy(junk, "GET /", 5);
    send_all(fd, junk, sizeof(junk));
    assert_int_equal(recv(fd, head, 13, MSG_WAITALL), 13);
    assert_string_equal(head, "HTTP/1.1 431 ");
    close(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).http_requests, 6);
    fixture_stop(&fixture);
}

/* ---- Admission ------------------------------------------------------------------------------- */

struct gate {
    _Atomic(hyperderp_verdict) now;        /* what admit() says */
    _Atomic(hyperderp_admission *) ticket; /* of the last question */
    atomic_uint asked, ups, downs;
    char app_name[65], address[64];
    hyperderp_key key;
};

static hyperderp_verdict ask_gate(void *user, const hyperderp_client_info *client,
                                  hyperderp_admission *ticket)
{
    struct gate *gate = user;

    snprintf(gate->app_name, sizeof(gate->app_name), "%s", client->app_name);
    snprintf(gate->address, sizeof(gate->address), "%s", client->address);
    gate->key = client->key;
    hyperderp_verdict verdict = gate->now;
    if (verdict == HYPERDERP_LATER)
        gate->ticket = ticket;
    gate->asked++;
    return verdict;
}

static void note_peer(void *user, const hyperderp_key *peer, bool up)
{
    struct gate *gate = user;

    (void)peer;
    if (up)
        gate->ups++;
    else
        gate->downs++;
}

static void start_gated(struct fixture *fixture, struct gate *gate, hyperderp_engine engine,
                        hyperderp_verdict verdict)
{
    hyperderp_relay_options options = fixture_options(engine, 1);

    *gate = (struct gate){.now = verdict};
    options.user = gate;
    options.admit = ask_gate;
    options.peer_changed = note_peer;
    fixture_start(fixture, &options, 0);
}

static hyperderp_admission *wait_for_ticket(struct gate *gate)
{
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
    hyperderp_admission *ticket;

    while (!(ticket = atomic_exchange(&gate->ticket, NULL))) {
        assert_true(fixture_now_ms() < until);
        usleep(500);
    }
    return ticket;
}

static void admitted_and_denied(void **state)
{
    struct fixture fixture;
    struct gate gate;
    struct client client;
    uint8_t bytes[CLIENT_MAX_REQUEST];

    start_gated(&fixture, &gate, engine_of(state), HYPERDERP_ALLOW);
    struct client_socket *guest = fixture_join(&fixture, 0);
    assert_int_equal(gate.asked, 1);
    assert_int_equal(gate.ups, 1);
    assert_true(hyperderp_key_equal(&gate.key, client_socket_key(guest)));
    assert_memory_equal(gate.address, "127.0.0.1:", 10);

    gate.now = HYPERDERP_DENY;
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    int fd = fixture_connect(&fixture);
    send_all(fd, bytes, len);
    (void)fixture_read_end(fd);
    close(fd);
    client_wipe(&client);
    fixture_wait(&fixture, counters_connections_are, 1);
    assert_int_equal(gate.asked, 2);
    assert_int_equal(fixture_counters(&fixture).handshakes_denied, 1);
    expect_nothing_before_pong(guest);
    client_socket_close(guest);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(gate.ups, 1);
    assert_int_equal(gate.downs, 1);
    fixture_stop(&fixture);
}

/* The packets that came before the answer are passed on behind it, in their order, before later
 * ones. */
static void admitted_later_with_packets_before(void **state)
{
    struct fixture fixture;
    struct gate gate;
    struct client client;
    static uint8_t bytes[40000];

    start_gated(&fixture, &gate, engine_of(state), HYPERDERP_ALLOW);
    struct client_socket *other = fixture_join(&fixture, 0);
    gate.now = HYPERDERP_LATER;
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    uint8_t packet[700] = {0};
    for (uint8_t i = 0; i < 40; i++) {
        packet[0] = i;
        len += fixture_packet(bytes + len, client_socket_key(other), packet, sizeof(packet));
    }
    int fd = fixture_connect(&fixture);
    send_all(fd, bytes, len);
    hyperderp_admission *ticket = wait_for_ticket(&gate);
    assert_int_equal(fixture_counters(&fixture).packets_received, 0);
    packet[0] = 40;
    len = fixture_packet(bytes, client_socket_key(other), packet, sizeof(packet));
    send_all(fd, bytes, len);
    hyperderp_admission_answer(ticket, HYPERDERP_ALLOW);
    for (unsigned i = 0; i <= 40; i++)
        assert_int_equal(fixture_expect(other, CLIENT_MESSAGE_PACKET).payload[0], i);
    read_until(fd, &client, CLIENT_MESSAGE_SERVER_INFO);
    close(fd);
    client_wipe(&client);
    client_socket_close(other);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Tickets answered after their clients have left, yes and no; and after the relay has stopped. */
static void answered_too_late(void **state)
{
    struct fixture fixture;
    struct gate gate;
    uint8_t bytes[CLIENT_MAX_REQUEST];
    struct client client;

    start_gated(&fixture, &gate, engine_of(state), HYPERDERP_LATER);
    for (unsigned i = 0; i < 3; i++) {
        size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
        int fd = fixture_connect(&fixture);

        send_all(fd, bytes, len);
        hyperderp_admission *ticket = wait_for_ticket(&gate);
        close(fd);
        client_wipe(&client);
        if (i == 2)
            hyperderp_relay_stop(fixture.relay);
        hyperderp_admission_answer(ticket, i == 1 ? HYPERDERP_DENY : HYPERDERP_ALLOW);
        fixture_wait(&fixture, counters_connections_are, 0);
    }
    assert_int_equal(gate.ups, gate.downs);
    fixture_stop(&fixture);
}

static void answer_as_it_times_out(void *user, hyperderp_log_level level, const char *line)
{
    struct gate *gate = user;

    (void)level;
    hyperderp_admission *ticket =
        strstr(line, "timed out") ? atomic_exchange(&gate->ticket, NULL) : NULL;
    if (ticket)
        hyperderp_admission_answer(ticket, HYPERDERP_ALLOW);
}

/* The answer comes in the very turn in which the deadline has closed the connection. */
static void answered_at_the_deadline(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    struct gate gate = {.now = HYPERDERP_LATER};
    uint8_t bytes[CLIENT_MAX_REQUEST];
    struct fixture fixture;
    struct client client;

    options.user = &gate;
    options.admit = ask_gate;
    options.log = answer_as_it_times_out;
    options.log_level = HYPERDERP_LOG_DEBUG;
    options.handshake_timeout_ms = 100;
    fixture_start(&fixture, &options, 0);
    int fd = fixture_connect(&fixture);
    send_all(fd, bytes, fixture_fast_request(&fixture, &client, bytes, sizeof(bytes)));
    (void)fixture_read_end(fd);
    close(fd);
    client_wipe(&client);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(gate.asked, 1);
    assert_null(gate.ticket);
    assert_int_equal(fixture_counters(&fixture).handshakes_timed_out, 1);
    assert_int_equal(fixture_counters(&fixture).handshakes_ok, 0);
    fixture_stop(&fixture);
}

struct answerer {
    struct gate *gate;
    atomic_bool end;
};

static void *answer_at_once(void *arg)
{
    struct answerer *answerer = arg;

    while (!answerer->end) {
        hyperderp_admission *ticket = atomic_exchange(&answerer->gate->ticket, NULL);
        if (ticket)
            hyperderp_admission_answer(ticket, HYPERDERP_ALLOW);
    }
    return NULL;
}

/* An answer may come from another thread while admit() has not returned yet. */
static void answered_while_asking(void **state)
{
    struct fixture fixture;
    struct gate gate;
    pthread_t thread;

    start_gated(&fixture, &gate, engine_of(state), HYPERDERP_LATER);
    struct answerer answerer = {.gate = &gate};
    assert_int_equal(pthread_create(&thread, NULL, answer_at_once, &answerer), 0);
    for (unsigned i = 0; i < 50; i++) {
        struct client_socket *client = fixture_join(&fixture, 0);

        expect_nothing_before_pong(client);
        client_socket_close(client);
    }
    answerer.end = true;
    pthread_join(thread, NULL);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(gate.ups, 50);
    assert_int_equal(gate.downs, 50);
    fixture_stop(&fixture);
}

/* ---- Open ------------------------------------------------------------------------------------ */

static void keepalives_and_pings(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
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
    expect_nothing_before_pong(client);
}

static void home_clients_are_counted(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 3);
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

/* Those who got packets from one that leaves are told, each once, and nobody else. */
static void gone_when_it_leaves(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 3);
    struct fixture fixture;
    struct client_socket *client[4];

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < 4; i++)
        client[i] = fixture_join(&fixture, 0);
    hyperderp_key leaver = *client_socket_key(client[0]);
    for (unsigned i = 0; i < 3; i++) {
        pass(client[0], client[1], "one");
        pass(client[0], client[2], "two");
    }
    pass(client[3], client[0], "three");
    client_socket_close(client[0]);
    for (unsigned i = 1; i < 3; i++) {
        struct client_message message = fixture_expect(client[i], CLIENT_MESSAGE_PEER_GONE);
        assert_true(hyperderp_key_equal(&message.peer, &leaver));
        assert_int_equal(message.reason, PEER_GONE_DISCONNECTED);
    }
    for (unsigned i = 1; i < 4; i++)
        expect_nothing_before_pong(client[i]);
    assert_int_equal(fixture_counters(&fixture).peer_gone_frames, 2);
    for (unsigned i = 1; i < 4; i++)
        client_socket_close(client[i]);
    fixture_stop(&fixture);
}

static void not_here(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    hyperderp_key nobody = {{1, 2, 3}};
    struct fixture fixture;
    uint8_t disco[100];

    fixture_start(&fixture, &options, 0);
    struct client_socket *client = fixture_join(&fixture, 0);
    disco_packet(disco);
    assert_int_equal(client_socket_send(client, &nobody, "data", 4, FIXTURE_PATIENCE_MS), 0);
    expect_nothing_before_pong(client);
    int64_t began = fixture_now_ms();
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(
            client_socket_send(client, &nobody, disco, sizeof(disco), FIXTURE_PATIENCE_MS), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct client_message message = fixture_expect(client, CLIENT_MESSAGE_PEER_GONE);
        assert_true(hyperderp_key_equal(&message.peer, &nobody));
        assert_int_equal(message.reason, PEER_GONE_NOT_HERE);
    }
    expect_nothing_before_pong(client);
    assert_true(fixture_now_ms() - began < 1000); /* or the figures above mean nothing */

    /* One more a second later; between, none. */
    uint64_t sent = 10, more = 0;
    while (more == 0) {
        struct client_message message;

        usleep(50000);
        assert_int_equal(
            client_socket_send(client, &nobody, disco, sizeof(disco), FIXTURE_PATIENCE_MS), 0);
        sent++;
        int error = client_socket_recv(client, &message, 1);
        if (error == 0) {
            assert_int_equal(message.type, CLIENT_MESSAGE_PEER_GONE);
            more++;
        } else {
            assert_int_equal(error, -ETIMEDOUT);
        }
        assert_true(fixture_now_ms() - began < 4000);
    }
    assert_true(fixture_now_ms() - began >= 950);
    fixture_wait(&fixture, counters_at_rest, sent + 1);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.drops[HYPERDERP_DROP_UNKNOWN_PEER][HYPERDERP_PACKET_DISCO], sent);
    assert_int_equal(counters.drops[HYPERDERP_DROP_UNKNOWN_PEER][HYPERDERP_PACKET_DATA], 1);
    client_socket_close(client);
    fixture_stop(&fixture);
}

/* Of two connections of a key the one that sent last receives; when it leaves the other takes over,
 * and nobody is told that the key has gone before both have. */
static void duplicates(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 3);
    struct fixture fixture;
    struct gate gate = {0};
    hyperderp_private_key private_key;

    options.user = &gate;
    options.peer_changed = note_peer;
    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *sender = fixture_join(&fixture, 0);
    struct client_socket *first = fixture_join_as(&fixture, &private_key);
    pass(sender, first, "alone");
    struct client_socket *second = fixture_join_as(&fixture, &private_key);
    assert_int_equal(fixture_counters(&fixture).duplicate_connections, 1);
    assert_int_equal(fixture_counters(&fixture).peers_active, 2);
    pass(sender, second, "the newer");
    pass(first, sender, "here I am");
    pass(sender, first, "the one that sent");
    expect_nothing_before_pong(second); /* a Ping is activity, too */
    pass(sender, second, "the one that pinged");
    pass(first, sender, "once more");
    client_socket_close(first);
    fixture_wait(&fixture, counters_connections_are, 2);
    pass(sender, second, "the one that is left");
    expect_nothing_before_pong(sender);
    client_socket_close(second);
    fixture_expect(sender, CLIENT_MESSAGE_PEER_GONE);
    expect_nothing_before_pong(sender);
    assert_int_equal(fixture_counters(&fixture).peers_active, 1);
    assert_int_equal(gate.ups, 2);
    assert_int_equal(gate.downs, 1);
    client_socket_close(sender);
    fixture_stop(&fixture);
}

static void sends_to_itself(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *client = fixture_join(&fixture, 0);
    pass(client, client, "to myself");
    client_socket_close(client);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- Limits and ends ------------------------------------------------------------------------- */

static void connections_are_bounded(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 3);
    struct fixture fixture;
    struct client_socket *client[5];

    options.max_connections = 5;
    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < 5; i++)
        client[i] = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < 3; i++) {
        int fd = fixture_connect(&fixture);
        (void)fixture_read_end(fd);
        close(fd);
    }
    assert_int_equal(fixture_counters(&fixture).slab_exhausts, 3);
    client_socket_close(client[4]);
    fixture_wait(&fixture, counters_connections_are, 4);
    client[4] = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < 5; i++) {
        expect_nothing_before_pong(client[i]);
        client_socket_close(client[i]);
    }
    fixture_stop(&fixture);
}

/* A drain: Restarting comes, then an orderly end; those who are not open yet are closed. */
static void drained(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 3);
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
    close(fd);
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
    hyperderp_engine engine = engine_of(state);

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
                send_text(fd[i], REQUEST);
            if (i % 4 == 2)
                send_text(fd[i], "GET / HTTP/1.1\r\n\r\n");
            if (i % 4 < 3)
                continue;
            send_all(fd[i], bytes, fixture_fast_request(&fixture, &client, bytes, sizeof(bytes)));
            client_wipe(&client);
        }
        assert_int_equal(pthread_create(&thread, NULL, use_other_sockets, &end), 0);
        if (round % 2)
            (void)hyperderp_relay_drain(fixture.relay, 0);
        hyperderp_relay_stop(fixture.relay);
        for (unsigned i = 0; i < 40; i++) {
            (void)fixture_read_end(fd[i]);
            close(fd[i]);
        }
        end = true;
        pthread_join(thread, NULL);
        fixture_stop(&fixture);
    }
}

#define ON_BOTH(function)                                                                          \
    {#function " [io_uring]", function, NULL, NULL, &uring},                                       \
    {                                                                                              \
#function " [epoll]", function, NULL, NULL, &epoll                                         \
    }

int main(void)
{
    static hyperderp_engine uring = HYPERDERP_ENGINE_IO_URING, epoll = HYPERDERP_ENGINE_EPOLL;
    const struct CMUnitTest tests[] = {
        ON_BOTH(each_state_has_a_deadline),
        ON_BOTH(input_at_the_deadline),
        ON_BOTH(byte_by_byte),
        ON_BOTH(cut_anywhere),
        ON_BOTH(all_in_one_write),
        ON_BOTH(bad_frames_close),
        ON_BOTH(unknown_frames_are_skipped),
        ON_BOTH(pages),
        ON_BOTH(admitted_and_denied),
        ON_BOTH(admitted_later_with_packets_before),
        ON_BOTH(answered_too_late),
        ON_BOTH(answered_at_the_deadline),
        ON_BOTH(answered_while_asking),
        ON_BOTH(keepalives_and_pings),
        ON_BOTH(home_clients_are_counted),
        ON_BOTH(gone_when_it_leaves),
        ON_BOTH(not_here),
        ON_BOTH(duplicates),
        ON_BOTH(sends_to_itself),
        ON_BOTH(connections_are_bounded),
        ON_BOTH(drained),
        ON_BOTH(stopped_at_any_time),
        cmocka_unit_test(lingering_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
