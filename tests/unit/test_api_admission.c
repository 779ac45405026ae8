/* SPDX-License-Identifier: BSD-3-Clause */
/* Admission, on each engine: admit() answered at once, later, by whichever thread, to clients that
 * have left, and by a relay that drains or has stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
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

static bool at_least_joined(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_ok >= value;
}

static bool at_least_denied(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_denied >= value;
}

static bool at_least_timed_out(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_timed_out >= value;
}

enum { MAX_TICKETS = 64 };

/* Tickets on their way from admit() to whoever answers them. */
struct desk {
    hyperderp_relay *relay;
    pthread_mutex_t lock;
    sem_t asked;
    unsigned questions, answered;
    hyperderp_admission *tickets[MAX_TICKETS];
    pthread_t askers[MAX_TICKETS]; /* the worker of each question */
    hyperderp_client_info info;    /* of the last one */
    char address[64], app_name[64];
};

static void desk_open(struct desk *desk)
{
    *desk = (struct desk){0};
    pthread_mutex_init(&desk->lock, NULL);
    assert_int_equal(sem_init(&desk->asked, 0, 0), 0);
}

static void desk_close(struct desk *desk)
{
    pthread_mutex_destroy(&desk->lock);
    sem_destroy(&desk->asked);
}

static void desk_note(struct desk *desk, const hyperderp_client_info *client,
                      hyperderp_admission *ticket)
{
    pthread_mutex_lock(&desk->lock);
    desk->info = *client;
    snprintf(desk->address, sizeof(desk->address), "%s", client->address);
    snprintf(desk->app_name, sizeof(desk->app_name), "%s", client->app_name);
    if (desk->questions < MAX_TICKETS) {
        desk->tickets[desk->questions] = ticket;
        desk->askers[desk->questions] = pthread_self();
    }
    desk->questions++;
    pthread_mutex_unlock(&desk->lock);
    sem_post(&desk->asked);
}

static hyperderp_verdict admit_later(void *user, const hyperderp_client_info *client,
                                     hyperderp_admission *ticket)
{
    desk_note(user, client, ticket);
    return HYPERDERP_LATER;
}

/* The decision of the tests: clients with an odd first byte in their key stay out. */
static hyperderp_verdict verdict_on(const hyperderp_key *key)
{
    return key->bytes[0] & 1 ? HYPERDERP_DENY : HYPERDERP_ALLOW;
}

static hyperderp_verdict admit_now(void *user, const hyperderp_client_info *client,
                                   hyperderp_admission *ticket)
{
    struct desk *desk = user;
    hyperderp_counters counters = {.size = sizeof(counters)};

    (void)ticket;
    desk_note(desk, client, NULL);
    hyperderp_relay_counters(desk->relay, &counters); /* a callback may */
    return verdict_on(&client->key);
}

/* "Later" may also be at once, by the callback itself. */
static hyperderp_verdict admit_inside(void *user, const hyperderp_client_info *client,
                                      hyperderp_admission *ticket)
{
    desk_note(user, client, NULL);
    hyperderp_admission_answer(ticket, verdict_on(&client->key));
    return HYPERDERP_LATER;
}

static void start_with_desk(struct fixture *fixture, hyperderp_relay_options *options,
                            struct desk *desk)
{
    desk_open(desk);
    options->user = desk;
    fixture_start(fixture, options, 0);
    pthread_mutex_lock(&desk->lock);
    desk->relay = fixture->relay;
    pthread_mutex_unlock(&desk->lock);
}

static hyperderp_private_key key_with_first_bit(unsigned bit)
{
    hyperderp_private_key private_key;
    hyperderp_key key;

    do {
        assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
        hyperderp_private_key_public(&private_key, &key);
    } while ((key.bytes[0] & 1) != bit);
    return private_key;
}

/* Several clients at once, each on a thread. */
struct crowd {
    const struct fixture *fixture;
    atomic_uint next, wrong;
    hyperderp_private_key keys[MAX_TICKETS];
};

static void *join_crowd(void *arg)
{
    struct crowd *crowd = arg;
    unsigned i;

    while ((i = atomic_fetch_add(&crowd->next, 1)) < MAX_TICKETS) {
        struct client_socket *client;
        int error = join(&client, crowd->fixture, &crowd->keys[i]);
        /* A client that is turned away may see its connection end in either way. */
        bool fine = i % 2 ? error == -EPIPE || error == -ECONNRESET : error == 0;
        atomic_fetch_add(&crowd->wrong, !fine);
        client_socket_close(client);
    }
    return NULL;
}

static void run_crowd(const struct fixture *fixture)
{
    struct crowd crowd = {.fixture = fixture};
    pthread_t threads[8];

    for (unsigned i = 0; i < MAX_TICKETS; i++)
        crowd.keys[i] = key_with_first_bit(i % 2);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, join_crowd, &crowd), 0);
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.wrong, 0);
    fixture_wait(fixture, at_least_joined, MAX_TICKETS / 2);
    fixture_wait(fixture, at_least_denied, MAX_TICKETS / 2);
    fixture_wait(fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(fixture).handshakes_ok, MAX_TICKETS / 2);
    assert_int_equal(fixture_counters(fixture).handshakes_denied, MAX_TICKETS / 2);
}

