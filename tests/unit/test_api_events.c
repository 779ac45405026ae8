/* SPDX-License-Identifier: BSD-3-Clause */
/* What an embedder is told of keys and of the relay's end, and the look-up of one key: on each
 * engine, in the clear and over TLS. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "relay_fixture.h"
#include "wire/frame.h"

#define WORKERS 3

/* ---- What peer_event() has been told ---- */

enum { MAX_NOTES = 4096 };

struct note {
    hyperderp_peer_event event;
    char address[64], app_name[80];
};

struct notes {
    pthread_mutex_t lock;
    sem_t more;
    unsigned count, read;
    struct note notes[MAX_NOTES];
    atomic_uint ups, downs; /* of peer_changed() */
};

static struct notes notes;

static void note_event(void *user, const hyperderp_peer_event *event)
{
    struct notes *all = user;

    pthread_mutex_lock(&all->lock);
    assert_true(all->count < MAX_NOTES);
    struct note *note = &all->notes[all->count++];
    note->event = *event;
    strncpy(note->address, event->address, sizeof(note->address) - 1);
    strncpy(note->app_name, event->app_name, sizeof(note->app_name) - 1);
    pthread_mutex_unlock(&all->lock);
    sem_post(&all->more);
}

static void note_change(void *user, const hyperderp_key *peer, bool up)
{
    struct notes *all = user;

    (void)peer;
    atomic_fetch_add(up ? &all->ups : &all->downs, 1);
}

static void start(struct fixture *fixture, void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), WORKERS);

    memset(&notes, 0, sizeof(notes));
    pthread_mutex_init(&notes.lock, NULL);
    assert_int_equal(sem_init(&notes.more, 0, 0), 0);
    options.user = &notes;
    options.peer_event = note_event;
    options.peer_changed = note_change;
    fixture_start(fixture, &options, 0);
}

static void stop(struct fixture *fixture)
{
    fixture_stop(fixture);
    assert_int_equal(notes.read, notes.count); /* nothing that was not expected */
    assert_int_equal(notes.ups, notes.downs);
    sem_destroy(&notes.more);
    pthread_mutex_destroy(&notes.lock);
}

/* The next event, which must come and be of this type and key. */
static const struct note *expect(hyperderp_peer_event_type type, const hyperderp_key *key)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FIXTURE_PATIENCE_MS / 1000;
    assert_int_equal(sem_timedwait(&notes.more, &until), 0);
    pthread_mutex_lock(&notes.lock);
    const struct note *note = &notes.notes[notes.read++];
    pthread_mutex_unlock(&notes.lock);
    assert_string_equal(hyperderp_peer_event_name(note->event.type),
                        hyperderp_peer_event_name(type));
    assert_int_equal(note->event.size, sizeof(note->event));
    assert_true(hyperderp_key_equal(&note->event.key, key));
    assert_int_equal(strncmp(note->address, "127.0.0.1:", 10), 0);
    assert_true(note->event.worker < WORKERS);
    if (type != HYPERDERP_PEER_DOWN) {
        assert_int_equal(note->event.connected_ms, 0);
        assert_int_equal(note->event.packets_received + note->event.bytes_received, 0);
        assert_int_equal(note->event.packets_delivered + note->event.bytes_delivered, 0);
        assert_int_equal(note->event.drops, 0);
    }
    return note;
}

static struct client_socket *join_new(const struct fixture *fixture,
                                      hyperderp_private_key *private_key)
{
    assert_int_equal(hyperderp_private_key_generate(private_key), 0);
    return fixture_join_as(fixture, private_key);
}

/* ---- One key ---- */

