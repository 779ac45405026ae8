/* SPDX-License-Identifier: BSD-3-Clause */
/* Chained hash tables that double as they fill. */
#include "relay/route.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "memory/memory.h"
#include "relay/duplicate.h"

#define FIRST_BUCKETS 4

void route_init(struct route_table *table, const struct peer_callbacks *callbacks)
{
    memset(table, 0, sizeof(*table));
    table->callbacks = *callbacks;
    randombytes_buf(table->hash_key, sizeof(table->hash_key));
    for (unsigned i = 0; i < ROUTE_STRIPES; i++)
        pthread_mutex_init(&table->stripes[i].lock, NULL);
}

void route_destroy(struct route_table *table)
{
    for (unsigned i = 0; i < ROUTE_STRIPES; i++) {
        memory_free(table->stripes[i].buckets);
        pthread_mutex_destroy(&table->stripes[i].lock);
    }
    sodium_memzero(table->hash_key, sizeof(table->hash_key));
}

static uint64_t route_hash(const struct route_table *table, const hyperderp_key *key)
{
    uint64_t hash;
    _Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "SipHash-2-4 gives 64 bits");
    crypto_shorthash((unsigned char *)&hash, key->bytes, sizeof(key->bytes), table->hash_key);
    return hash;
}

/* Needs the stripe's lock. */
static struct peer *stripe_find(const struct route_stripe *stripe, const hyperderp_key *key,
                                uint64_t hash)
{
    if (stripe->bucket_count == 0)
        return NULL;
    /* Other bits than those that choose the stripe. */
    struct peer *peer = stripe->buckets[hash & (stripe->bucket_count - 1)];
    while (peer && (peer->hash != hash || memcmp(&peer->key, key, sizeof(*key)) != 0))
        peer = peer->chain;
    return peer;
}

/* Needs the stripe's lock. Without memory to grow, a table that exists stays as it is: slower, not
 * wrong. */
static bool stripe_grow(struct route_stripe *stripe)
{
    if (stripe->peers < stripe->bucket_count)
        return true;
    unsigned count = stripe->bucket_count ? stripe->bucket_count * 2 : FIRST_BUCKETS;
    struct peer **buckets = memory_calloc(count, sizeof(*buckets));
    if (!buckets)
        return stripe->bucket_count > 0;
    for (unsigned i = 0; i < stripe->bucket_count; i++) {
        for (struct peer *peer = stripe->buckets[i], *next; peer; peer = next) {
            next = peer->chain;
            struct peer **bucket = &buckets[peer->hash & (count - 1)];
            peer->chain = *bucket;
            *bucket = peer;
        }
    }
    memory_free(stripe->buckets);
    stripe->buckets = buckets;
    stripe->bucket_count = count;
    return true;
}

/* Needs the stripe's lock. */
static const struct sink *receiver(const struct peer *peer)
{
    return atomic_load_explicit(&peer->active, memory_order_relaxed);
}

/* Needs the stripe's lock. Tells when another one of a key's connections receives than before, or
 * none any more. */
static void tell_move(const struct route_table *table, struct peer *peer, const struct sink *before)
{
    const struct sink *now = receiver(peer);

    if (now == before || !peer->sinks)
        return;
    peer_event_tell(&table->callbacks, now ? HYPERDERP_PEER_MOVED : HYPERDERP_PEER_MUTED, peer,
                    now ? now : peer->sinks);
}

/* Needs the stripe's lock. Finds a key's peer or makes one that is not used yet, and adds a
 * reference for the caller. NULL without memory. */
static struct peer *stripe_take(const struct route_table *table, struct route_stripe *stripe,
                                const hyperderp_key *key, uint64_t hash)
{
    struct peer *peer = stripe_find(stripe, key, hash);

    if (peer) {
        peer_ref(peer);
        return peer;
    }
    peer = stripe_grow(stripe) ? peer_new(key, hash, table->callbacks.peer_event != NULL) : NULL;
    if (!peer)
        return NULL;
    struct peer **bucket = &stripe->buckets[hash & (stripe->bucket_count - 1)];
    peer->chain = *bucket;
    *bucket = peer;
    stripe->peers++;
    return peer;
}

