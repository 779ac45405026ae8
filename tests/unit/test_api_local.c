/* SPDX-License-Identifier: BSD-3-Clause */
/* Local peers: what the embedder sends and receives as a key of its own, who is told of it, its
 * bounds and its end. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <hyperderp/hyperderp.h>

#include "relay_fixture.h"

/* ---- A local peer of the test ---- */

enum { SENDERS = 8, PACKETS = 300 };

struct party {
    hyperderp_local_peer *local;
    hyperderp_key key;
    atomic_bool removed; /* from then on no callback may run */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    uint64_t packets, gone;
    hyperderp_key from; /* of the last packet */
    size_t len;
    uint8_t packet[HYPERDERP_MAX_PACKET];
    hyperderp_key gone_key; /* that was told last */
    hyperderp_gone_reason gone_reason;
    bool shut, held; /* callbacks wait while it is shut, and one does */

    /* Numbered packets: the next of each sender. */
    hyperderp_key senders[SENDERS];
    uint32_t next[SENDERS];
    unsigned sender_count;
    bool out_of_order;
};

static struct timespec patience(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FIXTURE_PATIENCE_MS / 1000;
    return until;
}

/* Waits until a figure is at least so large; what it is then. */
static uint64_t await_least(struct party *party, const uint64_t *figure, uint64_t value)
{
    struct timespec until = patience();
    int error = 0;

    pthread_mutex_lock(&party->lock);
    while (*figure < value && error == 0)
        error = pthread_cond_timedwait(&party->changed, &party->lock, &until);
    uint64_t is = *figure;
    pthread_mutex_unlock(&party->lock);
    return is;
}

static void await(struct party *party, const uint64_t *figure, uint64_t value)
{
    assert_int_equal(await_least(party, figure, value), value);
}

/* What came last. */
static void expect_last(struct party *party, const hyperderp_key *from, const void *bytes,
                        size_t len)
{
    pthread_mutex_lock(&party->lock);
    bool same = hyperderp_key_equal(&party->from, from) && party->len == len &&
                memcmp(party->packet, bytes, len) == 0;
    pthread_mutex_unlock(&party->lock);
    assert_true(same);
}

/* Who has gone, as the one of so many that was told last. */
static void expect_gone(struct party *party, uint64_t count, const hyperderp_key *key,
                        hyperderp_gone_reason reason)
{
    await(party, &party->gone, count);
    pthread_mutex_lock(&party->lock);
    bool same = hyperderp_key_equal(&party->gone_key, key) && party->gone_reason == reason;
    pthread_mutex_unlock(&party->lock);
    assert_true(same);
}

/* Needs the lock. */
static void hold(struct party *party)
{
    while (party->shut) {
        party->held = true;
        pthread_cond_broadcast(&party->changed);
        pthread_cond_wait(&party->changed, &party->lock);
    }
    party->held = false;
}

static void shut(struct party *party, bool shut)
{
    pthread_mutex_lock(&party->lock);
    party->shut = shut;
    pthread_cond_broadcast(&party->changed);
    pthread_mutex_unlock(&party->lock);
}

/* Waits until a worker stands in a callback. */
static void await_held(struct party *party)
{
    struct timespec until = patience();
    int error = 0;

    pthread_mutex_lock(&party->lock);
    while (!party->held && error == 0)
        error = pthread_cond_timedwait(&party->changed, &party->lock, &until);
    pthread_mutex_unlock(&party->lock);
    assert_int_equal(error, 0);
}

static void take(void *user, const hyperderp_key *from, const void *packet, size_t len)
{
    struct party *party = user;

    if (party->removed || len > sizeof(party->packet))
        abort();
    pthread_mutex_lock(&party->lock);
    hold(party);
    party->from = *from;
    party->len = len;
    memcpy(party->packet, packet, len);
    party->packets++;
    pthread_cond_broadcast(&party->changed);
    pthread_mutex_unlock(&party->lock);
}

static void note_gone(void *user, const hyperderp_key *peer, hyperderp_gone_reason reason)
{
    struct party *party = user;

    if (party->removed)
        abort();
    pthread_mutex_lock(&party->lock);
    party->gone_key = *peer;
    party->gone_reason = reason;
    party->gone++;
    pthread_cond_broadcast(&party->changed);
    pthread_mutex_unlock(&party->lock);
}

static hyperderp_key some_key(void)
{
    hyperderp_private_key private_key;
    hyperderp_key key;

    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    hyperderp_private_key_public(&private_key, &key);
    return key;
}

static hyperderp_local_peer_options options_of(struct party *party)
{
    return (hyperderp_local_peer_options){.size = sizeof(hyperderp_local_peer_options),
                                          .key = party->key,
                                          .user = party,
                                          .received = take,
                                          .peer_gone = note_gone};
}

static void prepare(struct party *party)
{
    memset(party, 0, sizeof(*party));
    pthread_mutex_init(&party->lock, NULL);
    pthread_cond_init(&party->changed, NULL);
    party->key = some_key();
}

static void add(struct party *party, const struct fixture *fixture)
{
    prepare(party);
    const hyperderp_local_peer_options options = options_of(party);
    assert_int_equal(hyperderp_relay_add_local_peer(fixture->relay, &options, &party->local), 0);
}

static void take_away(struct party *party)
{
    hyperderp_local_peer_remove(party->local);
    party->removed = true;
}

/* ---- Packets, both ways ---- */

static uint8_t *pattern(void)
{
    static uint8_t bytes[HYPERDERP_MAX_PACKET];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    return bytes;
}

