/* SPDX-License-Identifier: BSD-3-Clause */
/* Relays in each moment of their life, and calls from within their callbacks. */
#include "misuse.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../relay_fixture.h"

enum callback { IN_ADMIT, IN_PEER_CHANGED, IN_LOG_OF_WORKER, IN_LOG_OF_CALLER, CALLBACKS };

static const char *const callback_names[CALLBACKS] = {
    "admit()", "peer_changed()", "log(), by a worker", "log(), by the program's own thread"};

/* A relay that makes a call from each of its callbacks, once. */
struct inside {
    struct fixture fixture;
    pthread_t program;
    int (*call)(hyperderp_relay *relay); /* NULL: none yet; fixed before the start */
    atomic_bool begun[CALLBACKS];
    int answers[CALLBACKS];
    sem_t done;
    const char *function; /* whose refusals are counted */
    atomic_uint refusals;
};

static void make_call(struct inside *inside, enum callback callback)
{
    if (!inside->call || atomic_exchange(&inside->begun[callback], true))
        return;
    inside->answers[callback] = inside->call(inside->fixture.relay);
    sem_post(&inside->done);
}

static hyperderp_verdict admit(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket)
{
    (void)client;
    (void)ticket;
    make_call(user, IN_ADMIT);
    return HYPERDERP_ALLOW;
}

static void peer_changed(void *user, const hyperderp_key *peer, bool up)
{
    (void)peer;
    (void)up;
    make_call(user, IN_PEER_CHANGED);
}

static void log_line_of_relay(void *user, hyperderp_log_level level, const char *line)
{
    struct inside *inside = user;
    char refusal[128];

    snprintf(refusal, sizeof(refusal), "%s() was called from a callback, and does nothing",
             inside->function ? inside->function : "?");
    if (level == HYPERDERP_LOG_ERROR && strcmp(line, refusal) == 0)
        atomic_fetch_add(&inside->refusals, 1);
    make_call(inside,
              pthread_equal(pthread_self(), inside->program) ? IN_LOG_OF_CALLER : IN_LOG_OF_WORKER);
}

static void add_listener(struct fixture *fixture)
{
    hyperderp_listener_options listener;

    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_add_listener(fixture->relay, &listener), 0);
    assert_int_equal(hyperderp_relay_listener_address(fixture->relay, 0, fixture->address,
                                                      sizeof(fixture->address)),
                     0);
    hyperderp_relay_public_key(fixture->relay, &fixture->key);
}

hyperderp_relay *misuse_ready_relay(void)
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_AUTO, 1);
    struct fixture fixture;

    options.log = NULL;
    assert_int_equal(hyperderp_relay_new(&fixture.relay, &options), 0);
    add_listener(&fixture);
    return fixture.relay;
}

static void wait_for_calls(struct inside *inside)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FIXTURE_PATIENCE_MS / 1000;
    for (unsigned i = 0; i < CALLBACKS; i++) {
        if (sem_timedwait(&inside->done, &until) == 0)
            continue;
        for (unsigned callback = 0; callback < CALLBACKS; callback++)
            if (!atomic_load(&inside->begun[callback]))
                print_message("no call from %s\n", callback_names[callback]);
        fail_msg("a call from a callback does not return");
    }
}

/* The log speaks on the program's thread at the start, and on a worker's when a client leaves. */
static void call_inside(struct inside *inside, int (*call)(hyperderp_relay *relay))
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_AUTO, 1);

    inside->program = pthread_self();
    assert_int_equal(sem_init(&inside->done, 0, 0), 0);
    options.log = log_line_of_relay;
    options.log_level = HYPERDERP_LOG_DEBUG;
    options.admit = admit;
    options.peer_changed = peer_changed;
    options.user = inside;
    assert_int_equal(hyperderp_relay_new(&inside->fixture.relay, &options), 0);
    add_listener(&inside->fixture);
    inside->call = call;
    assert_int_equal(hyperderp_relay_start(inside->fixture.relay), 0);
    client_socket_close(fixture_join(&inside->fixture, 0));
    wait_for_calls(inside);
    /* It works as before. */
    client_socket_close(fixture_join(&inside->fixture, 0));
    hyperderp_relay_free(inside->fixture.relay);
    sem_destroy(&inside->done);
}

static void expect_inside(int (*call)(hyperderp_relay *relay), int expected)
{
    struct inside inside = {0};

    call_inside(&inside, call);
    for (unsigned callback = 0; callback < CALLBACKS; callback++)
        if (inside.answers[callback] != expected)
            fail_msg("from %s it says %d, and should say %d", callback_names[callback],
                     inside.answers[callback], expected);
}

void misuse_expect_refusal(int (*call)(hyperderp_relay *relay), const char *function)
{
    struct inside inside = {.function = function};

    call_inside(&inside, call);
    /* In the log's own callback nothing is said. */
    assert_int_equal(atomic_load(&inside.refusals), CALLBACKS - 2);
}

static void expect_of(hyperderp_relay *relay, int (*call)(hyperderp_relay *relay), int expected,
                      const char *moment)
{
    if (expected == MISUSE_RIGHT)
        return;
    int answer = call(relay);
    if (answer != expected)
        fail_msg("of a relay %s it says %d, and should say %d", moment, answer, expected);
}

void misuse_expect(int (*call)(hyperderp_relay *relay), struct misuse_answers answers)
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_AUTO, 1);
    hyperderp_relay *relay;

    options.log = NULL;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    expect_of(relay, call, answers.fresh, "just made");
    hyperderp_relay_free(relay);

    relay = misuse_ready_relay();
    expect_of(relay, call, answers.ready, "with a listener");
    hyperderp_relay_free(relay);

    relay = misuse_ready_relay();
    assert_int_equal(hyperderp_relay_start(relay), 0);
    expect_of(relay, call, answers.running, "that runs");
    assert_int_equal(hyperderp_relay_drain(relay, FIXTURE_PATIENCE_MS), 0);
    expect_of(relay, call, answers.drained, "that was drained");
    hyperderp_relay_stop(relay);
    expect_of(relay, call, answers.stopped, "that was stopped");
    hyperderp_relay_free(relay);

    if (answers.inside != MISUSE_RIGHT)
        expect_inside(call, answers.inside);
}
