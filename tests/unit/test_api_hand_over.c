/* SPDX-License-Identifier: BSD-3-Clause */
/* One relay takes another one's place on the same sockets. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <hyperderp/hyperderp.h>

#include "relay_fixture.h"

#define CLIENTS 100

/* Two relays in one process: the first has the socket of the fixture's listener, the second a copy
 * of it, and both have the same key. */
struct change {
    struct fixture before, after;
};

static void make(struct fixture *fixture, const hyperderp_private_key *key, hyperderp_engine engine,
                 unsigned workers)
{
    hyperderp_relay_options options = fixture_options(engine, workers);

    options.private_key = *key;
    assert_int_equal(hyperderp_relay_new(&fixture->relay, &options), 0);
    hyperderp_relay_public_key(fixture->relay, &fixture->key);
}

static void listen_on(struct fixture *fixture, int fd)
{
    hyperderp_listener_options options;

    hyperderp_listener_options_init(&options);
    options.fd = fd;
    if (fd < 0)
        options.address = "127.0.0.1:0";
    if (fixture_is_tls())
        options.certificate = fixture_certificate();
    assert_int_equal(hyperderp_relay_add_listener(fixture->relay, &options), 0);
    assert_int_equal(hyperderp_relay_listener_address(fixture->relay, 0, fixture->address,
                                                      sizeof(fixture->address)),
                     0);
}

static void begin(struct change *change, hyperderp_engine engine, unsigned workers)
{
    hyperderp_private_key key;

    assert_int_equal(hyperderp_private_key_generate(&key), 0);
    make(&change->before, &key, engine, workers);
    listen_on(&change->before, -1);
    int fd = hyperderp_relay_listener_fd(change->before.relay, 0);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(hyperderp_relay_start(change->before.relay), 0);
    assert_int_equal(hyperderp_relay_listener_fd(change->before.relay, 0), -EBUSY);
    make(&change->after, &key, engine, workers);
    listen_on(&change->after, fd);
    assert_string_equal(change->before.address, change->after.address);
}