static unsigned distinct_askers(const struct desk *desk)
{
    unsigned distinct = 0;

    for (unsigned i = 0; i < MAX_TICKETS; i++) {
        bool first = true;
        for (unsigned j = 0; j < i; j++)
            first = first && !pthread_equal(desk->askers[i], desk->askers[j]);
        distinct += first;
    }
    return distinct;
}

static void test_admit_by_all_workers(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct fixture fixture;
    struct desk desk;

    options.admit = admit_now;
    start_with_desk(&fixture, &options, &desk);
    run_crowd(&fixture);
    fixture_stop(&fixture);
    assert_int_equal(desk.questions, MAX_TICKETS);
    assert_int_equal(distinct_askers(&desk), WORKERS);
    desk_close(&desk);
}

static void test_admit_info(void **state)
{
    hyperderp_relay_options options = options_for(state);
    hyperderp_private_key private_key = key_with_first_bit(0);
    struct client_socket *client;
    struct fixture fixture;
    struct desk desk;

    options.admit = admit_now;
    start_with_desk(&fixture, &options, &desk);
    assert_int_equal(join(&client, &fixture, &private_key), 0);
    fixture_wait(&fixture, at_least_joined, 1);
    pthread_mutex_lock(&desk.lock);
    assert_int_equal(desk.info.size, sizeof(desk.info));
    assert_true(hyperderp_key_equal(&desk.info.key, client_socket_key(client)));
    assert_true(desk.info.can_ack_pings);
    assert_false(desk.info.is_prober);
    assert_string_equal(desk.app_name, "test? client");
    assert_int_equal(strncmp(desk.address, "127.0.0.1:", 10), 0);
    assert_string_not_equal(desk.address, fixture.address);
    pthread_mutex_unlock(&desk.lock);
    client_socket_close(client);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
    desk_close(&desk);
}

static void test_answer_inside(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct fixture fixture;
    struct desk desk;

    options.admit = admit_inside;
    start_with_desk(&fixture, &options, &desk);
    run_crowd(&fixture);
    fixture_stop(&fixture);
    desk_close(&desk);
}

/* A desk that also remembers whose each ticket is, as the answer depends on that. */
struct answerer {
    struct desk desk;
    hyperderp_key keys[MAX_TICKETS];
};

static hyperderp_verdict admit_for_answerer(void *user, const hyperderp_client_info *client,
                                            hyperderp_admission *ticket)
{
    struct answerer *answerer = user;
    struct desk *desk = &answerer->desk;

    pthread_mutex_lock(&desk->lock);
    answerer->keys[desk->questions] = client->key;
    desk->tickets[desk->questions++] = ticket;
    pthread_mutex_unlock(&desk->lock);
    sem_post(&desk->asked);
    return HYPERDERP_LATER;
}

static void *answer_all(void *arg)
{
    struct answerer *answerer = arg;
    struct desk *desk = &answerer->desk;

    for (;;) {
        sem_wait(&desk->asked);
        pthread_mutex_lock(&desk->lock);
        unsigned i = desk->answered++;
        hyperderp_admission *ticket = i < MAX_TICKETS ? desk->tickets[i] : NULL;
        hyperderp_key key = answerer->keys[i < MAX_TICKETS ? i : 0];
        pthread_mutex_unlock(&desk->lock);
        if (i >= MAX_TICKETS)
            return NULL;
        /* Anything but "allow" denies, LATER as well. */
        hyperderp_verdict verdict = verdict_on(&key);
        hyperderp_admission_answer(ticket, verdict == HYPERDERP_DENY && i % 4 < 2 ? HYPERDERP_LATER
                                                                                  : verdict);
    }
}

static void test_answer_by_another_thread(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct fixture fixture;
    struct answerer answerer = {0};
    pthread_t threads[2];

    options.admit = admit_for_answerer;
    options.user = &answerer;
    desk_open(&answerer.desk);
    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, answer_all, &answerer), 0);
    run_crowd(&fixture);
    for (unsigned i = 0; i < 2; i++)
        sem_post(&answerer.desk.asked);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    fixture_stop(&fixture);
    desk_close(&answerer.desk);
}

/* Brings a client as far as admit(), which says LATER. */
static int ask(const struct fixture *fixture, struct desk *desk)
{
    uint8_t request[CLIENT_MAX_REQUEST + 64];
    struct client client;
    int fd = fixture_connect(fixture);
    size_t size = fixture_fast_request(fixture, &client, request, sizeof(request));

    fixture_send(fd, request, size);
    client_wipe(&client);
    sem_wait(&desk->asked);
    return fd;
}

