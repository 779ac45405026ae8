/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a relay as its embedder sees it, on each engine: start, run, drain, stop and free in
 * every order that the header allows, with clients and without, and what each says when it is not
 * its turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "relay_fixture.h"

static const hyperderp_engine engines[] = {HYPERDERP_ENGINE_EPOLL, HYPERDERP_ENGINE_IO_URING};

static hyperderp_engine engine_of(void **state)
{
    hyperderp_engine engine = *(const hyperderp_engine *)*state;

    if (!fixture_has(engine))
        skip();
    return engine;
}

static void make(struct fixture *fixture, const hyperderp_relay_options *options)
{
    hyperderp_listener_options listener;

    *fixture = (struct fixture){0};
    assert_int_equal(hyperderp_relay_new(&fixture->relay, options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_add_listener(fixture->relay, &listener), 0);
    assert_int_equal(hyperderp_relay_listener_address(fixture->relay, 0, fixture->address,
                                                      sizeof(fixture->address)),
                     0);
}

static void start(struct fixture *fixture, hyperderp_engine engine, unsigned workers)
{
    hyperderp_relay_options options = fixture_options(engine, workers);

    make(fixture, &options);
    assert_int_equal(hyperderp_relay_start(fixture->relay), 0);
}

/* What is left of a relay whose workers have ended: nothing that is open, and every packet
 * accounted for. */
static void assert_ended(const struct fixture *fixture)
{
    hyperderp_counters c = fixture_counters(fixture);

    assert_int_equal(c.connections, 0);
    assert_int_equal(c.peers_active, 0);
    assert_int_equal(c.queued_bytes, 0);
    assert_int_equal(c.packets_received, c.packets_delivered + fixture_dropped(&c));
}

static void assert_refused(const struct fixture *fixture)
{
    struct client_options options = {.info = {.version = DERP_PROTOCOL_VERSION}};
    struct client_socket *client;

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    assert_int_equal(
        client_socket_connect(&client, fixture->address, &options, FIXTURE_PATIENCE_MS),
        -ECONNREFUSED);
}

/* A drained relay has given its address back, also while it is kept for its counters. */
static void assert_can_listen(const char *address)
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_EPOLL, 1);
    hyperderp_listener_options listener;
    hyperderp_relay *relay;

    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = address;
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), 0);
    hyperderp_relay_free(relay);
}

static unsigned open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* ---- Calls out of turn ------------------------------------------------------------------------
 */

static void test_start_errors(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 2);
    struct fixture fixture;
    hyperderp_relay *relay;

    assert_int_equal(hyperderp_relay_start(NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_run(NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_drain(NULL, 0), -EINVAL);

    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    assert_int_equal(hyperderp_relay_start(relay), -EINVAL);
    assert_int_equal(hyperderp_relay_run(relay), -EINVAL);
    assert_int_equal(hyperderp_relay_drain(relay, 0), -EINVAL);
    hyperderp_relay_free(relay);

    make(&fixture, &options);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 1000), -EINVAL);
    hyperderp_relay_stop(fixture.relay); /* leaves it as it is */
    assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
    assert_int_equal(hyperderp_relay_start(fixture.relay), -EBUSY);
    assert_int_equal(hyperderp_relay_run(fixture.relay), -EBUSY);
    client_socket_close(fixture_join(&fixture, 0)); /* it serves nonetheless */
    hyperderp_relay_stop(fixture.relay);
    assert_int_equal(hyperderp_relay_start(fixture.relay), -EBUSY);
    assert_int_equal(hyperderp_relay_run(fixture.relay), -EBUSY);
    hyperderp_relay_free(fixture.relay);
}

static void test_free_at_any_time(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 2);
    struct fixture fixture;
    hyperderp_relay *relay;

    hyperderp_relay_free(NULL);
    hyperderp_relay_stop(NULL);
    hyperderp_admission_answer(NULL, HYPERDERP_ALLOW);
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    hyperderp_relay_free(relay);
    make(&fixture, &options);
    hyperderp_relay_free(fixture.relay);
    assert_refused(&fixture);

    /* While it runs and has a client. */
    start(&fixture, options.engine, 2);
    struct client_socket *client = fixture_join(&fixture, 0);
    hyperderp_relay_free(fixture.relay);
    (void)fixture_read_end(client_socket_fd(client));
    client_socket_close(client);
    assert_refused(&fixture);
}

