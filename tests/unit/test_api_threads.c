/* SPDX-License-Identifier: BSD-3-Clause */
/* What several threads do at once, on each engine: peer_changed() under concurrent connects of one
 * key, counters read while packets flow, the log of all threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "relay_fixture.h"

#define WORKERS 3

static const hyperderp_engine engines[] = {HYPERDERP_ENGINE_EPOLL, HYPERDERP_ENGINE_IO_URING};

static hyperderp_relay_options options_for(void **state)
{
    hyperderp_engine engine = *(const hyperderp_engine *)*state;

    if (!fixture_has(engine))
        skip();
    return fixture_options(engine, WORKERS);
}

/* Joins without a look at the counters, which others change at the same moment. No assertions, as
 * it runs on threads of its own. */
static int join(struct client_socket **out, const struct fixture *fixture,
                const hyperderp_private_key *private_key)
{
    struct client_options options = {.private_key = *private_key,
                                     .info = {.version = DERP_PROTOCOL_VERSION,
                                              .can_ack_pings = true,
                                              .app_name = "test\x01 client"}};

    return client_socket_connect(out, fixture->address, &options, FIXTURE_PATIENCE_MS);
}

static int join_new(struct client_socket **out, const struct fixture *fixture)
{
    hyperderp_private_key private_key;

    if (hyperderp_private_key_generate(&private_key) != 0)
        return -EIO;
    return join(out, fixture, &private_key);
}

static bool at_least_joined(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_ok >= value;
}

/* ---- Peers ------------------------------------------------------------------------------------
 */

enum { KEYS = 3, JOINERS = 6, ROUNDS = 40 };

struct peers {
    hyperderp_private_key private_keys[KEYS];
    hyperderp_key keys[KEYS];
    const struct fixture *fixture;
    atomic_bool inside[KEYS]; /* a callback for this key runs */
    atomic_int up[KEYS];
    atomic_uint ups[KEYS], downs[KEYS], wrong, failed;
};

static void note_peer(void *user, const hyperderp_key *peer, bool up)
{
    struct peers *peers = user;
    unsigned i = 0;

    while (i < KEYS && !hyperderp_key_equal(&peers->keys[i], peer))
        i++;
    if (i == KEYS) {
        atomic_fetch_add(&peers->wrong, 1);
        return;
    }
    bool overlap = atomic_exchange(&peers->inside[i], true);
    usleep(100); /* a wide door for calls that come at the same moment */
    bool again = atomic_exchange(&peers->up[i], up) == (int)up;
    atomic_fetch_add(&peers->wrong, overlap || again);
    atomic_fetch_add(up ? &peers->ups[i] : &peers->downs[i], 1);
    atomic_store(&peers->inside[i], false);
}

static void *come_and_go(void *arg)
{
    struct peers *peers = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct client_socket *client;
        if (join(&client, peers->fixture, &peers->private_keys[i % KEYS]) != 0)
            atomic_fetch_add(&peers->failed, 1);
        client_socket_close(client);
    }
    return NULL;
}

static void check_peers(struct peers *peers)
{
    assert_int_equal(peers->wrong, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(peers->ups[i] > 0);
        assert_int_equal(peers->ups[i], peers->downs[i]);
        assert_int_equal(peers->up[i], 0);
    }
}