/* Needs the stripe's lock. Takes a peer out that nobody receives for any more. Returns whether it
 * was one. */
static bool stripe_drop(struct route_stripe *stripe, struct peer *peer)
{
    if (peer->sinks || peer->forwarders)
        return false;
    struct peer **at = &stripe->buckets[peer->hash & (stripe->bucket_count - 1)];
    while (*at != peer)
        at = &(*at)->chain;
    *at = peer->chain;
    stripe->peers--;
    return true;
}

int route_join(struct route_table *table, const hyperderp_key *key, struct sink *sink,
               struct peer **out)
{
    uint64_t hash = route_hash(table, key);
    struct route_stripe *stripe = route_stripe_of(table, hash);

    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_take(table, stripe, key, hash);
    if (!peer) {
        pthread_mutex_unlock(&stripe->lock);
        return -ENOMEM;
    }
    if (peer->sinks && (peer->sinks->kind == SINK_LOCAL || sink->kind == SINK_LOCAL)) {
        pthread_mutex_unlock(&stripe->lock);
        peer_unref(peer);
        return -EEXIST;
    }
    const struct sink *before = receiver(peer);
    int result = peer->sinks ? 1 : 0;
    sink_ref(sink);
    duplicate_join(peer, sink);
    if (result == 0)
        peer_event_tell(&table->callbacks, HYPERDERP_PEER_UP, peer, sink);
    else
        tell_move(table, peer, before);
    pthread_mutex_unlock(&stripe->lock);
    *out = peer;
    return result;
}

bool route_leave(struct route_table *table, struct peer *peer, struct sink *sink)
{
    struct route_stripe *stripe = route_stripe_of(table, peer->hash);

    pthread_mutex_lock(&stripe->lock);
    const struct sink *before = receiver(peer);
    duplicate_leave(peer, sink);
    peer_note_past(peer, sink);
    bool last = peer->sinks == NULL;
    if (last) {
        (void)stripe_drop(stripe, peer);
        peer_event_tell(&table->callbacks, HYPERDERP_PEER_DOWN, peer, sink);
    } else {
        tell_move(table, peer, before);
    }
    pthread_mutex_unlock(&stripe->lock);
    sink_unref(sink);
    return last;
}

void route_activate(struct route_table *table, struct peer *peer, struct sink *sink)
{
    struct route_stripe *stripe = route_stripe_of(table, peer->hash);

    pthread_mutex_lock(&stripe->lock);
    const struct sink *before = receiver(peer);
    duplicate_spoke(peer, sink);
    tell_move(table, peer, before);
    pthread_mutex_unlock(&stripe->lock);
}

struct peer *route_find(struct route_table *table, const hyperderp_key *key, struct sink **sink)
{
    uint64_t hash = route_hash(table, key);
    struct route_stripe *stripe = route_stripe_of(table, hash);

    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_find(stripe, key, hash);
    if (peer) {
        peer_ref(peer);
        *sink = atomic_load_explicit(&peer->active, memory_order_relaxed);
        if (*sink)
            sink_ref(*sink);
    }
    pthread_mutex_unlock(&stripe->lock);
    return peer;
}

struct sink *route_find_sink(struct route_table *table, const hyperderp_key *key, uint64_t hash,
                             uint64_t serial)
{
    struct route_stripe *stripe = route_stripe_of(table, hash);

    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_find(stripe, key, hash);
    struct sink *sink = peer ? peer->sinks : NULL;
    while (sink && sink->serial != serial)
        sink = sink->next_of_key;
    if (sink)
        sink_ref(sink);
    pthread_mutex_unlock(&stripe->lock);
    return sink;
}

struct sink *route_find_local(struct route_table *table, const hyperderp_key *key)
{
    uint64_t hash = route_hash(table, key);
    struct route_stripe *stripe = route_stripe_of(table, hash);

    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_find(stripe, key, hash);
    struct sink *sink = peer ? peer->sinks : NULL;
    if (sink)
        sink_ref(sink);
    pthread_mutex_unlock(&stripe->lock);
    return sink;
}