static void comes_and_goes(void **state)
{
    const struct client_info info = {.version = DERP_PROTOCOL_VERSION,
                                     .can_ack_pings = true,
                                     .is_prober = true,
                                     .app_name = "an\x1b app"};
    hyperderp_private_key private_key;
    hyperderp_counters counters;
    struct fixture fixture;

    start(&fixture, state);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *client = fixture_join_with(&fixture, &private_key, &info);
    hyperderp_key key = *client_socket_key(client);
    const struct note *up = expect(HYPERDERP_PEER_UP, &key);
    assert_string_equal(up->app_name, "an? app");
    assert_true(up->event.can_ack_pings);
    assert_true(up->event.is_prober);
    assert_false(up->event.mesh);
    assert_false(up->event.websocket);

    struct client_socket *other = join_new(&fixture, &private_key);
    hyperderp_key other_key = *client_socket_key(other);
    const struct note *second = expect(HYPERDERP_PEER_UP, &other_key);
    assert_false(second->event.is_prober);
    assert_false(second->event.can_ack_pings);
    fixture_pass(client, other, "seven..");
    fixture_pass(client, other, "three");
    fixture_pass(other, client, "once");
    fixture_wait(&fixture, counters_at_rest, 3);
    client_socket_close(client);
    const struct note *down = expect(HYPERDERP_PEER_DOWN, &key);
    assert_string_equal(down->address, up->address);
    assert_string_equal(down->app_name, "an? app");
    assert_int_equal(down->event.worker, up->event.worker);
    assert_true(down->event.is_prober);
    assert_int_equal(down->event.packets_received, 2);
    assert_int_equal(down->event.bytes_received, 12 + 2 * FRAME_PACKET_OVERHEAD);
    assert_int_equal(down->event.packets_delivered, 1);
    assert_true(down->event.bytes_delivered >= 4 + FRAME_PACKET_OVERHEAD);
    assert_int_equal(down->event.drops, 0);
    assert_true(down->event.connected_ms < FIXTURE_PATIENCE_MS);
    fixture_expect(other, CLIENT_MESSAGE_PEER_GONE);
    client_socket_close(other);
    down = expect(HYPERDERP_PEER_DOWN, &other_key);
    assert_int_equal(down->event.packets_received, 1);
    assert_int_equal(down->event.packets_delivered, 2);
    counters = fixture_counters(&fixture);
    assert_int_equal(counters.packets_received, 3);
    stop(&fixture);
}

/* A key that comes back begins at 0. */
static void comes_back(void **state)
{
    hyperderp_private_key private_key, other_key;
    struct fixture fixture;

    start(&fixture, state);
    struct client_socket *other = join_new(&fixture, &other_key);
    (void)expect(HYPERDERP_PEER_UP, client_socket_key(other));
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct client_socket *client = fixture_join_as(&fixture, &private_key);
        hyperderp_key key = *client_socket_key(client);
        (void)expect(HYPERDERP_PEER_UP, &key);
        fixture_pass(client, other, "here I am"); /* who keeps the peer at hand meanwhile */
        fixture_pass(other, client, "again");
        fixture_wait(&fixture, counters_at_rest, 2 * (i + 1));
        client_socket_close(client);
        const struct note *down = expect(HYPERDERP_PEER_DOWN, &key);
        assert_int_equal(down->event.packets_received, 1);
        assert_int_equal(down->event.packets_delivered, 1);
        fixture_expect(other, CLIENT_MESSAGE_PEER_GONE);
    }
    hyperderp_key key = *client_socket_key(other);
    client_socket_close(other);
    (void)expect(HYPERDERP_PEER_DOWN, &key);
    stop(&fixture);
}

