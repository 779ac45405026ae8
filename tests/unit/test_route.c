/* SPDX-License-Identifier: BSD-3-Clause */
/* The route table and its peers: who receives for a key, from one thread and from many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "relay/route.h"
#include "relay/worker.h"

static struct route_table table;

static struct {
    unsigned ups, downs;
    hyperderp_key last;
} told;

static void peer_changed(void *user, const hyperderp_key *peer, bool up)
{
    assert_ptr_equal(user, &told);
    told.ups += up;
    told.downs += !up;
    told.last = *peer;
}

static int begin(void **state)
{
    (void)state;
    memset(&told, 0, sizeof(told));
    route_init(&table, &(struct peer_callbacks){.user = &told, .peer_changed = peer_changed});
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROUTE_STRIPES; i++)
        if (table.stripes[i].peers != 0)
            return -1;
    route_destroy(&table);
    return 0;
}

static hyperderp_key key_of(uint32_t number)
{
    hyperderp_key key = {{0}};

    memcpy(key.bytes, &number, sizeof(number));
    return key;
}

/* What sink_new() needs of a worker; a sink of no socket. */
static struct sink *make_sink(struct worker *worker)
{
    struct sink *sink = sink_new(worker, -1);

    assert_non_null(sink);
    return sink;
}

static unsigned refs(const struct sink *sink)
{
    return atomic_load(&sink->refs);
}

/* Whether this sink is the one that receives for a key; NULL: nobody does. */
static bool receives(const hyperderp_key *key, const struct sink *sink)
{
    struct sink *found = NULL;
    struct peer *peer = route_find(&table, key, &found);
    bool same = found == sink && (peer != NULL) == (sink != NULL);

    if (peer) {
        same = same && atomic_load(&peer->active) == found &&
               memcmp(&peer->key, key, sizeof(*key)) == 0;
        sink_unref(found);
        peer_unref(peer);
    }
    return same;
}

static void join_and_leave(void **state)
{
    static struct worker worker;
    struct sink *sink = make_sink(&worker);
    hyperderp_key key = key_of(1), other = key_of(2);
    struct peer *peer;

    (void)state;
    assert_true(receives(&key, NULL));
    assert_int_equal(route_join(&table, &key, sink, &peer), 0);
    assert_int_equal(refs(sink), 2);
    assert_int_equal(told.ups, 1);
    assert_memory_equal(&told.last, &key, sizeof(key));
    assert_true(receives(&key, sink));
    assert_true(receives(&other, NULL));
    assert_int_equal(refs(sink), 2);
    route_activate(&table, peer, sink);
    assert_true(receives(&key, sink));
    assert_true(route_leave(&table, peer, sink));
    assert_int_equal(told.downs, 1);
    assert_int_equal(refs(sink), 1);
    assert_true(receives(&key, NULL));
    assert_null(atomic_load(&peer->active));
    peer_unref(peer);
    sink_unref(sink);
    sink_unref(NULL);
    peer_unref(NULL);
}

/* The one that joined or sent last receives; when it leaves, the one before it does. What happens
 * when several send is in test_duplicate.c. */
static void duplicates_in_their_order(void **state)
{
    static struct worker worker;
    struct sink *sink[4];
    struct peer *peer[4];
    hyperderp_key key = key_of(7);

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        sink[i] = make_sink(&worker);
        assert_int_equal(route_join(&table, &key, sink[i], &peer[i]), i > 0);
        assert_ptr_equal(peer[i], peer[0]);
        assert_true(receives(&key, sink[i]));
    }
    assert_int_equal(told.ups, 1);
    route_activate(&table, peer[1], sink[1]);
    route_activate(&table, peer[1], sink[1]);
    assert_true(receives(&key, sink[1])); /* now 1, 3, 2, 0 */
    assert_false(route_leave(&table, peer[3], sink[3]));
    assert_true(receives(&key, sink[1]));
    assert_false(route_leave(&table, peer[1], sink[1]));
    assert_true(receives(&key, sink[2]));
    assert_false(route_leave(&table, peer[0], sink[0]));
    assert_true(receives(&key, sink[2]));
    assert_int_equal(told.downs, 0);
    assert_true(route_leave(&table, peer[2], sink[2]));
    assert_true(receives(&key, NULL));
    assert_int_equal(told.ups, 1);
    assert_int_equal(told.downs, 1);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(refs(sink[i]), 1);
        peer_unref(peer[i]);
        sink_unref(sink[i]);
    }
}