static void talks_with(struct party *party, struct client_socket *client, uint64_t *count)
{
    static const size_t sizes[] = {0, 1, 31, 1400, 16384, HYPERDERP_MAX_PACKET};
    const uint8_t *bytes = pattern();

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(
            client_socket_send(client, &party->key, bytes, sizes[i], FIXTURE_PATIENCE_MS), 0);
        await(party, &party->packets, ++*count);
        expect_last(party, client_socket_key(client), bytes, sizes[i]);

        assert_int_equal(hyperderp_local_peer_send(party->local, client_socket_key(client),
                                                   sizes[i] ? bytes : NULL, sizes[i]),
                         0);
        struct client_message message = fixture_expect(client, CLIENT_MESSAGE_PACKET);
        assert_true(hyperderp_key_equal(&message.peer, &party->key));
        assert_int_equal(message.len, sizes[i]);
        assert_memory_equal(message.payload, bytes, sizes[i]);
    }
}

static void clients_and_the_embedder_talk(void **state)
{
    static struct party party;

    for (unsigned workers = 1; workers <= 3; workers += 2) {
        hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);
        struct client_socket *client[3];
        struct fixture fixture;
        uint64_t count = 0;

        fixture_start(&fixture, &options, 0);
        add(&party, &fixture);
        for (unsigned i = 0; i < 3; i++)
            client[i] = fixture_join(&fixture, 0);
        for (unsigned i = 0; i < 3; i++)
            talks_with(&party, client[i], &count);
        fixture_wait(&fixture, counters_at_rest, 2 * count);
        hyperderp_counters counters = fixture_counters(&fixture);
        assert_int_equal(counters.packets_delivered, 2 * count);
        assert_int_equal(counters.local_peers, 1);
        assert_int_equal(counters.peers_active, 3);
        take_away(&party);
        assert_int_equal(fixture_counters(&fixture).local_peers, 0);
        for (unsigned i = 0; i < 3; i++)
            client_socket_close(client[i]);
        fixture_wait(&fixture, counters_connections_are, 0);
        fixture_stop(&fixture);
    }
}

/* ---- Order ---- */

static void note_number(void *user, const hyperderp_key *from, const void *packet, size_t len)
{
    struct party *party = user;
    uint32_t number;
    unsigned i = 0;

    if (party->removed || len < sizeof(number))
        abort();
    memcpy(&number, packet, sizeof(number));
    pthread_mutex_lock(&party->lock);
    while (i < party->sender_count && !hyperderp_key_equal(&party->senders[i], from))
        i++;
    if (i == party->sender_count && i < SENDERS)
        party->senders[party->sender_count++] = *from;
    party->out_of_order = party->out_of_order || i == SENDERS || number != party->next[i]++;
    party->packets++;
    pthread_cond_broadcast(&party->changed);
    pthread_mutex_unlock(&party->lock);
}

static void add_counting(struct party *party, const struct fixture *fixture)
{
    prepare(party);
    hyperderp_local_peer_options options = options_of(party);
    options.received = note_number;
    assert_int_equal(hyperderp_relay_add_local_peer(fixture->relay, &options, &party->local), 0);
}

static void each_sender_keeps_its_order(void **state)
{
    static struct party party;

    for (unsigned workers = 1; workers <= 3; workers += 2) {
        hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);
        struct client_socket *client[SENDERS];
        struct fixture fixture;

        fixture_start(&fixture, &options, 0);
        add_counting(&party, &fixture);
        for (unsigned i = 0; i < SENDERS; i++)
            client[i] = fixture_join(&fixture, 0);
        for (uint32_t number = 0; number < PACKETS; number++)
            for (unsigned i = 0; i < SENDERS; i++)
                assert_int_equal(client_socket_send(client[i], &party.key, &number, sizeof(number),
                                                    FIXTURE_PATIENCE_MS),
                                 0);
        await(&party, &party.packets, SENDERS * PACKETS);
        assert_false(party.out_of_order);
        take_away(&party);
        for (unsigned i = 0; i < SENDERS; i++)
            client_socket_close(client[i]);
        fixture_stop(&fixture);
    }
}

/* Threads that send as one local peer, each its own numbers. */
enum { THREADS = 4 };

struct numbered {
    uint32_t thread, number;
};

struct sender {
    struct party *party;
    const hyperderp_key *to[3];
    uint32_t thread;
    int error;
};

static int send_patiently(hyperderp_local_peer *local, const hyperderp_key *to, const void *packet,
                          size_t len)
{
    int error;

    while ((error = hyperderp_local_peer_send(local, to, packet, len)) == -ENOBUFS)
        sched_yield(); /* a worker makes room */
    return error;
}

static void *send_numbers(void *user)
{
    struct sender *sender = user;

    for (uint32_t number = 0; number < PACKETS / 2 && sender->error == 0; number++) {
        const struct numbered packet = {.thread = sender->thread, .number = number};
        for (unsigned i = 0; i < 3 && sender->error == 0; i++)
            sender->error =
                send_patiently(sender->party->local, sender->to[i], &packet, sizeof(packet));
    }
    return NULL;
}

static void note_threads_number(void *user, const hyperderp_key *from, const void *packet,
                                size_t len)
{
    struct party *party = user;
    struct numbered numbered;

    (void)from;
    if (len != sizeof(numbered))
        abort();
    memcpy(&numbered, packet, sizeof(numbered));
    pthread_mutex_lock(&party->lock);
    party->out_of_order =
        party->out_of_order || numbered.number != party->next[numbered.thread % THREADS]++;
    party->packets++;
    pthread_cond_broadcast(&party->changed);
    pthread_mutex_unlock(&party->lock);
}

