/* SPDX-License-Identifier: BSD-3-Clause */
/* Admission, on both engines: the answer at once or later, from any thread, in time or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "relay_fixture.h"

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

    start_gated(&fixture, &gate, fixture_engine(state), HYPERDERP_ALLOW);
    struct client_socket *guest = fixture_join(&fixture, 0);
    assert_int_equal(gate.asked, 1);
    assert_int_equal(gate.ups, 1);
    assert_true(hyperderp_key_equal(&gate.key, client_socket_key(guest)));
    assert_memory_equal(gate.address, "127.0.0.1:", 10);

    gate.now = HYPERDERP_DENY;
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    int fd = fixture_connect(&fixture);
    fixture_send(fd, bytes, len);
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    client_wipe(&client);
    fixture_wait(&fixture, counters_connections_are, 1);
    assert_int_equal(gate.asked, 2);
    assert_int_equal(fixture_counters(&fixture).handshakes_denied, 1);
    fixture_expect_nothing(guest);
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

    start_gated(&fixture, &gate, fixture_engine(state), HYPERDERP_ALLOW);
    struct client_socket *other = fixture_join(&fixture, 0);
    gate.now = HYPERDERP_LATER;
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    uint8_t packet[700] = {0};
    for (uint8_t i = 0; i < 40; i++) {
        packet[0] = i;
        len += fixture_packet(bytes + len, client_socket_key(other), packet, sizeof(packet));
    }
    int fd = fixture_connect(&fixture);
    fixture_send(fd, bytes, len);
    hyperderp_admission *ticket = wait_for_ticket(&gate);
    assert_int_equal(fixture_counters(&fixture).packets_received, 0);
    packet[0] = 40;
    len = fixture_packet(bytes, client_socket_key(other), packet, sizeof(packet));
    fixture_send(fd, bytes, len);
    hyperderp_admission_answer(ticket, HYPERDERP_ALLOW);
    for (unsigned i = 0; i <= 40; i++)
        assert_int_equal(fixture_expect(other, CLIENT_MESSAGE_PACKET).payload[0], i);
    fixture_read_until(fd, &client, CLIENT_MESSAGE_SERVER_INFO);
    fixture_hang_up(fd);
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

    start_gated(&fixture, &gate, fixture_engine(state), HYPERDERP_LATER);
    for (unsigned i = 0; i < 3; i++) {
        size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
        int fd = fixture_connect(&fixture);

        fixture_send(fd, bytes, len);
        hyperderp_admission *ticket = wait_for_ticket(&gate);
        fixture_hang_up(fd);
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
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
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
    fixture_send(fd, bytes, fixture_fast_request(&fixture, &client, bytes, sizeof(bytes)));
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
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

    start_gated(&fixture, &gate, fixture_engine(state), HYPERDERP_LATER);
    struct answerer answerer = {.gate = &gate};
    assert_int_equal(pthread_create(&thread, NULL, answer_at_once, &answerer), 0);
    for (unsigned i = 0; i < 50; i++) {
        struct client_socket *client = fixture_join(&fixture, 0);

        fixture_expect_nothing(client);
        client_socket_close(client);
    }
    answerer.end = true;
    pthread_join(thread, NULL);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(gate.ups, 50);
    assert_int_equal(gate.downs, 50);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(admitted_and_denied),   FIXTURE_ON_ALL(admitted_later_with_packets_before),
        FIXTURE_ON_ALL(answered_too_late),     FIXTURE_ON_ALL(answered_at_the_deadline),
        FIXTURE_ON_ALL(answered_while_asking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