/* A certain connection of a key is found as long as it is there, active or not. */
static void found_by_serial(void **state)
{
    static struct worker worker;
    struct sink *sink[3];
    struct peer *peer[3];
    hyperderp_key key = key_of(7), other = key_of(8);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        sink[i] = make_sink(&worker);
        route_join(&table, &key, sink[i], &peer[i]);
        for (unsigned j = 0; j < i; j++)
            assert_true(sink[i]->serial != sink[j]->serial);
    }
    uint64_t hash = peer[0]->hash;
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(route_find_sink(&table, &key, hash, sink[i]->serial), sink[i]);
        assert_int_equal(refs(sink[i]), 3);
        sink_unref(sink[i]);
    }
    assert_null(route_find_sink(&table, &key, hash, 12345));
    assert_null(route_find_sink(&table, &other, hash, sink[0]->serial));
    for (unsigned i = 0; i < 3; i++) {
        route_leave(&table, peer[i], sink[i]);
        assert_null(route_find_sink(&table, &key, hash, sink[i]->serial));
        peer_unref(peer[i]);
        sink_unref(sink[i]);
    }
}

/* A peer that has gone and one that comes anew are two: who holds the old one sees that nobody
 * receives. */
static void a_peer_that_comes_back_is_another(void **state)
{
    static struct worker worker;
    struct sink *sink = make_sink(&worker), *again = make_sink(&worker);
    hyperderp_key key = key_of(9);
    struct peer *old, *new;

    (void)state;
    route_join(&table, &key, sink, &old);
    assert_true(route_leave(&table, old, sink));
    assert_int_equal(route_join(&table, &key, again, &new), 0);
    assert_ptr_not_equal(old, new);
    assert_null(atomic_load(&old->active));
    assert_true(receives(&key, again));
    assert_true(route_leave(&table, new, again));
    peer_unref(old);
    peer_unref(new);
    sink_unref(sink);
    sink_unref(again);
}

static void thousands(void **state)
{
    enum { COUNT = 20000 };
    static struct sink *sinks[COUNT];
    static struct peer *peers[COUNT];
    static struct worker worker;
    unsigned most = 0;

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        hyperderp_key key = key_of(i);

        sinks[i] = make_sink(&worker);
        assert_int_equal(route_join(&table, &key, sinks[i], &peers[i]), 0);
    }
    /* Keys that a client could choose are spread all the same. */
    for (unsigned i = 0; i < ROUTE_STRIPES; i++) {
        most = table.stripes[i].peers > most ? table.stripes[i].peers : most;
        assert_true(table.stripes[i].peers <= table.stripes[i].bucket_count);
    }
    assert_true(most < 3 * COUNT / ROUTE_STRIPES);
    for (uint32_t i = 0; i < COUNT; i++) {
        hyperderp_key key = key_of(i);

        assert_true(receives(&key, sinks[i]));
    }
    for (uint32_t i = 0; i < COUNT; i += 2)
        assert_true(route_leave(&table, peers[i], sinks[i]));
    for (uint32_t i = 0; i < COUNT; i++) {
        hyperderp_key key = key_of(i);

        assert_true(receives(&key, i % 2 ? sinks[i] : NULL));
        if (i % 2)
            assert_true(route_leave(&table, peers[i], sinks[i]));
        peer_unref(peers[i]);
        sink_unref(sinks[i]);
    }
}

enum pattern { COUNTED_IN_FRONT, COUNTED_AT_THE_END, TWO_BITS, ONE_BYTE_EVERYWHERE, PATTERNS };

/* Keys that are nearly the same, in the ways that a client could choose. */
static hyperderp_key chosen_key(enum pattern pattern, uint32_t number)
{
    hyperderp_key key = {{0}};

    switch (pattern) {
    case COUNTED_IN_FRONT:
        memset(&key, 0xff, sizeof(key));
        memcpy(key.bytes, &number, sizeof(number));
        break;
    case COUNTED_AT_THE_END:
        memcpy(key.bytes + sizeof(key) - sizeof(number), &number, sizeof(number));
        break;
    case TWO_BITS: /* 256 * 256 of them, each but those alike twice */
        key.bytes[number % 256 / 8] = (uint8_t)(1 << number % 8);
        key.bytes[number / 256 % 256 / 8] ^= (uint8_t)(1 << number / 256 % 8);
        break;
    default: /* as a hash would not see that adds up or shifts bytes */
        for (unsigned i = 0; i < sizeof(key.bytes); i++)
            key.bytes[i] = (uint8_t)(number >> 8 * (i % 4));
        break;
    }
    return key;
}

static unsigned longest_chain(void)
{
    unsigned most = 0;

    for (unsigned i = 0; i < ROUTE_STRIPES; i++)
        for (unsigned k = 0; k < table.stripes[i].bucket_count; k++) {
            unsigned length = 0;
            for (struct peer *peer = table.stripes[i].buckets[k]; peer; peer = peer->chain)
                length++;
            most = length > most ? length : most;
        }
    return most;
}

/* However a client chooses keys, a search stays short: with at most as many peers as buckets a
 * chain of random keys is longer than 14 once in some hundred million runs. The same for stripes:
 * eight deviations from the mean. */