static void end(struct change *change)
{
    assert_int_equal(hyperderp_relay_drain(change->before.relay, FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(hyperderp_relay_drain(change->after.relay, FIXTURE_PATIENCE_MS), 0);
    hyperderp_relay_free(change->before.relay);
    hyperderp_relay_free(change->after.relay);
}

/* Waits until the client is told to come back, and sees the end; returns when it was told. */
static int64_t expect_to_be_sent_away(struct client_socket *client, uint32_t *after)
{
    struct client_message message;
    int64_t told = 0;
    int error = 0;

    while (error == 0) {
        error = client_socket_recv(client, &message, FIXTURE_PATIENCE_MS);
        if (error == 0 && message.type == CLIENT_MESSAGE_RESTARTING) {
            told = fixture_now_ms();
            *after = message.reconnect_in_ms;
        }
    }
    assert_int_equal(error, -EPIPE);
    assert_true(told > 0);
    client_socket_close(client);
    return told;
}

/* They go one after the other, each comes back to the new relay, and nobody else is refused. */
static void clients_are_moved(void **state)
{
    struct client_socket *client[CLIENTS];
    hyperderp_private_key keys[CLIENTS];
    struct change change;
    uint32_t after;

    begin(&change, fixture_engine(state), 3);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(hyperderp_private_key_generate(&keys[i]), 0);
        client[i] = fixture_join_as(&change.before, &keys[i]);
    }
    /* One that has connected and said nothing yet. */
    int early = fixture_connect_bare(&change.before);
    fixture_wait(&change.before, counters_connections_are, CLIENTS + 1);

    assert_int_equal(hyperderp_relay_start(change.after.relay), 0);
    int64_t begun = fixture_now_ms(), last = begun;
    assert_int_equal(hyperderp_relay_hand_over(change.before.relay, 30000), 0);
    assert_int_equal(hyperderp_relay_hand_over(change.before.relay, 0), 0); /* it goes on */
    for (unsigned i = 0; i < CLIENTS; i++) {
        int64_t told = expect_to_be_sent_away(client[i], &after);
        last = told > last ? told : last;
        assert_int_equal(after, 0);
        client[i] = fixture_join_as(&change.after, &keys[i]);
    }
    fixture_wait(&change.after, counters_peers_are, CLIENTS);
    for (unsigned i = 1; i < CLIENTS; i++)
        fixture_pass(client[i - 1], client[i], "we are all here");
    assert_in_range(last - begun, CLIENTS / 4, FIXTURE_PATIENCE_MS);

    /* It gets in, and is sent away as the others. */
    struct client_socket *late = fixture_join_over(&change.before, early, NULL);
    (void)expect_to_be_sent_away(late, &after);
    fixture_wait(&change.before, counters_connections_are, 0);
    hyperderp_counters counters = fixture_counters(&change.before);
    assert_int_equal(counters.handshakes_ok, CLIENTS + 1);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_socket_close(client[i]);
    fixture_wait(&change.after, counters_connections_are, 0);
    end(&change);
}

/* Those that are still there reach each other: some pair of many is, as each end goes at random. */
static void the_others_go_on(void **state)
{
    struct client_socket *client[CLIENTS];
    struct client_message message;
    struct change change;
    unsigned passed = 0;

    begin(&change, fixture_engine(state), 1);
    for (unsigned i = 0; i < CLIENTS; i++)
        client[i] = fixture_join(&change.before, 0);
    assert_int_equal(hyperderp_relay_start(change.after.relay), 0);
    assert_int_equal(hyperderp_relay_hand_over(change.before.relay, 60000), 0);
    for (unsigned i = 1; i < CLIENTS && passed == 0; i += 2) {
        const hyperderp_key *to = client_socket_key(client[i]);
        if (client_socket_send(client[i - 1], to, "still", 5, FIXTURE_PATIENCE_MS) != 0 ||
            client_socket_recv(client[i], &message, FIXTURE_PATIENCE_MS) != 0)
            continue;
        passed += message.type == CLIENT_MESSAGE_PACKET;
    }
    assert_int_equal(passed, 1);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_socket_close(client[i]);
    fixture_wait(&change.before, counters_connections_are, 0);
    end(&change);
}

/* The hints of a drain, after which nobody listens for a moment, are spread over two seconds. */
static void hints_of_a_drain_are_spread(void **state)
{
    struct client_socket *client[CLIENTS];
    unsigned quarters[4] = {0};
    struct change change;
    uint32_t after = 0;

    begin(&change, fixture_engine(state), 3);
    for (unsigned i = 0; i < CLIENTS; i++)
        client[i] = fixture_join(&change.before, 0);
    assert_int_equal(hyperderp_relay_drain(change.before.relay, 0), -ETIMEDOUT);
    for (unsigned i = 0; i < CLIENTS; i++) {
        (void)expect_to_be_sent_away(client[i], &after);
        assert_in_range(after, 0, 1999);
        quarters[after / 500]++;
    }
    /* Of 25 in each: fewer than 5 come about once in a million times. */
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(quarters[i], 5, CLIENTS);
    assert_int_equal(hyperderp_relay_start(change.after.relay), 0);
    end(&change);
}

/* While the one has been told to end and the other has not begun, connections wait. */
static void connections_wait_for_the_next(void **state)
{
    struct change change;

    begin(&change, fixture_engine(state), 3);
    assert_int_equal(hyperderp_relay_drain(change.before.relay, FIXTURE_PATIENCE_MS), 0);
    int fd = fixture_connect_bare(&change.before);
    assert_int_equal(hyperderp_relay_start(change.after.relay), 0);
    struct client_socket *client = fixture_join_over(&change.after, fd, NULL);
    client_socket_close(client);
    fixture_wait(&change.after, counters_connections_are, 0);
    end(&change);
}

/* A handshake that is under way when a drain begins gets a moment; one without an end does not
 * keep the drain up for long. */
static void handshakes_end_before_a_drain_does(void **state)
{
    struct change change;
    uint32_t after;

    begin(&change, fixture_engine(state), 1);
    int fd = fixture_connect_bare(&change.before), silent = fixture_connect_bare(&change.before);
    fixture_wait(&change.before, counters_connections_are, 2);
    assert_int_equal(hyperderp_relay_drain(change.before.relay, 0), -ETIMEDOUT);
    struct client_socket *client = fixture_join_over(&change.before, fd, NULL);
    (void)expect_to_be_sent_away(client, &after);
    int64_t begun = fixture_now_ms();
    assert_int_equal(hyperderp_relay_drain(change.before.relay, FIXTURE_PATIENCE_MS), 0);
    assert_in_range(fixture_now_ms() - begun, 0, 2000);
    (void)fixture_read_end(silent);
    close(silent);
    assert_int_equal(hyperderp_relay_start(change.after.relay), 0);
    end(&change);
}

/* Files of sockets: who hands over leaves them, and the last one removes them. */
static void files_of_sockets(void **state)
{
    char folder[] = "/tmp/hyper-derp-hand-over.XXXXXX", address[128];
    hyperderp_listener_options options;
    hyperderp_relay *relay[3];
    struct stat info;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(address, sizeof(address), "unix:%s/x.sock", folder);
    const char *path = address + strlen("unix:");
    int fd = -1;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(hyperderp_relay_new(&relay[i], NULL), 0);
        hyperderp_listener_options_init(&options);
        options.address = address;
        options.fd = fd;
        options.keep_file = i == 1;
        assert_int_equal(hyperderp_relay_add_listener(relay[i], &options), 0);
        fd = hyperderp_relay_listener_fd(relay[i], 0);
        assert_true(fd >= 0);
        assert_int_equal(hyperderp_relay_start(relay[i]), 0);
    }
    assert_int_equal(hyperderp_relay_hand_over(relay[0], 0), 0);
    assert_int_equal(hyperderp_relay_drain(relay[0], FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(hyperderp_relay_drain(relay[1], FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(hyperderp_relay_drain(relay[2], FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(stat(path, &info), -1);
    for (unsigned i = 0; i < 3; i++)
        hyperderp_relay_free(relay[i]);
    close(fd);
    assert_int_equal(rmdir(folder), 0);
}

static void sockets_of_stun(void **state)
{
    char first[64], second[64];
    hyperderp_relay *relay[2];

    (void)state;
    assert_int_equal(hyperderp_relay_new(&relay[0], NULL), 0);
    assert_int_equal(hyperderp_relay_new(&relay[1], NULL), 0);
    assert_int_equal(hyperderp_relay_add_stun(relay[0], "127.0.0.1:0"), 0);
    int fd = hyperderp_relay_stun_fd(relay[0], 0);
    assert_true(fd >= 0);
    assert_int_equal(hyperderp_relay_stun_fd(relay[0], 1), -EINVAL);
    assert_int_equal(hyperderp_relay_stun_fd(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_add_stun_fd(relay[1], fd), 0);
    assert_int_equal(hyperderp_relay_stun_address(relay[0], 0, first, sizeof(first)), 0);
    assert_int_equal(hyperderp_relay_stun_address(relay[1], 0, second, sizeof(second)), 0);
    assert_string_equal(first, second);
    assert_int_equal(hyperderp_relay_add_stun_fd(relay[1], -1), -EINVAL);
    int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(hyperderp_relay_add_stun_fd(relay[1], stream), -EINVAL);
    close(stream);
    int local = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(hyperderp_relay_add_stun_fd(relay[1], local), -EINVAL);
    close(local);
    assert_int_equal(hyperderp_relay_add_stun_fd(NULL, fd), -EINVAL);
    hyperderp_relay_free(relay[0]);
    hyperderp_relay_free(relay[1]);
}

static void wrong_arguments_are_refused(void **state)
{
    hyperderp_relay *relay;

    (void)state;
    assert_int_equal(hyperderp_relay_new(&relay, NULL), 0);
    assert_int_equal(hyperderp_relay_hand_over(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_fd(relay, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_fd(NULL, 0), -EINVAL);
    hyperderp_listener_options options;
    hyperderp_listener_options_init(&options);
    options.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_add_listener(relay, &options), 0);
    assert_int_equal(hyperderp_relay_listener_fd(relay, -1), -EINVAL);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    assert_int_equal(hyperderp_relay_hand_over(relay, 60001), -EINVAL);
    assert_int_equal(hyperderp_relay_drain(relay, FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(hyperderp_relay_hand_over(relay, 0), 0); /* has gone further */
    hyperderp_relay_free(relay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(clients_are_moved),
        FIXTURE_ON_BOTH(the_others_go_on),
        FIXTURE_ON_ALL(hints_of_a_drain_are_spread),
        FIXTURE_ON_ALL(connections_wait_for_the_next),
        FIXTURE_ON_ALL(handshakes_end_before_a_drain_does),
        cmocka_unit_test(files_of_sockets),
        cmocka_unit_test(sockets_of_stun),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests_name("api hand over", tests, NULL, NULL);
}