/* A client roams: it is connected twice for a while. */
static void moves(void **state)
{
    hyperderp_private_key private_key, other_key;
    struct fixture fixture;

    start(&fixture, state);
    struct client_socket *other = join_new(&fixture, &other_key);
    (void)expect(HYPERDERP_PEER_UP, client_socket_key(other));
    struct client_socket *first = join_new(&fixture, &private_key);
    hyperderp_key key = *client_socket_key(first);
    const struct note *up = expect(HYPERDERP_PEER_UP, &key);
    fixture_pass(other, first, "to the first");
    fixture_pass(first, other, "of the first");
    struct client_socket *second = fixture_join_as(&fixture, &private_key);
    const struct note *moved = expect(HYPERDERP_PEER_MOVED, &key);
    assert_string_not_equal(moved->address, up->address);
    fixture_pass(other, second, "to the second");
    /* The old one has some last words: then it is the one that sent last. */
    fixture_pass(first, other, "last words");
    moved = expect(HYPERDERP_PEER_MOVED, &key);
    assert_string_equal(moved->address, up->address);
    fixture_wait(&fixture, counters_at_rest, 4);
    client_socket_close(first);
    moved = expect(HYPERDERP_PEER_MOVED, &key);
    assert_string_not_equal(moved->address, up->address);
    /* One that does not receive goes without a word. */
    struct client_socket *third = fixture_join_as(&fixture, &private_key);
    (void)expect(HYPERDERP_PEER_MOVED, &key);
    client_socket_close(second);
    fixture_wait(&fixture, counters_connections_are, 2);
    fixture_pass(third, other, "of the third");
    fixture_wait(&fixture, counters_at_rest, 5);
    client_socket_close(third);
    const struct note *down = expect(HYPERDERP_PEER_DOWN, &key);
    assert_int_equal(down->event.packets_received, 3);
    assert_int_equal(down->event.packets_delivered, 2);
    assert_int_equal(notes.ups, 2);
    assert_int_equal(notes.downs, 1);
    fixture_expect(other, CLIENT_MESSAGE_PEER_GONE);
    hyperderp_key last = *client_socket_key(other);
    client_socket_close(other);
    (void)expect(HYPERDERP_PEER_DOWN, &last);
    stop(&fixture);
}

/* Two clients have one key, and both send. */
static void is_muted(void **state)
{
    hyperderp_private_key private_key, other_key;
    hyperderp_peer_info info;
    struct fixture fixture;

    start(&fixture, state);
    struct client_socket *other = join_new(&fixture, &other_key);
    hyperderp_key last = *client_socket_key(other);
    (void)expect(HYPERDERP_PEER_UP, &last);
    struct client_socket *first = join_new(&fixture, &private_key);
    hyperderp_key key = *client_socket_key(first);
    (void)expect(HYPERDERP_PEER_UP, &key);
    struct client_socket *second = fixture_join_as(&fixture, &private_key);
    (void)expect(HYPERDERP_PEER_MOVED, &key);
    fixture_pass(second, other, "the second");
    fixture_pass(first, other, "the first");
    (void)expect(HYPERDERP_PEER_MUTED, &key);
    fixture_pass(second, other, "the second again");
    assert_int_equal(hyperderp_relay_peer(fixture.relay, &key, &info), 0);
    assert_true(info.muted);
    assert_false(info.active);
    client_socket_close(first);
    (void)expect(HYPERDERP_PEER_MOVED, &key);
    assert_int_equal(hyperderp_relay_peer(fixture.relay, &key, &info), 0);
    assert_false(info.muted);
    assert_true(info.active);
    client_socket_close(second);
    assert_int_equal(expect(HYPERDERP_PEER_DOWN, &key)->event.packets_received, 3);
    client_socket_close(other);
    (void)expect(HYPERDERP_PEER_DOWN, &last);
    stop(&fixture);
}

/* ---- Many ---- */

enum { KEYS = 4, JOINERS = 6, ROUNDS = 40 };

struct crowd {
    const struct fixture *fixture;
    hyperderp_private_key private_keys[KEYS];
    hyperderp_key keys[KEYS];
    atomic_uint failed;
};

static void *come_and_go(void *arg)
{
    struct crowd *crowd = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct client_options options = {.private_key = crowd->private_keys[i % KEYS],
                                         .info = {.version = DERP_PROTOCOL_VERSION}};
        struct client_socket *client;
        if (client_socket_connect(&client, crowd->fixture->address, &options,
                                  FIXTURE_PATIENCE_MS) != 0 ||
            client_socket_send(client, &crowd->keys[(i + 1) % KEYS], "x", 1, FIXTURE_PATIENCE_MS))
            atomic_fetch_add(&crowd->failed, 1);
        client_socket_close(client);
    }
    return NULL;
}