static void expect_numbers(struct client_socket *client)
{
    uint32_t next[THREADS] = {0};

    for (unsigned i = 0; i < THREADS * (PACKETS / 2); i++) {
        struct client_message message = fixture_expect(client, CLIENT_MESSAGE_PACKET);
        struct numbered numbered;
        assert_int_equal(message.len, sizeof(numbered));
        memcpy(&numbered, message.payload, sizeof(numbered));
        assert_true(numbered.thread < THREADS);
        assert_int_equal(numbered.number, next[numbered.thread]++);
    }
}

static void many_threads_send(void **state)
{
    static struct party party, other;

    for (unsigned workers = 1; workers <= 3; workers += 2) {
        hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);
        struct client_socket *client[2];
        struct sender senders[THREADS];
        pthread_t threads[THREADS];
        struct fixture fixture;

        options.queue_time_ms = 0; /* clients read when all is sent */
        options.queue_frames = 2048;
        fixture_start(&fixture, &options, 0);
        add(&party, &fixture);
        prepare(&other);
        hyperderp_local_peer_options counting = options_of(&other);
        counting.received = note_threads_number;
        assert_int_equal(hyperderp_relay_add_local_peer(fixture.relay, &counting, &other.local), 0);
        for (unsigned i = 0; i < 2; i++)
            client[i] = fixture_join(&fixture, 0);
        for (uint32_t i = 0; i < THREADS; i++) {
            senders[i] = (struct sender){
                .party = &party,
                .to = {client_socket_key(client[0]), client_socket_key(client[1]), &other.key},
                .thread = i};
            assert_int_equal(pthread_create(&threads[i], NULL, send_numbers, &senders[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(senders[i].error, 0);
        }
        expect_numbers(client[0]);
        expect_numbers(client[1]);
        await(&other, &other.packets, THREADS * (PACKETS / 2));
        assert_false(other.out_of_order);
        take_away(&other);
        take_away(&party);
        client_socket_close(client[0]);
        client_socket_close(client[1]);
        fixture_stop(&fixture);
    }
}

/* ---- Sending from within a callback ---- */

/* Greets who comes, where that cannot be: the key's place in the table is locked. */
struct greeter {
    _Atomic(hyperderp_local_peer *) local;
    atomic_int of_changed, of_event;
};

static int greet(struct greeter *greeter, const hyperderp_key *key)
{
    hyperderp_local_peer *local = atomic_load(&greeter->local);

    return local ? hyperderp_local_peer_send(local, key, "hello", 5) : 0;
}

static void greet_changed(void *user, const hyperderp_key *peer, bool up)
{
    struct greeter *greeter = user;

    if (up)
        atomic_store(&greeter->of_changed, greet(greeter, peer));
}

static void greet_event(void *user, const hyperderp_peer_event *event)
{
    struct greeter *greeter = user;

    if (event->type == HYPERDERP_PEER_UP)
        atomic_store(&greeter->of_event, greet(greeter, &event->key));
}

static void nothing_is_sent_from_an_event(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static struct party party;
    struct greeter greeter = {.local = NULL};
    struct fixture fixture;

    options.peer_changed = greet_changed;
    options.peer_event = greet_event;
    options.user = &greeter;
    fixture_start(&fixture, &options, 0);
    add(&party, &fixture);
    atomic_store(&greeter.local, party.local);
    struct client_socket *client = fixture_join(&fixture, 0);
    fixture_wait(&fixture, counters_peers_are, 1);
    assert_int_equal(atomic_load(&greeter.of_changed), -EBUSY);
    assert_int_equal(atomic_load(&greeter.of_event), -EBUSY);
    atomic_store(&greeter.local, NULL);
    take_away(&party);
    client_socket_close(client);
    fixture_stop(&fixture);
}

/* Sends what it has got to where it came from, with one less in front, until there is none. */
static void bounce(void *user, const hyperderp_key *from, const void *packet, size_t len)
{
    struct party *party = user;
    hyperderp_key to = *from;
    uint32_t left;

    if (party->removed || len != sizeof(left))
        abort();
    memcpy(&left, packet, sizeof(left));
    if (left > 0) {
        left--;
        if (hyperderp_local_peer_send(party->local, &to, &left, sizeof(left)) != 0)
            abort();
        return;
    }
    pthread_mutex_lock(&party->lock);
    party->packets++;
    pthread_cond_broadcast(&party->changed);
    pthread_mutex_unlock(&party->lock);
}

static void add_bouncing(struct party *party, const struct fixture *fixture)
{
    prepare(party);
    hyperderp_local_peer_options options = options_of(party);
    options.received = bounce;
    /* The callback needs what is written behind the call: nobody knows the key before. */
    assert_int_equal(hyperderp_relay_add_local_peer(fixture->relay, &options, &party->local), 0);
}

/* Far more often than a stack of 256 KiB could bear, had each call another one in it. */
static void local_peers_answer_each_other(void **state)
{
    static struct party one, two;

    for (unsigned workers = 1; workers <= 3; workers += 2) {
        hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);
        uint32_t bounces = 20001;
        struct fixture fixture;

        fixture_start(&fixture, &options, 0);
        add_bouncing(&one, &fixture);
        add_bouncing(&two, &fixture);
        assert_int_equal(hyperderp_local_peer_send(one.local, &two.key, &bounces, sizeof(bounces)),
                         0);
        await(&one, &one.packets, 1);
        await(&two, &two.packets, 0);
        /* And to itself. */
        assert_int_equal(hyperderp_local_peer_send(one.local, &one.key, &bounces, sizeof(bounces)),
                         0);
        await(&one, &one.packets, 2);
        fixture_wait(&fixture, counters_at_rest, 2 * (bounces + 1));
        assert_int_equal(fixture_counters(&fixture).packets_delivered, 2 * (bounces + 1));
        take_away(&one);
        take_away(&two);
        fixture_stop(&fixture);
    }
}

static void clients_are_answered_from_the_callback(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct client_socket *client[SENDERS];
    static struct party party;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    add_bouncing(&party, &fixture);
    for (unsigned i = 0; i < SENDERS; i++)
        client[i] = fixture_join(&fixture, 0);
    for (uint32_t number = 1; number <= PACKETS; number++)
        for (unsigned i = 0; i < SENDERS; i++)
            assert_int_equal(client_socket_send(client[i], &party.key, &number, sizeof(number),
                                                FIXTURE_PATIENCE_MS),
                             0);
    for (unsigned i = 0; i < SENDERS; i++)
        for (uint32_t number = 0; number < PACKETS; number++) {
            struct client_message message = fixture_expect(client[i], CLIENT_MESSAGE_PACKET);
            assert_int_equal(message.len, sizeof(number));
            assert_memory_equal(message.payload, &number, sizeof(number));
        }
    take_away(&party);
    for (unsigned i = 0; i < SENDERS; i++)
        client_socket_close(client[i]);
    fixture_stop(&fixture);
}

/* ---- Removal ---- */

struct flood {
    struct client_socket *client;
    const hyperderp_key *to;
    atomic_bool stop;
};

static void *flood(void *user)
{
    struct flood *flood = user;

    while (!flood->stop)
        if (client_socket_send(flood->client, flood->to, "more", 4, FIXTURE_PATIENCE_MS) != 0)
            break;
    return NULL;
}

/* The same key comes and goes, while clients send to it and it answers them: no callback comes once
 * the removal has returned. */
static void removal_meets_traffic(void **state)
{
    enum { CLIENTS = 3, ROUNDS = 40 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    static struct party party[ROUNDS];
    struct flood floods[CLIENTS];
    pthread_t threads[CLIENTS];
    struct fixture fixture;
    const hyperderp_key key = some_key();

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        floods[i] = (struct flood){.client = fixture_join(&fixture, 0), .to = &key};
        assert_int_equal(pthread_create(&threads[i], NULL, flood, &floods[i]), 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        prepare(&party[i]);
        party[i].key = key;
        hyperderp_local_peer_options local = options_of(&party[i]);
        assert_int_equal(hyperderp_relay_add_local_peer(fixture.relay, &local, &party[i].local), 0);
        for (uint64_t packets = 1; packets <= 20; packets++) {
            struct timespec until = patience();
            pthread_mutex_lock(&party[i].lock);
            while (party[i].packets < packets)
                assert_int_equal(pthread_cond_timedwait(&party[i].changed, &party[i].lock, &until),
                                 0);
            hyperderp_key to = party[i].from;
            pthread_mutex_unlock(&party[i].lock);
            assert_int_equal(send_patiently(party[i].local, &to, "answer", 6), 0);
        }
        take_away(&party[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        floods[i].stop = true;
        pthread_join(threads[i], NULL);
        client_socket_close(floods[i].client);
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* A removal waits for the callback that runs, and what was sent before still goes out. */
struct removal {
    struct party *party;
    atomic_bool done;
};

static void *remove_it(void *user)
{
    struct removal *removal = user;

    take_away(removal->party);
    removal->done = true;
    return NULL;
}

static bool locals_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->local_peers == value;
}

static void removal_waits_for_callbacks(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static struct party party;
    struct fixture fixture;
    pthread_t thread;

    fixture_start(&fixture, &options, 0);
    add(&party, &fixture);
    struct client_socket *client = fixture_join(&fixture, 0);
    shut(&party, true);
    assert_int_equal(client_socket_send(client, &party.key, "held", 4, FIXTURE_PATIENCE_MS), 0);
    await_held(&party);
    assert_int_equal(hyperderp_local_peer_send(party.local, client_socket_key(client), "last", 4),
                     0);
    struct removal removal = {.party = &party};
    assert_int_equal(pthread_create(&thread, NULL, remove_it, &removal), 0);
    fixture_wait(&fixture, locals_are, 0);
    assert_false(removal.done);
    shut(&party, false);
    pthread_join(thread, NULL);
    assert_int_equal(party.packets, 1);
    struct client_message message = fixture_expect(client, CLIENT_MESSAGE_PACKET);
    assert_memory_equal(message.payload, "last", 4);
    message = fixture_expect(client, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, &party.key));
    assert_int_equal(message.reason, PEER_GONE_DISCONNECTED);
    /* It is unknown from then on. */
    assert_int_equal(client_socket_send(client, &party.key, "lost", 4, FIXTURE_PATIENCE_MS), 0);
    fixture_wait(&fixture, counters_at_rest, 3);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.drops[HYPERDERP_DROP_UNKNOWN_PEER][HYPERDERP_PACKET_DATA], 1);
    client_socket_close(client);
    fixture_stop(&fixture);
}

/* ---- Who is there ---- */

static void keys_that_are_not_there(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_private_key private_key;
    static struct party party;
    struct fixture fixture;
    hyperderp_key key;

    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    hyperderp_private_key_public(&private_key, &key);
    fixture_start(&fixture, &options, 0);
    add(&party, &fixture);
    assert_int_equal(hyperderp_local_peer_send(party.local, &key, "hello", 5), -ENOENT);
    struct client_socket *client = fixture_join_as(&fixture, &private_key);
    struct client_socket *silent = fixture_join(&fixture, 0);
    assert_int_equal(client_socket_send(client, &party.key, "hello", 5, FIXTURE_PATIENCE_MS), 0);
    await(&party, &party.packets, 1);
    /* It hears of who has sent to it, and of nobody else. */
    client_socket_close(silent);
    client_socket_close(client);
    expect_gone(&party, 1, &key, HYPERDERP_GONE_LEFT);
    assert_int_equal(hyperderp_local_peer_send(party.local, &key, "hello", 5), -ENOENT);

    /* Two clients fight about a key. */
    struct client_socket *twin[2];
    for (unsigned i = 0; i < 2; i++)
        twin[i] = fixture_join_as(&fixture, &private_key);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(client_socket_send(twin[i % 2], &party.key, "me", 2, FIXTURE_PATIENCE_MS),
                         0);
        await(&party, &party.packets, i + 2);
    }
    assert_int_equal(hyperderp_local_peer_send(party.local, &key, "hello", 5), -EHOSTUNREACH);
    client_socket_close(twin[0]);
    client_socket_close(twin[1]);
    fixture_wait(&fixture, counters_connections_are, 0);
    take_away(&party);
    fixture_stop(&fixture);
}

/* Disco for a peer that has left when its turn comes; other packets are lost in silence. */
static void a_path_to_who_has_left_is_refused(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static struct party asker, holder, leaver;
    struct fixture fixture;
    uint8_t disco[100];

    fixture_disco(disco);
    fixture_start(&fixture, &options, 0);
    add(&asker, &fixture);
    add(&holder, &fixture);
    add(&leaver, &fixture);
    shut(&holder, true);
    assert_int_equal(hyperderp_local_peer_send(asker.local, &holder.key, "hold", 4), 0);
    await_held(&holder);
    assert_int_equal(hyperderp_local_peer_send(asker.local, &leaver.key, "data", 4), 0);
    assert_int_equal(hyperderp_local_peer_send(asker.local, &leaver.key, disco, sizeof(disco)), 0);
    take_away(&leaver);
    shut(&holder, false);
    expect_gone(&asker, 1, &leaver.key, HYPERDERP_GONE_NOT_HERE);
    fixture_wait(&fixture, counters_at_rest, 3);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.drops[HYPERDERP_DROP_GONE][HYPERDERP_PACKET_DATA], 1);
    assert_int_equal(counters.drops[HYPERDERP_DROP_GONE][HYPERDERP_PACKET_DISCO], 1);
    assert_int_equal(leaver.packets, 0);
    take_away(&asker);
    take_away(&holder);
    fixture_stop(&fixture);
}

/* Local peers hear of each other's end, too. */
static void local_peers_see_each_other_go(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    static struct party one, two;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    add(&one, &fixture);
    add(&two, &fixture);
    assert_int_equal(hyperderp_local_peer_send(one.local, &two.key, "hello", 5), 0);
    await(&two, &two.packets, 1);
    take_away(&one);
    expect_gone(&two, 1, &one.key, HYPERDERP_GONE_LEFT);
    take_away(&two);
    fixture_stop(&fixture);
}

/* ---- What others are told ---- */

struct changes {
    hyperderp_key key;
    atomic_uint up, down;
};

static void note_change(void *user, const hyperderp_key *peer, bool up)
{
    struct changes *changes = user;

    if (hyperderp_key_equal(peer, &changes->key))
        atomic_fetch_add(up ? &changes->up : &changes->down, 1);
}

static hyperderp_peer_info find_peer(const struct fixture *fixture, const hyperderp_key *key,
                                     size_t *count)
{
    hyperderp_peer_info *peers, found = {0};

    assert_int_equal(hyperderp_relay_peers(fixture->relay, &peers, count), 0);
    for (size_t i = 0; i < *count; i++)
        if (hyperderp_key_equal(&peers[i].key, key))
            found = peers[i];
    hyperderp_peers_free(peers);
    return found;
}

static void it_is_listed_and_told_of(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    static struct party party;
    struct changes changes = {0};
    struct fixture fixture;
    size_t count;

    prepare(&party);
    changes.key = party.key;
    options.user = &changes;
    options.peer_changed = note_change;
    options.log = NULL;
    fixture_start(&fixture, &options, 0);
    hyperderp_local_peer_options local = options_of(&party);
    assert_int_equal(hyperderp_relay_add_local_peer(fixture.relay, &local, &party.local), 0);
    assert_int_equal(changes.up, 1);
    struct client_socket *heard = fixture_join(&fixture, 0), *other = fixture_join(&fixture, 0);
    assert_int_equal(hyperderp_local_peer_send(party.local, client_socket_key(heard), "you", 3), 0);
    (void)fixture_expect(heard, CLIENT_MESSAGE_PACKET);
    assert_int_equal(client_socket_send(other, &party.key, "me", 2, FIXTURE_PATIENCE_MS), 0);
    await(&party, &party.packets, 1);
    hyperderp_peer_info info = find_peer(&fixture, &party.key, &count);
    assert_int_equal(count, 3);
    assert_string_equal(info.address, "local");
    assert_string_equal(info.app_name, "");
    assert_true(info.active);
    assert_true(info.worker < 3);
    assert_int_equal(info.packets_received, 1);
    assert_int_equal(info.packets_delivered, 1);
    assert_int_equal(info.drops, 0);
    assert_int_equal(hyperderp_relay_close_peer(fixture.relay, &party.key), -ENOENT);
    assert_int_equal(changes.down, 0);

    take_away(&party);
    assert_int_equal(changes.down, 1);
    (void)find_peer(&fixture, &party.key, &count);
    assert_int_equal(count, 2);
    struct client_message gone = fixture_expect(heard, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&gone.peer, &party.key));
    fixture_expect_nothing(other);
    client_socket_close(heard);
    client_socket_close(other);
    fixture_stop(&fixture);
}