static void test_answer_to_nobody(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct fixture fixture;
    struct desk desk;

    options.admit = admit_later;
    start_with_desk(&fixture, &options, &desk);
    /* Left without being noticed: nothing is read while admit() is asked. It is let in, and gone.
     */
    close(ask(&fixture, &desk));
    hyperderp_admission_answer(desk.tickets[0], HYPERDERP_ALLOW);
    fixture_wait(&fixture, at_least_joined, 1);
    fixture_wait(&fixture, counters_connections_are, 0);
    close(ask(&fixture, &desk));
    hyperderp_admission_answer(desk.tickets[1], HYPERDERP_DENY);
    fixture_wait(&fixture, at_least_denied, 1);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
    desk_close(&desk);
}

/* The handshake's deadline goes on while admit() is asked; answers that come later change nothing,
 * also when another client sits in the place of the one that they are for. */
static void test_answer_after_deadline(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct fixture fixture;
    struct desk desk;
    int gone[2 * WORKERS], waiting[2 * WORKERS];

    options.admit = admit_later;
    options.handshake_timeout_ms = 1000;
    start_with_desk(&fixture, &options, &desk);
    for (unsigned i = 0; i < 2 * WORKERS; i++)
        gone[i] = ask(&fixture, &desk);
    for (unsigned i = 0; i < 2 * WORKERS; i++) {
        (void)fixture_read_end(gone[i]);
        close(gone[i]);
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_wait(&fixture, at_least_timed_out, 2 * WORKERS);
    for (unsigned i = 0; i < 2 * WORKERS; i++)
        waiting[i] = ask(&fixture, &desk);
    for (unsigned i = 0; i < 2 * WORKERS; i++)
        hyperderp_admission_answer(desk.tickets[i], HYPERDERP_ALLOW);
    for (unsigned i = 0; i < 2 * WORKERS; i++) {
        (void)fixture_read_end(waiting[i]);
        close(waiting[i]);
    }
    fixture_wait(&fixture, at_least_timed_out, 4 * WORKERS);
    assert_int_equal(fixture_counters(&fixture).handshakes_ok, 0);
    for (unsigned i = 2 * WORKERS; i < 4 * WORKERS; i++)
        hyperderp_admission_answer(desk.tickets[i], HYPERDERP_DENY);
    fixture_stop(&fixture);
    assert_int_equal(desk.questions, 4 * WORKERS);
    desk_close(&desk);
}

static void test_answer_after_stop(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct fixture fixture;
    struct desk desk;
    int fds[2 * WORKERS];

    options.admit = admit_later;
    start_with_desk(&fixture, &options, &desk);
    for (unsigned i = 0; i < 2 * WORKERS; i++)
        fds[i] = ask(&fixture, &desk);
    hyperderp_relay_stop(fixture.relay);
    for (unsigned i = 0; i < 2 * WORKERS; i++) {
        hyperderp_admission_answer(desk.tickets[i], i % 2 ? HYPERDERP_ALLOW : HYPERDERP_DENY);
        (void)fixture_read_end(fds[i]);
        fixture_hang_up(fds[i]);
    }
    assert_int_equal(fixture_counters(&fixture).handshakes_ok, 0);
    fixture_stop(&fixture);
    desk_close(&desk);
}

/* Answers of one thread while another one drains: nobody is lost, nothing is touched that is gone.
 */
static void *answer_slowly(void *arg)
{
    struct desk *desk = arg;

    for (unsigned i = 0; i < MAX_TICKETS; i++)
        hyperderp_admission_answer(desk->tickets[i], HYPERDERP_ALLOW);
    return NULL;
}

static void test_answer_while_draining(void **state)
{
    hyperderp_relay_options options = options_for(state);
    struct fixture fixture;
    struct desk desk;
    pthread_t thread;
    int fds[MAX_TICKETS];

    options.admit = admit_later;
    start_with_desk(&fixture, &options, &desk);
    for (unsigned i = 0; i < MAX_TICKETS; i++)
        fds[i] = ask(&fixture, &desk);
    assert_int_equal(pthread_create(&thread, NULL, answer_slowly, &desk), 0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < MAX_TICKETS; i++) {
        (void)fixture_read_end(fds[i]);
        fixture_hang_up(fds[i]);
    }
    fixture_stop(&fixture);
    desk_close(&desk);
}

int main(void)
{
#define ON_BOTH(test)                                                                              \
    cmocka_unit_test_prestate(test, (void *)(uintptr_t)&engines[0]),                               \
        cmocka_unit_test_prestate(test, (void *)(uintptr_t)&engines[1])
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_admit_by_all_workers), ON_BOTH(test_admit_info),
        ON_BOTH(test_answer_inside),        ON_BOTH(test_answer_by_another_thread),
        ON_BOTH(test_answer_to_nobody),     ON_BOTH(test_answer_after_deadline),
        ON_BOTH(test_answer_after_stop),    ON_BOTH(test_answer_while_draining),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