static void chosen_keys_do_not_collide(void **state)
{
    enum { COUNT = 20000, MEAN = COUNT / ROUTE_STRIPES };
    static struct sink *sinks[COUNT];
    static struct peer *peers[COUNT];
    static struct worker worker;

    (void)state;
    for (enum pattern pattern = 0; pattern < PATTERNS; pattern++) {
        unsigned joined = 0;
        for (uint32_t i = 0; joined < COUNT; i++) {
            hyperderp_key key = chosen_key(pattern, i);
            if (pattern == TWO_BITS && i / 256 <= i % 256)
                continue;
            sinks[joined] = make_sink(&worker);
            assert_int_equal(route_join(&table, &key, sinks[joined], &peers[joined]), 0);
            joined++;
        }
        assert_in_range(longest_chain(), 2, 14);
        for (unsigned i = 0; i < ROUTE_STRIPES; i++)
            assert_in_range(table.stripes[i].peers, MEAN / 8, 2 * MEAN);
        while (joined-- > 0) {
            assert_true(route_leave(&table, peers[joined], sinks[joined]));
            peer_unref(peers[joined]);
            sink_unref(sinks[joined]);
        }
    }
}

/* ---- Keys at mesh partners --------------------------------------------------------------------
 */

/* The partner that told first receives, then the next; a connection here comes before them all; and
 * the key is gone when the last of all has left. */
static void forwarders_in_their_order(void **state)
{
    static struct worker worker;
    struct sink *link[3], *here = make_sink(&worker);
    struct forwarder *forwarder[3], *again = NULL;
    hyperderp_key key = key_of(7);
    struct peer *peer, *gone;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        link[i] = make_sink(&worker);
        assert_int_equal(route_forward(&table, &key, link[i], &forwarder[i]), 0);
        assert_true(receives(&key, link[0]));
    }
    assert_int_equal(route_forward(&table, &key, link[1], &again), -EEXIST);
    assert_ptr_equal(again, forwarder[1]);
    assert_ptr_equal(route_find_forwarder(&table, &key, link[2]), forwarder[2]);
    assert_null(route_find_forwarder(&table, &key, here));
    assert_null(route_find_local(&table, &key));
    assert_int_equal(told.ups, 0); /* the embedder is told of connections here */

    assert_int_equal(route_join(&table, &key, here, &peer), 0);
    assert_int_equal(told.ups, 1);
    assert_true(receives(&key, here));
    assert_false(route_unforward(&table, forwarder[0], &gone));
    assert_null(gone);
    assert_true(receives(&key, here));
    assert_true(route_leave(&table, peer, here));
    assert_int_equal(told.downs, 1);
    assert_true(receives(&key, link[1]));
    assert_ptr_equal(atomic_load(&peer->active), link[1]);

    assert_false(route_unforward(&table, forwarder[1], &gone));
    assert_true(receives(&key, link[2]));
    assert_true(route_unforward(&table, forwarder[2], &gone));
    assert_ptr_equal(gone, peer);
    assert_null(atomic_load(&peer->active));
    assert_true(receives(&key, NULL));
    peer_unref(gone);
    peer_unref(peer);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(refs(link[i]), 1);
        sink_unref(link[i]);
    }
    sink_unref(here);
}

/* A list of who is here names nobody who is elsewhere. */
static void lists_those_here(void **state)
{
    static struct worker worker;
    struct sink *sink = make_sink(&worker), *link = make_sink(&worker);
    struct forwarder *forwarder;
    hyperderp_key here = key_of(1), there = key_of(2), *keys;
    struct peer *peer, *gone;
    size_t count, sum = 0;

    (void)state;
    assert_int_equal(route_join(&table, &here, sink, &peer), 0);
    assert_int_equal(route_forward(&table, &there, link, &forwarder), 0);
    for (unsigned i = 0; i < ROUTE_STRIPES; i++) {
        assert_true(route_list_local(&table, i, &keys, &count));
        for (size_t k = 0; k < count; k++)
            assert_true(hyperderp_key_equal(&keys[k], &here));
        sum += count;
        free(keys);
    }
    assert_int_equal(sum, 1);
    struct sink *found = route_find_local(&table, &here);
    assert_ptr_equal(found, sink);
    sink_unref(found);
    assert_true(route_leave(&table, peer, sink));
    assert_true(route_unforward(&table, forwarder, &gone));
    peer_unref(peer);
    peer_unref(gone);
    sink_unref(sink);
    sink_unref(link);
}

/* ---- Whom a peer has sent to ----------------------------------------------------------------- */

