/* SPDX-License-Identifier: BSD-3-Clause */
/* Chained hash tables that double as they fill. */
#include "relay/route.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 4

void route_init(struct route_table *table,
                void (*peer_changed)(void *user, const hyperderp_key *peer, bool up), void *user)
{
    memset(table, 0, sizeof(*table));
    table->peer_changed = peer_changed;
    table->user = user;
    randombytes_buf(table->hash_key, sizeof(table->hash_key));
    for (unsigned i = 0; i < ROUTE_STRIPES; i++)
        pthread_mutex_init(&table->stripes[i].lock, NULL);
}

void route_destroy(struct route_table *table)
{
    for (unsigned i = 0; i < ROUTE_STRIPES; i++) {
        free(table->stripes[i].buckets);
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

/* The top bits choose the stripe, the low ones the bucket. */
static struct route_stripe *stripe_of(struct route_table *table, uint64_t hash)
{
    return &table->stripes[hash >> 56];
}

/* Needs the stripe's lock. */
static struct peer *stripe_find(const struct route_stripe *stripe, const hyperderp_key *key,
                                uint64_t hash)
{
    if (stripe->bucket_count == 0)
        return NULL;
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
    struct peer **buckets = calloc(count, sizeof(*buckets));
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
    free(stripe->buckets);
    stripe->buckets = buckets;
    stripe->bucket_count = count;
    return true;
}

/* Needs the stripe's lock. */
static void tell(const struct route_table *table, const struct peer *peer, bool up)
{
    if (table->peer_changed)
        table->peer_changed(table->user, &peer->key, up);
}

/* Needs the stripe's lock. */
static void set_active(struct peer *peer)
{
    atomic_store_explicit(&peer->active, peer->sinks, memory_order_release);
}

/* Needs the stripe's lock. */
static void link_sink(struct peer *peer, struct sink *sink)
{
    sink->prev_of_key = NULL;
    sink->next_of_key = peer->sinks;
    if (peer->sinks)
        peer->sinks->prev_of_key = sink;
    peer->sinks = sink;
    set_active(peer);
}

/* Needs the stripe's lock. No walk: a client may connect one key thousands of times. */
static void unlink_sink(struct peer *peer, struct sink *sink)
{
    if (sink->prev_of_key)
        sink->prev_of_key->next_of_key = sink->next_of_key;
    else
        peer->sinks = sink->next_of_key;
    if (sink->next_of_key)
        sink->next_of_key->prev_of_key = sink->prev_of_key;
}

int route_join(struct route_table *table, const hyperderp_key *key, struct sink *sink,
               struct peer **out)
{
    uint64_t hash = route_hash(table, key);
    struct route_stripe *stripe = stripe_of(table, hash);
    int result = 1;

    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_find(stripe, key, hash);
    if (peer) {
        peer_ref(peer);
    } else {
        peer = stripe_grow(stripe) ? peer_new(key, hash) : NULL;
        if (!peer) {
            pthread_mutex_unlock(&stripe->lock);
            return -ENOMEM;
        }
        struct peer **bucket = &stripe->buckets[hash & (stripe->bucket_count - 1)];
        peer->chain = *bucket;
        *bucket = peer;
        stripe->peers++;
        result = 0;
    }
    sink_ref(sink);
    link_sink(peer, sink);
    if (result == 0)
        tell(table, peer, true);
    pthread_mutex_unlock(&stripe->lock);
    *out = peer;
    return result;
}

bool route_leave(struct route_table *table, struct peer *peer, struct sink *sink)
{
    struct route_stripe *stripe = stripe_of(table, peer->hash);

    pthread_mutex_lock(&stripe->lock);
    unlink_sink(peer, sink);
    set_active(peer);
    bool last = peer->sinks == NULL;
    if (last) {
        struct peer **at = &stripe->buckets[peer->hash & (stripe->bucket_count - 1)];
        while (*at != peer)
            at = &(*at)->chain;
        *at = peer->chain;
        stripe->peers--;
        tell(table, peer, false);
    }
    pthread_mutex_unlock(&stripe->lock);
    sink_unref(sink);
    return last;
}

void route_activate(struct route_table *table, struct peer *peer, struct sink *sink)
{
    struct route_stripe *stripe = stripe_of(table, peer->hash);

    pthread_mutex_lock(&stripe->lock);
    unlink_sink(peer, sink);
    link_sink(peer, sink);
    pthread_mutex_unlock(&stripe->lock);
}

struct peer *route_find(struct route_table *table, const hyperderp_key *key, struct sink **sink)
{
    uint64_t hash = route_hash(table, key);
    struct route_stripe *stripe = stripe_of(table, hash);

    pthread_mutex_lock(&stripe->lock);
    struct peer *peer = stripe_find(stripe, key, hash);
    if (peer) {
        peer_ref(peer);
        *sink = peer->sinks;
        sink_ref(*sink);
    }
    pthread_mutex_unlock(&stripe->lock);
    return peer;
}

struct sink *route_find_sink(struct route_table *table, const hyperderp_key *key, uint64_t hash,
                             uint64_t serial)
{
    struct route_stripe *stripe = stripe_of(table, hash);

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