static void watchers_are_told(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    struct client_info info = {.version = DERP_PROTOCOL_VERSION, .has_mesh_key = true};
    hyperderp_private_key private_key;
    uint8_t frame[FRAME_HEADER_SIZE];
    static struct party early, late;
    struct fixture fixture;

    options.mesh_key[0] = info.mesh_key[0] = 7;
    fixture_start(&fixture, &options, 0);
    add(&early, &fixture);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *watcher = fixture_join_with(&fixture, &private_key, &info);
    frame_header_encode(frame, FRAME_WATCH_CONNS, 0);
    assert_int_equal(client_socket_send_raw(watcher, frame, sizeof(frame), FIXTURE_PATIENCE_MS), 0);
    bool seen = false;
    for (unsigned i = 0; i < 2; i++) { /* itself, too */
        struct client_message message = fixture_expect(watcher, CLIENT_MESSAGE_PEER_PRESENT);
        seen = seen || hyperderp_key_equal(&message.peer, &early.key);
    }
    assert_true(seen);
    add(&late, &fixture);
    struct client_message message = fixture_expect(watcher, CLIENT_MESSAGE_PEER_PRESENT);
    assert_true(hyperderp_key_equal(&message.peer, &late.key));
    take_away(&early);
    message = fixture_expect(watcher, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, &early.key));
    take_away(&late);
    message = fixture_expect(watcher, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, &late.key));
    client_socket_close(watcher);
    fixture_stop(&fixture);
}