/* ---- Stop and drain ---------------------------------------------------------------------------
 */

static void test_stop_with_clients(void **state)
{
    struct fixture fixture;

    start(&fixture, engine_of(state), 3);
    struct client_socket *joined = fixture_join(&fixture, 0);
    int silent = fixture_connect(&fixture);
    fixture_wait(&fixture, counters_connections_are, 2);
    hyperderp_relay_stop(fixture.relay);
    assert_ended(&fixture);
    hyperderp_counters before = fixture_counters(&fixture);
    assert_int_equal(before.handshakes_ok, 1);
    hyperderp_relay_stop(fixture.relay);
    hyperderp_counters after = fixture_counters(&fixture);
    assert_memory_equal(&before, &after, sizeof(before));
    (void)fixture_read_end(client_socket_fd(joined));
    (void)fixture_read_end(silent);
    client_socket_close(joined);
    close(silent);
    assert_refused(&fixture);
    hyperderp_relay_free(fixture.relay);
}

static void test_drain_without_clients(void **state)
{
    struct fixture fixture;

    start(&fixture, engine_of(state), 3);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    assert_refused(&fixture);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), 0);
    assert_int_equal(hyperderp_relay_start(fixture.relay), -EBUSY);
    assert_can_listen(fixture.address);
    hyperderp_relay_stop(fixture.relay);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), 0);
    assert_ended(&fixture);
    hyperderp_relay_free(fixture.relay);
}

/* The client gets what was queued for it, is told to come back, and its stream ends in order. */
static void test_drain_with_clients(void **state)
{
    /* Which a kernel takes of itself: the client reads only after the drain, and what waits with
     * the relay for longer than queue_time is dropped. */
    enum { PACKETS = 40 };
    struct fixture fixture;
    struct client_message message;
    uint8_t packet[1200] = {0};
    unsigned packets = 0, restarting = 0;
    int error;

    start(&fixture, engine_of(state), 2);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    int silent = fixture_connect(&fixture);
    fixture_wait(&fixture, counters_connections_are, 3);
    for (unsigned i = 0; i < PACKETS; i++)
        assert_int_equal(client_socket_send(from, client_socket_key(to), packet, sizeof(packet),
                                            FIXTURE_PATIENCE_MS),
                         0);
    fixture_wait(&fixture, counters_received_are, PACKETS);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    assert_ended(&fixture);

    while ((error = client_socket_recv(to, &message, FIXTURE_PATIENCE_MS)) == 0) {
        packets += message.type == CLIENT_MESSAGE_PACKET;
        restarting += message.type == CLIENT_MESSAGE_RESTARTING;
    }
    assert_int_equal(error, -EPIPE);
    assert_int_equal(packets, PACKETS);
    assert_int_equal(restarting, 1);
    (void)fixture_read_end(silent); /* never joined: closed without a word */
    assert_refused(&fixture);
    client_socket_close(from);
    client_socket_close(to);
    close(silent);
    hyperderp_relay_free(fixture.relay);
}

/* A timeout of 0 begins the drain and asks how far it is. A relay whose drain takes long can be
 * stopped. */
static void test_drain_timeout(void **state)
{
    hyperderp_engine engine = engine_of(state);
    struct fixture fixture;

    start(&fixture, engine, 2);
    struct client_socket *client = fixture_join(&fixture, 0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), -ETIMEDOUT);
    fixture_expect(client, CLIENT_MESSAGE_RESTARTING);
    client_socket_close(client);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    assert_ended(&fixture);
    hyperderp_relay_free(fixture.relay);

    start(&fixture, engine, 2);
    client = fixture_join(&fixture, 0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 1), -ETIMEDOUT);
    hyperderp_relay_stop(fixture.relay);
    assert_ended(&fixture);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), 0);
    client_socket_close(client);
    hyperderp_relay_free(fixture.relay);
}