/* What came for each key is in order, and what it received adds up. */
static void check_order(const struct crowd *crowd, uint64_t received)
{
    bool up[KEYS] = {false};
    uint64_t sum = 0;

    for (unsigned n = 0; n < notes.count; n++) {
        const hyperderp_peer_event *event = &notes.notes[n].event;
        unsigned i = 0;
        while (i < KEYS && !hyperderp_key_equal(&event->key, &crowd->keys[i]))
            i++;
        assert_true(i < KEYS);
        assert_int_equal(up[i], event->type != HYPERDERP_PEER_UP);
        up[i] = event->type != HYPERDERP_PEER_DOWN;
        sum += event->packets_received;
    }
    for (unsigned i = 0; i < KEYS; i++)
        assert_false(up[i]);
    assert_int_equal(sum, received);
    notes.read = notes.count;
}

static bool at_least_joined(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_ok >= value;
}

static void many_at_once(void **state)
{
    struct crowd crowd = {0};
    pthread_t threads[JOINERS];
    struct fixture fixture;

    start(&fixture, state);
    crowd.fixture = &fixture;
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(hyperderp_private_key_generate(&crowd.private_keys[i]), 0);
        hyperderp_private_key_public(&crowd.private_keys[i], &crowd.keys[i]);
    }
    for (unsigned i = 0; i < JOINERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
    for (unsigned i = 0; i < JOINERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(crowd.failed, 0);
    fixture_wait(&fixture, at_least_joined, JOINERS * ROUNDS);
    hyperderp_relay_stop(fixture.relay); /* by then all has been told */
    check_order(&crowd, fixture_counters(&fixture).packets_received);
    assert_true(fixture_counters(&fixture).duplicate_connections > 0);
    stop(&fixture);
}

/* Those that are here when the relay stops go down as well. */
static void stops(void **state)
{
    hyperderp_private_key private_key;
    struct fixture fixture;

    start(&fixture, state);
    struct client_socket *first = join_new(&fixture, &private_key);
    struct client_socket *second = fixture_join_as(&fixture, &private_key);
    hyperderp_key key = *client_socket_key(first);
    (void)expect(HYPERDERP_PEER_UP, &key);
    (void)expect(HYPERDERP_PEER_MOVED, &key);
    hyperderp_relay_stop(fixture.relay);
    assert_true(notes.count >= 3);
    assert_int_equal(notes.notes[notes.count - 1].event.type, HYPERDERP_PEER_DOWN);
    notes.read = notes.count;
    client_socket_close(first);
    client_socket_close(second);
    stop(&fixture);
}

static void has_names(void **state)
{
    (void)state;
    assert_string_equal(hyperderp_peer_event_name(HYPERDERP_PEER_UP), "up");
    assert_string_equal(hyperderp_peer_event_name(HYPERDERP_PEER_DOWN), "down");
    assert_string_equal(hyperderp_peer_event_name(HYPERDERP_PEER_MOVED), "moved");
    assert_string_equal(hyperderp_peer_event_name(HYPERDERP_PEER_MUTED), "muted");
    assert_string_equal(hyperderp_peer_event_name((hyperderp_peer_event_type)HYPERDERP_PEER_EVENTS),
                        "unknown");
}

/* ---- The look-up of a key ---- */

static void looks_up_a_key(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), WORKERS);
    const struct client_info plain = {.version = DERP_PROTOCOL_VERSION, .app_name = "looked for"};
    hyperderp_private_key private_key;
    hyperderp_key nobody = {{1}};
    struct fixture fixture;
    hyperderp_peer_info info;
    struct {
        hyperderp_key key;
        char address[64];
        uint8_t untouched;
    } old = {.untouched = 0xa5};

    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *client = fixture_join_with(&fixture, &private_key, &plain);
    struct client_socket *other = fixture_join(&fixture, 0);
    const hyperderp_key *key = client_socket_key(client);
    fixture_pass(client, other, "hello");
    fixture_pass(other, client, "to you");
    fixture_wait(&fixture, counters_at_rest, 2);

    assert_int_equal(hyperderp_relay_peer(fixture.relay, key, &info), 0);
    assert_true(hyperderp_key_equal(&info.key, key));
    assert_true(info.active);
    assert_string_equal(info.app_name, "looked for");
    assert_int_equal(info.packets_received, 1);
    assert_int_equal(info.bytes_received, 5 + FRAME_PACKET_OVERHEAD);
    assert_int_equal(info.packets_delivered, 1);
    assert_true(info.bytes_delivered >= 6 + FRAME_PACKET_OVERHEAD);
    assert_int_equal(info.drops + info.queued_frames + info.queued_bytes, 0);
    assert_true(info.worker < WORKERS);
    /* Of several connections the one that receives. */
    struct client_socket *second = fixture_join_as(&fixture, &private_key);
    hyperderp_peer_info newer;
    assert_int_equal(hyperderp_relay_peer(fixture.relay, key, &newer), 0);
    assert_string_not_equal(newer.address, info.address);
    assert_true(newer.active);

    /* Callers with an older header, and with a newer one. */
    assert_int_equal(hyperderp_relay_peer_sized(fixture.relay, key, (hyperderp_peer_info *)&old,
                                                offsetof(hyperderp_peer_info, app_name)),
                     0);
    assert_string_equal(old.address, newer.address);
    assert_int_equal(old.untouched, 0xa5);
    uint8_t longer[sizeof(info) + 8];
    memset(longer, 0xff, sizeof(longer));
    assert_int_equal(hyperderp_relay_peer_sized(
                         fixture.relay, key, (hyperderp_peer_info *)(void *)longer, sizeof(longer)),
                     0);
    for (size_t i = sizeof(info); i < sizeof(longer); i++)
        assert_int_equal(longer[i], 0);

    memset(&info, 0x5a, sizeof(info));
    assert_int_equal(hyperderp_relay_peer(fixture.relay, &nobody, &info), -ENOENT);
    assert_int_equal(info.key.bytes[0], 0x5a);
    assert_int_equal(hyperderp_relay_peer(NULL, key, &info), -EINVAL);
    assert_int_equal(hyperderp_relay_peer(fixture.relay, NULL, &info), -EINVAL);
    assert_int_equal(hyperderp_relay_peer(fixture.relay, key, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_peer_sized(fixture.relay, key, &info, 0), -EINVAL);
    hyperderp_key gone = *key;
    client_socket_close(client);
    client_socket_close(second);
    client_socket_close(other);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(hyperderp_relay_peer(fixture.relay, &gone, &info), -ENOENT);
    hyperderp_relay_stop(fixture.relay);
    assert_int_equal(hyperderp_relay_peer(fixture.relay, &gone, &info), -ENOENT);
    fixture_stop(&fixture);
}