/* ---- Nodes of a region ---- */

static void add_node(const struct fixture *to, const struct fixture *other)
{
    hyperderp_mesh_peer_options options = {.size = sizeof(options)};
    char url[160];

    snprintf(url, sizeof(url), "http://%s", other->address);
    options.address = url;
    assert_int_equal(hyperderp_relay_add_mesh_peer(to->relay, &options), 0);
}

static void remove_node(const struct fixture *from, const struct fixture *other)
{
    char url[160];

    snprintf(url, sizeof(url), "http://%s", other->address);
    assert_int_equal(hyperderp_relay_remove_mesh_peer(from->relay, url), 0);
}

static bool mesh_keys_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->mesh_keys == value;
}

static void other_nodes_reach_it(void **state)
{
    static struct party here, there;

    for (unsigned workers = 1; workers <= 3; workers += 2) {
        hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);
        struct fixture a, b;
        uint64_t count = 0;

        options.mesh_key[0] = 9;
        fixture_start(&a, &options, 0);
        fixture_start(&b, &options, 0);
        add(&there, &b);
        struct client_socket *client = fixture_join(&a, 0);
        add_node(&a, &b);
        add_node(&b, &a);
        add(&here, &a);
        fixture_wait(&a, mesh_keys_are, 1);
        fixture_wait(&b, mesh_keys_are, 2);
        talks_with(&there, client, &count);
        /* From one node's to the other's. */
        assert_int_equal(hyperderp_local_peer_send(here.local, &there.key, "over", 4), 0);
        await(&there, &there.packets, ++count);
        expect_last(&there, &here.key, "over", 4);
        assert_int_equal(hyperderp_local_peer_send(there.local, &here.key, "back", 4), 0);
        await(&here, &here.packets, 1);
        expect_last(&here, &there.key, "back", 4);
        assert_int_equal(fixture_counters(&b).packets_forwarded_out, 7);
        /* Each hears when the other one has left the region. */
        take_away(&here);
        expect_gone(&there, 1, &here.key, HYPERDERP_GONE_LEFT);
        fixture_wait(&b, mesh_keys_are, 1);
        assert_int_equal(hyperderp_local_peer_send(there.local, &here.key, "lost", 4), -ENOENT);
        take_away(&there);
        struct client_message gone = fixture_expect(client, CLIENT_MESSAGE_PEER_GONE);
        assert_true(hyperderp_key_equal(&gone.peer, &there.key));

        client_socket_close(client);
        remove_node(&a, &b);
        remove_node(&b, &a);
        fixture_wait(&a, counters_connections_are, 0);
        fixture_wait(&b, counters_connections_are, 0);
        fixture_stop(&b);
        fixture_stop(&a);
    }
}