/* ---- Run --------------------------------------------------------------------------------------
 */

/* run() says nothing when it has begun. A client's arrival tells. */
struct running {
    struct fixture fixture;
    sem_t joined;
    int result;
};

static void post_joined(void *user, const hyperderp_key *peer, bool up)
{
    struct running *running = user;
    (void)peer;

    if (up)
        sem_post(&running->joined);
}

static void *run_thread(void *arg)
{
    struct running *running = arg;

    running->result = hyperderp_relay_run(running->fixture.relay);
    return NULL;
}

static void run_and_end(hyperderp_engine engine, unsigned workers, bool drain)
{
    hyperderp_relay_options options = fixture_options(engine, workers);
    struct running running = {.result = 1};
    pthread_t thread;

    assert_int_equal(sem_init(&running.joined, 0, 0), 0);
    options.peer_changed = post_joined;
    options.user = &running;
    make(&running.fixture, &options);
    assert_int_equal(pthread_create(&thread, NULL, run_thread, &running), 0);
    struct client_socket *client = fixture_join(&running.fixture, 0);
    sem_wait(&running.joined);
    if (drain) {
        assert_int_equal(hyperderp_relay_drain(running.fixture.relay, FIXTURE_PATIENCE_MS), 0);
        fixture_expect(client, CLIENT_MESSAGE_RESTARTING);
    } else {
        hyperderp_relay_stop(running.fixture.relay);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(running.result, 0);
    assert_ended(&running.fixture);
    assert_int_equal(hyperderp_relay_run(running.fixture.relay), -EBUSY);
    client_socket_close(client);
    hyperderp_relay_free(running.fixture.relay);
    sem_destroy(&running.joined);
}

static void test_run(void **state)
{
    hyperderp_engine engine = engine_of(state);

    run_and_end(engine, 1, true);
    run_and_end(engine, 1, false);
    run_and_end(engine, 3, true);
    run_and_end(engine, 3, false);
}

/* Drained in the moment of its start, from a thread that knows of it by the answer alone. */
static void test_run_and_drain_at_once(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 2);

    for (unsigned i = 0; i < 50; i++) {
        struct running running = {.result = 1};
        pthread_t thread;
        int error;

        make(&running.fixture, &options);
        assert_int_equal(pthread_create(&thread, NULL, run_thread, &running), 0);
        do
            error = hyperderp_relay_drain(running.fixture.relay, FIXTURE_PATIENCE_MS);
        while (error == -EINVAL);
        assert_int_equal(error, 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(running.result, 0);
        hyperderp_relay_free(running.fixture.relay);
    }
}

static void *stop_thread(void *arg)
{
    hyperderp_relay_stop(arg);
    return NULL;
}

static void test_stop_by_several(void **state)
{
    hyperderp_engine engine = engine_of(state);

    for (unsigned i = 0; i < 20; i++) {
        struct fixture fixture;
        pthread_t threads[2];

        start(&fixture, engine, 2);
        for (unsigned t = 0; t < 2; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, stop_thread, fixture.relay), 0);
        hyperderp_relay_stop(fixture.relay);
        assert_ended(&fixture);
        for (unsigned t = 0; t < 2; t++)
            pthread_join(threads[t], NULL);
        hyperderp_relay_free(fixture.relay);
    }
}

/* ---- The process around it --------------------------------------------------------------------
 */

struct signals {
    sem_t seen;
    sigset_t of_worker;
};

static void note_signals(void *user, const hyperderp_key *peer, bool up)
{
    struct signals *signals = user;
    (void)peer;

    if (!up)
        return;
    pthread_sigmask(SIG_SETMASK, NULL, &signals->of_worker);
    sem_post(&signals->seen);
}