static void test_peer_changed(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct peers peers = {0};
    pthread_t threads[JOINERS];
    struct client_socket *first, *second;
    struct fixture fixture;

    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(hyperderp_private_key_generate(&peers.private_keys[i]), 0);
        hyperderp_private_key_public(&peers.private_keys[i], &peers.keys[i]);
    }
    options.peer_changed = note_peer;
    options.user = &peers;
    fixture_start(&fixture, &options, 0);
    peers.fixture = &fixture;

    /* One key twice, on two workers: one up, and one down with the last. */
    first = fixture_join_as(&fixture, &peers.private_keys[0]);
    second = fixture_join_as(&fixture, &peers.private_keys[0]);
    assert_int_equal(peers.ups[0], 1);
    client_socket_close(first);
    fixture_wait(&fixture, counters_connections_are, 1);
    assert_int_equal(peers.downs[0], 0);
    client_socket_close(second);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(peers.ups[0], 1);
    assert_int_equal(peers.downs[0], 1);

    for (unsigned i = 0; i < JOINERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &peers), 0);
    for (unsigned i = 0; i < JOINERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(peers.failed, 0);
    fixture_wait(&fixture, at_least_joined, JOINERS * ROUNDS + 2);
    fixture_wait(&fixture, counters_connections_are, 0);
    check_peers(&peers);
    assert_true(fixture_counters(&fixture).duplicate_connections > 0);

    /* Those that are here when the relay stops go down as well. */
    first = fixture_join_as(&fixture, &peers.private_keys[1]);
    second = fixture_join_as(&fixture, &peers.private_keys[1]);
    hyperderp_relay_stop(fixture.relay);
    check_peers(&peers);
    client_socket_close(first);
    client_socket_close(second);
    fixture_stop(&fixture);
}

/* ---- Counters and log -------------------------------------------------------------------------
 */

struct watch {
    const struct fixture *fixture;
    atomic_bool done;
    unsigned readings, backwards; /* read once its thread has ended */
};

/* A count never falls, whoever adds to it meanwhile. */
static void *watch_counters(void *arg)
{
    struct watch *watch = arg;
    hyperderp_counters last = fixture_counters(watch->fixture);

    do {
        hyperderp_counters now = fixture_counters(watch->fixture);
        watch->backwards += now.packets_received < last.packets_received ||
                            now.packets_delivered < last.packets_delivered ||
                            now.recv_bytes < last.recv_bytes || now.send_bytes < last.send_bytes ||
                            now.handshakes_ok < last.handshakes_ok ||
                            now.loop_turns < last.loop_turns || now.workers != WORKERS ||
                            fixture_dropped(&now) < fixture_dropped(&last);
        watch->readings++;
        last = now;
    } while (!atomic_load(&watch->done));
    return NULL;
}

enum { PAIRS = 4, PACKETS = 400 };

struct traffic {
    const struct fixture *fixture;
    atomic_uint failed;
};

/* A pair of clients of its own: what one sends, the other one gets, in order. */
static void *pass_packets(void *arg)
{
    struct traffic *traffic = arg;
    struct client_socket *from = NULL, *to = NULL;
    struct client_message message;
    uint8_t packet[1000] = {0};
    int error = join_new(&from, traffic->fixture);

    if (error == 0)
        error = join_new(&to, traffic->fixture);
    /* Once the receiver's own packet has come back, the relay can find it. */
    if (error == 0)
        error = client_socket_send(to, client_socket_key(to), packet, 1, FIXTURE_PATIENCE_MS);
    if (error == 0)
        error = client_socket_recv(to, &message, FIXTURE_PATIENCE_MS);
    for (unsigned i = 0; i < PACKETS && error == 0; i++) {
        memcpy(packet, &i, sizeof(i));
        error = client_socket_send(from, client_socket_key(to), packet, sizeof(packet),
                                   FIXTURE_PATIENCE_MS);
        if (error == 0)
            error = client_socket_recv(to, &message, FIXTURE_PATIENCE_MS);
        if (error == 0 && (message.type != CLIENT_MESSAGE_PACKET || message.len != sizeof(packet) ||
                           memcmp(message.payload, &i, sizeof(i)) != 0))
            error = -EPROTO;
    }
    atomic_fetch_add(&traffic->failed, error != 0);
    client_socket_close(from);
    client_socket_close(to);
    return NULL;
}