/* ---- One key, one peer ---- */

static bool denied_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_denied == value;
}

static void nobody_else_has_its_key(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_private_key private_key;
    static struct party party;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    prepare(&party);
    hyperderp_private_key_public(&private_key, &party.key);
    hyperderp_local_peer_options local = options_of(&party);
    hyperderp_local_peer *second = NULL;

    /* A client was first. */
    struct client_socket *client = fixture_join_as(&fixture, &private_key);
    assert_int_equal(hyperderp_relay_add_local_peer(fixture.relay, &local, &second), -EEXIST);
    assert_null(second);
    client_socket_close(client);
    fixture_wait(&fixture, counters_peers_are, 0);
    assert_int_equal(hyperderp_relay_add_local_peer(fixture.relay, &local, &party.local), 0);
    assert_int_equal(hyperderp_relay_add_local_peer(fixture.relay, &local, &second), -EEXIST);
    /* A client is second. */
    struct client_options wanted = {.private_key = private_key,
                                    .info = {.version = DERP_PROTOCOL_VERSION}};
    struct client_message message;
    client = NULL;
    int error = client_socket_connect(&client, fixture.address, &wanted, FIXTURE_PATIENCE_MS);
    while (error == 0)
        error = client_socket_recv(client, &message, FIXTURE_PATIENCE_MS);
    assert_true(error == -EPIPE || error == -ECONNRESET);
    client_socket_close(client);
    fixture_wait(&fixture, denied_are, 1);
    fixture_wait(&fixture, counters_connections_are, 0);
    /* It is none the worse for that. */
    struct client_socket *other = fixture_join(&fixture, 0);
    uint64_t count = 0;
    talks_with(&party, other, &count);
    take_away(&party);
    /* Who comes with the key before that is told is the peer that has never gone. */
    (void)fixture_expect(other, CLIENT_MESSAGE_PEER_GONE);
    client = fixture_join_as(&fixture, &private_key);
    fixture_pass(client, other, "mine now");

    client_socket_close(client);
    client_socket_close(other);
    fixture_stop(&fixture);
}

