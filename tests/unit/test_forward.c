/* SPDX-License-Identifier: BSD-3-Clause */
/* Who receives for a key, and who is told that it has gone, on both engines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "relay_fixture.h"

/* Those who got packets from one that leaves are told, each once, and nobody else. */
static void gone_when_it_leaves(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct client_socket *client[4];

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < 4; i++)
        client[i] = fixture_join(&fixture, 0);
    hyperderp_key leaver = *client_socket_key(client[0]);
    for (unsigned i = 0; i < 3; i++) {
        fixture_pass(client[0], client[1], "one");
        fixture_pass(client[0], client[2], "two");
    }
    fixture_pass(client[3], client[0], "three");
    client_socket_close(client[0]);
    for (unsigned i = 1; i < 3; i++) {
        struct client_message message = fixture_expect(client[i], CLIENT_MESSAGE_PEER_GONE);
        assert_true(hyperderp_key_equal(&message.peer, &leaver));
        assert_int_equal(message.reason, PEER_GONE_DISCONNECTED);
    }
    for (unsigned i = 1; i < 4; i++)
        fixture_expect_nothing(client[i]);
    assert_int_equal(fixture_counters(&fixture).peer_gone_frames, 2);
    for (unsigned i = 1; i < 4; i++)
        client_socket_close(client[i]);
    fixture_stop(&fixture);
}

static void not_here(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_key nobody = {{1, 2, 3}};
    struct fixture fixture;
    uint8_t disco[100];

    fixture_start(&fixture, &options, 0);
    struct client_socket *client = fixture_join(&fixture, 0);
    fixture_disco(disco);
    assert_int_equal(client_socket_send(client, &nobody, "data", 4, FIXTURE_PATIENCE_MS), 0);
    fixture_expect_nothing(client);
    int64_t began = fixture_now_ms();
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(
            client_socket_send(client, &nobody, disco, sizeof(disco), FIXTURE_PATIENCE_MS), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct client_message message = fixture_expect(client, CLIENT_MESSAGE_PEER_GONE);
        assert_true(hyperderp_key_equal(&message.peer, &nobody));
        assert_int_equal(message.reason, PEER_GONE_NOT_HERE);
    }
    fixture_expect_nothing(client);
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

struct changes {
    atomic_uint ups, downs;
};

static void note_peer(void *user, const hyperderp_key *peer, bool up)
{
    struct changes *changes = user;

    (void)peer;
    if (up)
        changes->ups++;
    else
        changes->downs++;
}

/* Of two connections of a key the one that sent last receives; when it leaves the other takes over,
 * and nobody is told that the key has gone before both have. */
static void duplicates(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct changes changes = {0};
    hyperderp_private_key private_key;

    options.user = &changes;
    options.peer_changed = note_peer;
    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *sender = fixture_join(&fixture, 0);
    struct client_socket *first = fixture_join_as(&fixture, &private_key);
    fixture_pass(sender, first, "alone");
    struct client_socket *second = fixture_join_as(&fixture, &private_key);
    assert_int_equal(fixture_counters(&fixture).duplicate_connections, 1);
    assert_int_equal(fixture_counters(&fixture).peers_active, 2);
    fixture_pass(sender, second, "the newer");
    fixture_pass(first, sender, "here I am");
    fixture_pass(sender, first, "the one that sent");
    fixture_expect_nothing(second); /* a Ping is activity, too */
    fixture_pass(sender, second, "the one that pinged");
    client_socket_close(first);
    fixture_wait(&fixture, counters_connections_are, 2);
    fixture_pass(sender, second, "the one that is left");
    fixture_expect_nothing(sender);
    client_socket_close(second);
    fixture_expect(sender, CLIENT_MESSAGE_PEER_GONE);
    fixture_expect_nothing(sender);
    assert_int_equal(fixture_counters(&fixture).peers_active, 1);
    assert_int_equal(changes.ups, 2);
    assert_int_equal(changes.downs, 1);
    client_socket_close(sender);
    fixture_stop(&fixture);
}

static void sends_to_itself(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *client = fixture_join(&fixture, 0);
    fixture_pass(client, client, "to myself");
    client_socket_close(client);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Says what clients get at once: packets to two of them in turn, so that no two neighbours go out
 * in one piece and one batch does not hold them. */
#define BURST 130

static void send_burst(struct client_socket *sender, struct client_socket *const *to)
{
    static const char text[] = "short";
    uint8_t bytes[2 * BURST * (FRAME_PACKET_OVERHEAD + sizeof(text))], *at = bytes;

    for (unsigned i = 0; i < 2 * BURST; i++) {
        client_packet_header(at, client_socket_key(to[i % 2]), sizeof(text));
        memcpy(at + FRAME_PACKET_OVERHEAD, text, sizeof(text));
        at += FRAME_PACKET_OVERHEAD + sizeof(text);
    }
    assert_int_equal(client_socket_send_raw(sender, bytes, sizeof(bytes), FIXTURE_PATIENCE_MS), 0);
}

/* What has no room in a batch follows at once, though nothing else wakes the worker: in the
 * quickest of some tries, as the machine may be busy. */
static void burst_does_not_wait(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct client_socket *client[3];
    int64_t quickest = INT64_MAX;

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < 3; i++)
        client[i] = fixture_join(&fixture, 0);
    for (unsigned try = 0; try < 20; try++) {
        int64_t began = fixture_now_ms();
        send_burst(client[2], client);
        for (unsigned i = 0; i < 2 * BURST; i++)
            (void)fixture_expect(client[i % 2], CLIENT_MESSAGE_PACKET);
        int64_t took = fixture_now_ms() - began;
        quickest = took < quickest ? took : quickest;
    }
    assert_in_range(quickest, 0, 7); /* where it waits, some 10 ms */
    for (unsigned i = 0; i < 3; i++)
        client_socket_close(client[i]);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(gone_when_it_leaves), FIXTURE_ON_ALL(not_here),
        FIXTURE_ON_ALL(duplicates),          FIXTURE_ON_ALL(sends_to_itself),
        FIXTURE_ON_ALL(burst_does_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