bool route_list_local(struct route_table *table, unsigned number, hyperderp_key **keys,
                      size_t *count)
{
    struct route_stripe *stripe = &table->stripes[number];

    *keys = NULL;
    *count = 0;
    pthread_mutex_lock(&stripe->lock);
    if (stripe->peers > 0)
        *keys = memory_calloc(stripe->peers, sizeof(**keys));
    bool good = *keys || stripe->peers == 0;
    for (unsigned i = 0; *keys && i < stripe->bucket_count; i++)
        for (const struct peer *peer = stripe->buckets[i]; peer; peer = peer->chain)
            if (peer->sinks)
                (*keys)[(*count)++] = peer->key;
    pthread_mutex_unlock(&stripe->lock);
    if (*count == 0) { /* all of them are elsewhere */
        memory_free(*keys);
        *keys = NULL;
    }
    return good;
}

unsigned route_break(struct route_table *table, const hyperderp_key *key)
{
    uint64_t hash = route_hash(table, key);
    struct route_stripe *stripe = route_stripe_of(table, hash);
    unsigned count = 0;

    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_find(stripe, key, hash);
    for (struct sink *sink = peer ? peer->sinks : NULL; sink; sink = sink->next_of_key) {
        if (sink->kind == SINK_LOCAL)
            continue;
        sink_break(sink);
        count++;
    }
    pthread_mutex_unlock(&stripe->lock);
    return count;
}

/* ---- Keys at mesh partners ------------------------------------------------------------------- */

/* Needs the stripe's lock. The place in the peer's list of the forwarder by this sink, or the
 * list's end. */
static struct forwarder **forwarder_place(struct peer *peer, const struct sink *sink)
{
    struct forwarder **at = &peer->forwarders;

    while (*at && (*at)->sink != sink)
        at = &(*at)->next_of_peer;
    return at;
}

int route_forward(struct route_table *table, const hyperderp_key *key, struct sink *sink,
                  struct forwarder **out)
{
    uint64_t hash = route_hash(table, key);
    struct route_stripe *stripe = route_stripe_of(table, hash);
    struct forwarder *forwarder = memory_calloc(1, sizeof(*forwarder));

    if (!forwarder)
        return -ENOMEM;
    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_take(table, stripe, key, hash);
    struct forwarder **place = peer ? forwarder_place(peer, sink) : NULL;
    int result = !peer ? -ENOMEM : *place ? -EEXIST : 0;
    if (result == 0) {
        sink_ref(sink);
        *forwarder = (struct forwarder){.peer = peer, .sink = sink};
        *place = forwarder;
        duplicate_choose(peer);
        *out = forwarder;
    } else if (result == -EEXIST) {
        *out = *place;
    }
    pthread_mutex_unlock(&stripe->lock);
    if (result != 0) {
        peer_unref(peer);
        memory_free(forwarder);
    }
    return result;
}

struct forwarder *route_find_forwarder(struct route_table *table, const hyperderp_key *key,
                                       const struct sink *sink)
{
    uint64_t hash = route_hash(table, key);
    struct route_stripe *stripe = route_stripe_of(table, hash);

    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_find(stripe, key, hash);
    struct forwarder *forwarder = peer ? *forwarder_place(peer, sink) : NULL;
    pthread_mutex_unlock(&stripe->lock);
    return forwarder;
}

bool route_unforward(struct route_table *table, struct forwarder *forwarder, struct peer **out)
{
    struct peer *peer = forwarder->peer;
    struct route_stripe *stripe = route_stripe_of(table, peer->hash);

    pthread_mutex_lock(&stripe->lock);
    *forwarder_place(peer, forwarder->sink) = forwarder->next_of_peer;
    duplicate_choose(peer);
    bool gone = stripe_drop(stripe, peer);
    pthread_mutex_unlock(&stripe->lock);
    sink_unref(forwarder->sink);
    memory_free(forwarder);
    *out = gone ? peer : NULL;
    if (!gone)
        peer_unref(peer);
    return gone;
}