static void recipients_are_taken_once(void **state)
{
    static struct worker worker;
    hyperderp_key key = key_of(1);
    struct sink *sink[2] = {make_sink(&worker), make_sink(&worker)};
    struct peer *sender = peer_new(&key, 1, false), *to[2];
    struct recipients taken;

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        hyperderp_key other = key_of(10 + i);

        to[i] = peer_new(&other, 100 + i, false);
        peer_note_recipient(sender, to[i], sink[i]);
        peer_note_recipient(sender, to[i], sink[i]);
    }
    taken = peer_take_recipients(sender);
    assert_int_equal(taken.count, 2);
    recipients_destroy(&taken);
    taken = peer_take_recipients(sender);
    assert_int_equal(taken.count, 0);
    recipients_destroy(&taken);
    peer_note_recipient(sender, to[0], sink[1]); /* freed with the peer */
    peer_unref(sender);
    for (unsigned i = 0; i < 2; i++) {
        peer_unref(to[i]);
        sink_unref(sink[i]);
    }
}

/* ---- Many threads ---------------------------------------------------------------------------- */

#define THREADS 4
#define KEYS    16
#define STEPS   30000

static atomic_int present[KEYS]; /* what the calls of peer_changed add up to */

static void count_present(void *user, const hyperderp_key *peer, bool up)
{
    uint32_t number;

    (void)user;
    memcpy(&number, peer->bytes, sizeof(number));
    int before = atomic_fetch_add(&present[number], up ? 1 : -1);
    if (before != !up)
        abort(); /* the calls for one key came out of their order */
}

/* Joins, leaves, activates and looks up, with keys that the other threads use as well. */
static void *use_table(void *arg)
{
    unsigned seed = *(unsigned *)arg;
    struct worker *worker = calloc(1, sizeof(*worker));
    struct sink *sink[KEYS] = {0};
    struct peer *peer[KEYS], *at_hand = NULL;
    struct sink *sink_at_hand = NULL;

    worker->index = (uint16_t)seed;
    for (unsigned step = 0; step < STEPS; step++) {
        uint32_t number = (uint32_t)rand_r(&seed) % KEYS;
        hyperderp_key key = key_of(number);
        struct sink *found;

        switch (rand_r(&seed) % 4) {
        case 0:
            if (sink[number]) {
                route_leave(&table, peer[number], sink[number]);
                peer_unref(peer[number]);
                sink_unref(sink[number]);
                sink[number] = NULL;
            } else {
                sink[number] = sink_new(worker, -1);
                route_join(&table, &key, sink[number], &peer[number]);
            }
            break;
        case 1:
            if (sink[number])
                route_activate(&table, peer[number], sink[number]);
            break;
        case 2:
            peer_unref(at_hand);
            sink_unref(sink_at_hand);
            sink_at_hand = NULL;
            at_hand = route_find(&table, &key, &sink_at_hand);
            if (at_hand && sink_at_hand && sink[number])
                peer_note_recipient(peer[number], at_hand, sink_at_hand);
            break;
        default:
            /* As a sender does in steady state: only compared. */
            if (at_hand && sink_at_hand &&
                atomic_load_explicit(&at_hand->active, memory_order_acquire) != sink_at_hand)
                (void)sink_at_hand->serial;
            if (sink[number]) {
                found = route_find_sink(&table, &key, peer[number]->hash, sink[number]->serial);
                if (found != sink[number])
                    abort();
                sink_unref(found);
            }
        }
    }
    peer_unref(at_hand);
    sink_unref(sink_at_hand);
    for (uint32_t number = 0; number < KEYS; number++) {
        if (!sink[number])
            continue;
        route_leave(&table, peer[number], sink[number]);
        peer_unref(peer[number]);
        if (refs(sink[number]) < 1)
            abort();
        sink_unref(sink[number]);
    }
    free(worker);
    return NULL;
}

static void many_threads(void **state)
{
    pthread_t thread[THREADS];
    unsigned seed[THREADS];

    (void)state;
    route_init(&table, &(struct peer_callbacks){.peer_changed = count_present});
    for (unsigned i = 0; i < THREADS; i++) {
        seed[i] = i + 1;
        assert_int_equal(pthread_create(&thread[i], NULL, use_table, &seed[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(present[i], 0);
    assert_int_equal(end(state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(join_and_leave, begin, end),
        cmocka_unit_test_setup_teardown(duplicates_in_their_order, begin, end),
        cmocka_unit_test_setup_teardown(found_by_serial, begin, end),
        cmocka_unit_test_setup_teardown(a_peer_that_comes_back_is_another, begin, end),
        cmocka_unit_test_setup_teardown(thousands, begin, end),
        cmocka_unit_test_setup_teardown(chosen_keys_do_not_collide, begin, end),
        cmocka_unit_test_setup_teardown(forwarders_in_their_order, begin, end),
        cmocka_unit_test_setup_teardown(lists_those_here, begin, end),
        cmocka_unit_test(recipients_are_taken_once),
        cmocka_unit_test(many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