/* ---- The end ---- */

struct end {
    hyperderp_relay *relay;
    atomic_uint calls;
    atomic_bool waits; /* until let_go is posted */
    sem_t entered, let_go;
    pthread_t thread;
    hyperderp_counters counters;
    atomic_uint downs_before;
    atomic_uint downs;
};

static void note_down(void *user, const hyperderp_peer_event *event)
{
    struct end *end = user;

    end->downs += event->type == HYPERDERP_PEER_DOWN;
}

static void note_end(void *user)
{
    struct end *end = user;

    end->counters.size = sizeof(end->counters);
    hyperderp_relay_counters(end->relay, &end->counters);
    end->thread = pthread_self();
    end->downs_before = end->downs;
    atomic_fetch_add(&end->calls, 1);
    sem_post(&end->entered);
    if (end->waits)
        sem_wait(&end->let_go);
}

static void begin_end(struct end *end, hyperderp_relay_options *options)
{
    memset(end, 0, sizeof(*end));
    assert_int_equal(sem_init(&end->entered, 0, 0), 0);
    assert_int_equal(sem_init(&end->let_go, 0, 0), 0);
    options->user = end;
    options->drained = note_end;
    options->peer_event = note_down;
}

static void finish_end(struct end *end)
{
    assert_int_equal(end->calls, 1);
    sem_destroy(&end->entered);
    sem_destroy(&end->let_go);
}