/* ---- Bounds ---- */

/* Sends until it is refused, while the only worker stands still; how many packets went. */
static unsigned fill(struct party *party, const hyperderp_key *to, size_t len)
{
    unsigned count = 0;
    int error;

    while ((error = hyperderp_local_peer_send(party->local, to, pattern(), len)) == 0)
        count++;
    assert_int_equal(error, -ENOBUFS);
    return count;
}

static void what_waits_is_bounded(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static struct party party, other;
    hyperderp_limits limits = {.size = sizeof(limits), .queue_frames = 100};
    struct fixture fixture;

    options.queue_frames = 100;
    fixture_start(&fixture, &options, 0);
    add(&party, &fixture);
    add(&other, &fixture);
    shut(&other, true);
    assert_int_equal(hyperderp_local_peer_send(party.local, &other.key, "hold", 4), 0);
    await_held(&other);
    assert_int_equal(fill(&party, &other.key, 10), 100);
    assert_int_equal(fixture_counters(&fixture).local_refused, 1);
    /* Another one has a share of its own. */
    assert_int_equal(fill(&other, &party.key, 10), 100);
    shut(&other, false);
    await(&other, &other.packets, 101);
    await(&party, &party.packets, 100);

    /* By bytes; then by the memory of the whole relay. */
    limits.queue_bytes = 131072;
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limits), 0);
    shut(&other, true);
    assert_int_equal(hyperderp_local_peer_send(party.local, &other.key, "hold", 4), 0);
    await_held(&other);
    assert_int_equal(fill(&party, &other.key, 40000), 3);
    assert_true(fixture_counters(&fixture).queued_bytes > 120000);
    limits.memory_bytes = 262144;
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limits), 0);
    assert_int_equal(fill(&other, &party.key, 60000), 1);
    shut(&other, false);
    await(&other, &other.packets, 105);
    await(&party, &party.packets, 101);
    fixture_wait(&fixture, counters_at_rest, 206);
    assert_int_equal(fixture_counters(&fixture).local_refused, 4);
    take_away(&party);
    take_away(&other);
    fixture_stop(&fixture);
}

/* A client that does not read loses what a local peer sends as it loses what clients send. */
static void a_slow_receiver_loses_its_own(void **state)
{
    enum { MANY = 3000 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static struct party party;
    struct fixture fixture;

    options.queue_frames = 50;
    fixture_start(&fixture, &options, 4096);
    add(&party, &fixture);
    struct client_socket *slow = fixture_join(&fixture, 4096), *quick = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(send_patiently(party.local, client_socket_key(slow), pattern(), 1400), 0);
    assert_int_equal(send_patiently(party.local, client_socket_key(quick), "quick", 5), 0);
    (void)fixture_expect(quick, CLIENT_MESSAGE_PACKET);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_true(counters.drops[HYPERDERP_DROP_QUEUE_FULL][HYPERDERP_PACKET_DATA] > MANY / 2);
    take_away(&party);
    client_socket_close(slow);
    client_socket_close(quick);
    fixture_stop(&fixture);
    assert_int_equal(party.gone, 0);
}

/* ---- Life of the relay ---- */

static hyperderp_relay *bare_relay(void **state, struct changes *changes)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    hyperderp_listener_options listener;
    hyperderp_relay *relay;

    options.log = NULL;
    options.user = changes;
    options.peer_changed = note_change;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), 0);
    return relay;
}

static void it_lives_as_long_as_its_relay(void **state)
{
    static struct party party, other;
    struct changes changes = {0};

    /* Added before the start. */
    hyperderp_relay *relay = bare_relay(state, &changes);
    prepare(&party);
    prepare(&other);
    changes.key = party.key;
    hyperderp_local_peer_options local = options_of(&party);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &local, &party.local), 0);
    local = options_of(&other);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &local, &other.local), 0);
    assert_int_equal(hyperderp_local_peer_send(party.local, &other.key, "early", 5), -EBUSY);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    assert_int_equal(hyperderp_local_peer_send(party.local, &other.key, "now", 3), 0);
    await(&other, &other.packets, 1);
    /* The relay drains, and is freed with one that is left. */
    assert_int_equal(hyperderp_relay_drain(relay, FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(hyperderp_local_peer_send(party.local, &other.key, "late", 4), -ESHUTDOWN);
    take_away(&other);
    hyperderp_local_peer *third = NULL;
    local = options_of(&other);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &local, &third), -EBUSY);
    assert_int_equal(changes.up, 1);
    assert_int_equal(changes.down, 0);
    hyperderp_relay_free(relay);
    assert_int_equal(changes.down, 1);

    /* Never started: removed, and left. */
    relay = bare_relay(state, &changes);
    prepare(&party);
    prepare(&other);
    local = options_of(&party);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &local, &party.local), 0);
    local = options_of(&other);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &local, &other.local), 0);
    take_away(&party);
    hyperderp_relay_free(relay);
}