static void test_signals(void **state)
{
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    struct signals signals;
    sigset_t some, at_first, before, after;
    struct fixture fixture;

    assert_int_equal(sem_init(&signals.seen, 0, 0), 0);
    options.peer_changed = note_signals;
    options.user = &signals;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &some, &at_first), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    make(&fixture, &options);
    assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
    client_socket_close(fixture_join(&fixture, 0));
    sem_wait(&signals.seen);
    hyperderp_relay_free(fixture.relay);
    pthread_sigmask(SIG_SETMASK, &at_first, &after);
    for (int s = 1; s < 32; s++) {
        assert_int_equal(sigismember(&before, s), sigismember(&after, s));
        /* Nobody can block these two, and they count as not blocked. */
        assert_int_equal(sigismember(&signals.of_worker, s), s != SIGKILL && s != SIGSTOP);
    }
    sem_destroy(&signals.seen);
}

static void test_two_relays(void **state)
{
    enum { PACKETS = 500 };
    hyperderp_engine engine = engine_of(state);
    struct fixture relays[2];
    struct client_socket *from[2], *to[2];
    hyperderp_private_key private_key;
    uint8_t packet[800] = {0};

    /* The receiver of both has one key: they must not know of each other. */
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    for (unsigned r = 0; r < 2; r++) {
        start(&relays[r], engine, 1 + r);
        from[r] = fixture_join(&relays[r], 0);
        to[r] = fixture_join_as(&relays[r], &private_key);
    }
    for (unsigned i = 0; i < PACKETS; i++)
        for (unsigned r = 0; r < 2; r++) {
            packet[0] = (uint8_t)r;
            assert_int_equal(client_socket_send(from[r], client_socket_key(to[r]), packet,
                                                sizeof(packet), FIXTURE_PATIENCE_MS),
                             0);
        }
    for (unsigned r = 0; r < 2; r++)
        for (unsigned i = 0; i < PACKETS; i++) {
            struct client_message message = fixture_expect(to[r], CLIENT_MESSAGE_PACKET);
            assert_true(hyperderp_key_equal(&message.peer, client_socket_key(from[r])));
            assert_int_equal(message.payload[0], r);
        }
    assert_int_equal(
        client_socket_send(from[0], client_socket_key(from[1]), packet, 1, FIXTURE_PATIENCE_MS), 0);
    fixture_wait(&relays[0], counters_at_rest, PACKETS + 1);
    assert_int_equal(
        fixture_counters(&relays[0]).drops[HYPERDERP_DROP_UNKNOWN_PEER][HYPERDERP_PACKET_DATA], 1);
    hyperderp_relay_free(relays[0].relay);
    /* The other one goes on. */
    assert_int_equal(
        client_socket_send(to[1], client_socket_key(from[1]), packet, 1, FIXTURE_PATIENCE_MS), 0);
    fixture_expect(from[1], CLIENT_MESSAGE_PACKET);
    fixture_wait(&relays[1], counters_at_rest, PACKETS + 1);
    assert_int_equal(fixture_counters(&relays[1]).packets_delivered, PACKETS + 1);
    hyperderp_relay_free(relays[1].relay);
    for (unsigned r = 0; r < 2; r++) {
        client_socket_close(from[r]);
        client_socket_close(to[r]);
    }
}

static void test_create_and_free(void **state)
{
    enum { TIMES = 500 }; /* on each of the two engines */
    hyperderp_relay_options options = fixture_options(engine_of(state), 1);
    unsigned files = open_files();
    struct fixture fixture;

    for (unsigned i = 0; i < TIMES; i++) {
        make(&fixture, &options);
        if (i % 10 == 0)
            assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
        hyperderp_relay_free(fixture.relay);
    }
    assert_int_equal(open_files(), files);
}

int main(void)
{
#define ON_BOTH(test)                                                                              \
    cmocka_unit_test_prestate(test, (void *)(uintptr_t)&engines[0]),                               \
        cmocka_unit_test_prestate(test, (void *)(uintptr_t)&engines[1])
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_start_errors),
        ON_BOTH(test_free_at_any_time),
        ON_BOTH(test_stop_with_clients),
        ON_BOTH(test_drain_without_clients),
        ON_BOTH(test_drain_with_clients),
        ON_BOTH(test_drain_timeout),
        ON_BOTH(test_run),
        ON_BOTH(test_run_and_drain_at_once),
        ON_BOTH(test_stop_by_several),
        ON_BOTH(test_signals),
        ON_BOTH(test_two_relays),
        ON_BOTH(test_create_and_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