static void test_counters_under_traffic(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct watch watch[2] = {0};
    pthread_t watchers[2], pairs[PAIRS];
    struct traffic traffic = {0};
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    traffic.fixture = &fixture;
    for (unsigned i = 0; i < 2; i++) {
        watch[i].fixture = &fixture;
        assert_int_equal(pthread_create(&watchers[i], NULL, watch_counters, &watch[i]), 0);
    }
    for (unsigned i = 0; i < PAIRS; i++)
        assert_int_equal(pthread_create(&pairs[i], NULL, pass_packets, &traffic), 0);
    for (unsigned i = 0; i < PAIRS; i++)
        pthread_join(pairs[i], NULL);
    fixture_wait(&fixture, counters_connections_are, 0);
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&watch[i].done, true);
        pthread_join(watchers[i], NULL);
        assert_true(watch[i].readings > 0);
        assert_int_equal(watch[i].backwards, 0);
    }
    assert_int_equal(traffic.failed, 0);
    hyperderp_counters end = fixture_counters(&fixture);
    assert_int_equal(end.packets_delivered, PAIRS * (PACKETS + 1));
    assert_int_equal(fixture_dropped(&end), 0);
    fixture_stop(&fixture);
}

struct diary {
    pthread_mutex_t lock;
    pthread_t writers[WORKERS + 2];
    unsigned writer_count, lines, bad;
    bool levels[4];
};

static void write_diary(void *user, hyperderp_log_level level, const char *line)
{
    struct diary *diary = user;
    unsigned i = 0;

    pthread_mutex_lock(&diary->lock);
    diary->lines++;
    diary->levels[level] = true;
    diary->bad += *line == '\0';
    for (const char *at = line; *at; at++)
        diary->bad += !isprint((unsigned char)*at);
    while (i < diary->writer_count && !pthread_equal(diary->writers[i], pthread_self()))
        i++;
    if (i == diary->writer_count && i < WORKERS + 2)
        diary->writers[diary->writer_count++] = pthread_self();
    pthread_mutex_unlock(&diary->lock);
}

static void test_log_of_all_threads(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct diary diary = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t pairs[PAIRS];
    struct traffic traffic = {0};
    struct fixture fixture;

    options.log = write_diary;
    options.user = &diary;
    options.log_level = HYPERDERP_LOG_DEBUG;
    fixture_start(&fixture, &options, 0);
    traffic.fixture = &fixture;
    for (unsigned i = 0; i < PAIRS; i++)
        assert_int_equal(pthread_create(&pairs[i], NULL, pass_packets, &traffic), 0);
    for (unsigned i = 0; i < PAIRS; i++)
        pthread_join(pairs[i], NULL);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
    assert_int_equal(traffic.failed, 0);
    assert_int_equal(diary.bad, 0);
    assert_int_equal(diary.writer_count, WORKERS + 1); /* and this thread, inside start() */
    assert_true(diary.lines >= 2 + 2 * 2 * PAIRS);     /* two for each client, two for the start */
    assert_true(diary.levels[HYPERDERP_LOG_DEBUG] && diary.levels[HYPERDERP_LOG_INFO]);
    assert_false(diary.levels[HYPERDERP_LOG_WARN] || diary.levels[HYPERDERP_LOG_ERROR]);

    /* Lines above the level are not made. */
    diary.levels[HYPERDERP_LOG_DEBUG] = diary.levels[HYPERDERP_LOG_INFO] = false;
    diary.lines = 0;
    options.log_level = HYPERDERP_LOG_WARN;
    fixture_start(&fixture, &options, 0);
    client_socket_close(fixture_join(&fixture, 0));
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
    assert_int_equal(diary.lines, 0);
}

int main(void)
{
#define ON_BOTH(test)                                                                              \
    cmocka_unit_test_prestate(test, (void *)(uintptr_t)&engines[0]),                               \
        cmocka_unit_test_prestate(test, (void *)(uintptr_t)&engines[1])
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_peer_changed),
        ON_BOTH(test_counters_under_traffic),
        ON_BOTH(test_log_of_all_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