/* A stop while threads send: all that was taken is accounted for. */
static void *send_until_the_end(void *user)
{
    struct sender *sender = user;

    for (unsigned i = 0; sender->error == 0 || sender->error == -ENOBUFS ||
                         sender->error == -ENOENT /* its connection is closed already */;
         i++)
        sender->error = hyperderp_local_peer_send(sender->party->local, sender->to[i % 3], "x", 1);
    return NULL;
}

static void *read_all(void *client)
{
    struct client_message message;

    while (client_socket_recv(client, &message, FIXTURE_PATIENCE_MS) == 0)
        ;
    return NULL;
}

static void the_relay_stops_under_it(void **state)
{
    static struct party party, other;

    for (unsigned round = 0; round < 6; round++) {
        hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
        struct sender senders[THREADS];
        pthread_t threads[THREADS], reader;
        struct fixture fixture;

        fixture_start(&fixture, &options, 0);
        add(&party, &fixture);
        add(&other, &fixture);
        struct client_socket *client = fixture_join(&fixture, 0);
        assert_int_equal(pthread_create(&reader, NULL, read_all, client), 0);
        for (uint32_t i = 0; i < THREADS; i++) {
            senders[i] = (struct sender){.party = &party,
                                         .to = {client_socket_key(client), &other.key, &party.key},
                                         .thread = i};
            assert_int_equal(pthread_create(&threads[i], NULL, send_until_the_end, &senders[i]), 0);
        }
        assert_true(await_least(&other, &other.packets, 1) > 0);
        if (round % 2)
            hyperderp_relay_stop(fixture.relay);
        else
            (void)hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS);
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(senders[i].error, -ESHUTDOWN);
        }
        pthread_join(reader, NULL);
        take_away(&party);
        take_away(&other);
        client_socket_close(client);
        fixture_stop(&fixture);
    }
}

static void wrong_arguments_are_refused(void **state)
{
    hyperderp_local_peer *local = NULL;
    static struct party party;
    hyperderp_key relay_key;
    hyperderp_relay *relay;

    (void)state;
    prepare(&party);
    const hyperderp_local_peer_options good = options_of(&party);
    hyperderp_local_peer_options bad = good;
    assert_int_equal(hyperderp_relay_new(&relay, NULL), 0);
    hyperderp_relay_public_key(relay, &relay_key);
    assert_int_equal(hyperderp_relay_add_local_peer(NULL, &good, &local), -EINVAL);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, NULL, &local), -EINVAL);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &good, NULL), -EINVAL);
    bad.size = 0;
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &bad, &local), -EINVAL);
    bad.size = offsetof(hyperderp_local_peer_options, received); /* an older header's */
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &bad, &local), -EINVAL);
    bad = good;
    bad.received = NULL;
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &bad, &local), -EINVAL);
    bad = good;
    bad.key = (hyperderp_key){{0}};
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &bad, &local), -EINVAL);
    bad.key = relay_key;
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &bad, &local), -EINVAL);
    assert_null(local);

    bad = good;
    bad.size = offsetof(hyperderp_local_peer_options, peer_gone);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &bad, &local), 0);
    assert_int_equal(hyperderp_local_peer_send(NULL, &party.key, "x", 1), -EINVAL);
    assert_int_equal(hyperderp_local_peer_send(local, NULL, "x", 1), -EINVAL);
    assert_int_equal(hyperderp_local_peer_send(local, &party.key, NULL, 1), -EINVAL);
    assert_int_equal(
        hyperderp_local_peer_send(local, &party.key, pattern(), HYPERDERP_MAX_PACKET + 1),
        -EMSGSIZE);
    assert_int_equal(hyperderp_local_peer_send(local, &party.key, "x", 1), -EBUSY);
    hyperderp_local_peer_remove(local);
    hyperderp_local_peer_remove(NULL);
    hyperderp_relay_free(relay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(clients_and_the_embedder_talk),
        FIXTURE_ON_ALL(each_sender_keeps_its_order),
        FIXTURE_ON_ALL(many_threads_send),
        FIXTURE_ON_BOTH(nothing_is_sent_from_an_event),
        FIXTURE_ON_BOTH(local_peers_answer_each_other),
        FIXTURE_ON_ALL(clients_are_answered_from_the_callback),
        FIXTURE_ON_BOTH(removal_meets_traffic),
        FIXTURE_ON_BOTH(removal_waits_for_callbacks),
        FIXTURE_ON_BOTH(keys_that_are_not_there),
        FIXTURE_ON_BOTH(a_path_to_who_has_left_is_refused),
        FIXTURE_ON_BOTH(local_peers_see_each_other_go),
        FIXTURE_ON_BOTH(it_is_listed_and_told_of),
        FIXTURE_ON_BOTH(watchers_are_told),
        FIXTURE_ON_BOTH(other_nodes_reach_it),
        FIXTURE_ON_BOTH(nobody_else_has_its_key),
        FIXTURE_ON_BOTH(what_waits_is_bounded),
        FIXTURE_ON_BOTH(a_slow_receiver_loses_its_own),
        FIXTURE_ON_BOTH(it_lives_as_long_as_its_relay),
        FIXTURE_ON_BOTH(the_relay_stops_under_it),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