/* A drain that nobody waits for ends with the call; those who wait do so until it has returned. */
static void tells_of_a_drain(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), WORKERS);
    struct fixture fixture;
    struct end end;

    begin_end(&end, &options);
    fixture_start(&fixture, &options, 0);
    end.relay = fixture.relay;
    end.waits = true;
    struct client_socket *client = fixture_join(&fixture, 0);
    struct client_socket *other = fixture_join(&fixture, 0);
    assert_int_equal(end.calls, 0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), -ETIMEDOUT);
    fixture_expect(client, CLIENT_MESSAGE_RESTARTING);
    fixture_expect(other, CLIENT_MESSAGE_RESTARTING);
    client_socket_close(client);
    client_socket_close(other);
    sem_wait(&end.entered);
    assert_int_equal(end.counters.connections, 0);
    assert_int_equal(end.counters.peers_active, 0);
    assert_int_equal(end.downs_before, 2);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), -ETIMEDOUT);
    sem_post(&end.let_go);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), 0);
    fixture_stop(&fixture);
    finish_end(&end);
}

static void tells_of_a_stop(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), WORKERS);
    struct fixture fixture;
    struct end end;

    begin_end(&end, &options);
    fixture_start(&fixture, &options, 0);
    end.relay = fixture.relay;
    struct client_socket *client = fixture_join(&fixture, 0);
    hyperderp_relay_stop(fixture.relay);
    assert_int_equal(end.calls, 1);
    assert_int_equal(end.downs_before, 1);
    assert_false(pthread_equal(end.thread, pthread_self()));
    hyperderp_relay_stop(fixture.relay);
    client_socket_close(client);
    fixture_stop(&fixture);
    finish_end(&end);
}

static void *run(void *arg)
{
    struct end *end = arg;

    return (void *)(intptr_t)hyperderp_relay_run(end->relay);
}

/* With one worker the caller's own thread is the last. */
static void tells_inside_run(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_listener_options listener;
    struct end end;
    pthread_t thread;
    void *result;

    begin_end(&end, &options);
    assert_int_equal(hyperderp_relay_new(&end.relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_add_listener(end.relay, &listener), 0);
    assert_int_equal(pthread_create(&thread, NULL, run, &end), 0);
    while (hyperderp_relay_drain(end.relay, FIXTURE_PATIENCE_MS) == -EINVAL)
        sched_yield(); /* it has not begun */
    assert_int_equal(end.calls, 1);
    pthread_join(thread, &result);
    assert_int_equal((intptr_t)result, 0);
    assert_true(pthread_equal(end.thread, thread));
    hyperderp_relay_free(end.relay);
    finish_end(&end);
}

/* One that never was has no end. */
static void does_not_tell_without_a_start(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct end end;

    begin_end(&end, &options);
    assert_int_equal(hyperderp_relay_new(&end.relay, &options), 0);
    assert_int_equal(hyperderp_relay_start(end.relay), -EINVAL); /* it has no listener */
    hyperderp_relay_stop(end.relay);
    hyperderp_relay_free(end.relay);
    assert_int_equal(end.calls, 0);
    sem_destroy(&end.entered);
    sem_destroy(&end.let_go);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(comes_and_goes),
        FIXTURE_ON_ALL(comes_back),
        FIXTURE_ON_ALL(moves),
        FIXTURE_ON_ALL(is_muted),
        FIXTURE_ON_BOTH(many_at_once),
        FIXTURE_ON_ALL(stops),
        FIXTURE_ON_ALL(looks_up_a_key),
        FIXTURE_ON_ALL(tells_of_a_drain),
        FIXTURE_ON_ALL(tells_of_a_stop),
        FIXTURE_ON_BOTH(tells_inside_run),
        FIXTURE_ON_BOTH(does_not_tell_without_a_start),
        cmocka_unit_test(has_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
