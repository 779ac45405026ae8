/* SPDX-License-Identifier: BSD-3-Clause */
/* Mesh partners that watch: what they are told, also while all of it changes, and what becomes of
 * one that does not listen. On both engines, in the clear and over TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/relay.h"
#include "relay/watch.h"
#include "relay_fixture.h"

static const uint8_t mesh_key[HYPERDERP_MESH_KEY_SIZE] = {1, 2, 3};

static hyperderp_relay_options mesh_options(void **state, unsigned workers)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);

    memcpy(options.mesh_key, mesh_key, sizeof(mesh_key));
    return options;
}

static struct client_socket *join_with_key(const struct fixture *fixture, const uint8_t *key)
{
    struct client_info info = {.version = DERP_PROTOCOL_VERSION, .has_mesh_key = true};
    hyperderp_private_key private_key;

    memcpy(info.mesh_key, key, sizeof(info.mesh_key));
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    return fixture_join_with(fixture, &private_key, &info);
}

static void send_watch(struct client_socket *client)
{
    uint8_t frame[FRAME_HEADER_SIZE];

    frame_header_encode(frame, FRAME_WATCH_CONNS, 0);
    assert_int_equal(client_socket_send_raw(client, frame, sizeof(frame), FIXTURE_PATIENCE_MS), 0);
}

/* Takes what a watcher is told until it believes that exactly these keys are here. */
struct belief {
    hyperderp_key keys[256];
    size_t count;
};

static void believe(struct belief *belief, const hyperderp_key *key, bool present)
{
    size_t at = 0;

    while (at < belief->count && !hyperderp_key_equal(&belief->keys[at], key))
        at++;
    if (present && at == belief->count) {
        assert_true(belief->count < 256);
        belief->keys[belief->count++] = *key;
    } else if (!present && at < belief->count) {
        belief->keys[at] = belief->keys[--belief->count];
    }
}

static void take_one(struct belief *belief, struct client_socket *watcher)
{
    struct client_message message;

    assert_int_equal(client_socket_recv(watcher, &message, FIXTURE_PATIENCE_MS), 0);
    if (message.type == CLIENT_MESSAGE_PEER_GONE) {
        assert_int_equal(message.reason, PEER_GONE_DISCONNECTED);
        believe(belief, &message.peer, false);
        return;
    }
    assert_int_equal(message.type, CLIENT_MESSAGE_PEER_PRESENT);
    assert_true(message.len >= HYPERDERP_KEY_SIZE + 16 + 2 + 1);
    believe(belief, &message.peer, true);
}

/* While many come and go, on all workers, a watcher ends up knowing what is true. */
static void follows_changes(void **state)
{
    enum { CLIENTS = 40, ROUNDS = 6 };
    hyperderp_relay_options options = mesh_options(state, 3);
    struct client_socket *client[CLIENTS] = {0};
    struct belief belief = {.count = 0};
    struct fixture fixture;
    size_t here = 1;

    fixture_start(&fixture, &options, 0);
    struct client_socket *watcher = join_with_key(&fixture, mesh_key);
    for (unsigned i = 0; i < CLIENTS / 2; i++)
        client[i] = fixture_join(&fixture, 0);
    send_watch(watcher);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = round % 3; i < CLIENTS; i += 3) {
            if (client[i])
                client_socket_close(client[i]);
            client[i] = client[i] ? NULL : fixture_join(&fixture, 0);
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        here += client[i] != NULL;
    fixture_wait(&fixture, counters_peers_are, here);
    /* One who comes last is told last of all: each watcher's keys are told in their order. */
    struct client_socket *last = fixture_join(&fixture, 0);
    while (belief.count == 0 ||
           !hyperderp_key_equal(&belief.keys[belief.count - 1], client_socket_key(last)))
        take_one(&belief, watcher);
    assert_int_equal(belief.count, here + 1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        size_t before = belief.count;
        if (!client[i])
            continue;
        believe(&belief, client_socket_key(client[i]), true);
        assert_int_equal(belief.count, before);
        client_socket_close(client[i]);
    }
    assert_int_equal(fixture_counters(&fixture).mesh_watchers, 1);
    client_socket_close(last);
    client_socket_close(watcher);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).mesh_watchers, 0);
    fixture_stop(&fixture);
}

static bool watchers_lost_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->mesh_watchers_lost == value;
}

/* One that takes nothing loses its connection when too much waits to be told; nobody else does. */
static void loses_one_that_does_not_listen(void **state)
{
    hyperderp_relay_options options = mesh_options(state, 1);
    struct fixture fixture;
    hyperderp_key key = {{9}};

    fixture_start(&fixture, &options, 16384);
    struct client_socket *other = fixture_join(&fixture, 0);
    struct client_socket *deaf = join_with_key(&fixture, mesh_key);
    send_watch(deaf);
    fixture_expect_nothing(other);
    struct worker *worker = fixture.relay->workers[0];
    /* More than its list, its queue and any socket buffers hold. */
    for (unsigned i = 0; i < 4 * WATCH_MAX_KEYS; i++) {
        memcpy(key.bytes, &i, sizeof(i));
        watch_note(worker, &key);
    }
    fixture_wait(&fixture, watchers_lost_are, 1);
    fixture_wait(&fixture, counters_connections_are, 1);
    assert_int_equal(fixture_counters(&fixture).mesh_watchers, 0);
    fixture_expect_nothing(other);
    client_socket_close(deaf);
    client_socket_close(other);
    fixture_stop(&fixture);
}

static hyperderp_verdict deny(void *user, const hyperderp_client_info *client,
                              hyperderp_admission *ticket)
{
    (void)user, (void)client, (void)ticket;
    return HYPERDERP_DENY;
}

static bool refused_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->mesh_refused == value;
}

/* A mesh partner is let in without being asked for; a relay without a key has no mesh partners. */
static void admission(void **state)
{
    hyperderp_relay_options options = mesh_options(state, 1);
    struct fixture fixture;

    options.admit = deny;
    fixture_start(&fixture, &options, 0);
    struct client_socket *node = join_with_key(&fixture, mesh_key);
    fixture_expect_nothing(node);
    client_socket_close(node);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);

    options = fixture_options(fixture_engine(state), 1);
    fixture_start(&fixture, &options, 0);
    node = join_with_key(&fixture, mesh_key);
    send_watch(node);
    fixture_wait(&fixture, refused_are, 1);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).protocol_errors, 1);
    client_socket_close(node);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(follows_changes),
        FIXTURE_ON_ALL(loses_one_that_does_not_listen),
        FIXTURE_ON_ALL(admission),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
