/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The route table: node key -> peer. 256 stripes, each with a lock and a hash table of its own,
 * hashed with SipHash under a random key, as clients choose their keys. In steady state senders
 * have their destinations at hand and do not come here.
 */
#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "relay/peer.h"
#include "relay/peer_event.h"

#define ROUTE_STRIPES 256

struct route_stripe {
    /* Guards the buckets, and of the peers in them: active (writes), chain, sinks, forwarders. The
     * sinks' links too. Before a peer's or a sink's own lock. */
    _Alignas(64) pthread_mutex_t lock;
    struct peer **buckets;
    unsigned bucket_count; /* a power of two, or 0 */
    unsigned peers;
};

struct route_table {
    /* Fixed after creation. */
    uint8_t hash_key[16];
    struct peer_callbacks callbacks;

    struct route_stripe stripes[ROUTE_STRIPES];
};

/* The top bits of a key's hash choose its stripe. */
static inline struct route_stripe *route_stripe_of(struct route_table *table, uint64_t hash)
{
    return &table->stripes[hash >> 56];
}

/* The callbacks are called under the lock of the key's stripe: so the calls for one key, by
 * whatever workers, come in the order of what they tell. */
void route_init(struct route_table *table, const struct peer_callbacks *callbacks);
void route_destroy(struct route_table *table);

/*
 * Makes a sink the active one of its key. *peer receives the key's peer with a reference for the
 * caller; the table keeps a reference to the sink until route_leave(). Returns 0 when it is the
 * key's only one, 1 when there are others; -EEXIST when one of them is a local peer's, which shares
 * its key with nobody; -ENOMEM.
 */
int route_join(struct route_table *table, const hyperderp_key *key, struct sink *sink,
               struct peer **peer);

/* Takes a sink out. Returns true when it was its key's last: then nobody finds the peer any more,
 * unless it is at a mesh partner, too. Otherwise another sink may be the active one, and
 * duplicate_tell() is to follow. */
bool route_leave(struct route_table *table, struct peer *peer, struct sink *sink);

/* Notes that a connection of a key has sent something: it becomes the active one, or none is
 * (duplicate.h). duplicate_tell() is to follow. */
void route_activate(struct route_table *table, struct peer *peer, struct sink *sink);

/* Looks up a key. Returns its peer and stores its active sink, which may be a link's, or NULL when
 * nobody receives (duplicate.h); each with a reference for the caller. NULL when there is no such
 * peer. */
struct peer *route_find(struct route_table *table, const hyperderp_key *key, struct sink **sink);

/* The sink of the key's connection that receives, or of one of them while none does, with a
 * reference for the caller; NULL when it has none here, wherever else it is. */
struct sink *route_find_local(struct route_table *table, const hyperderp_key *key);

/* Lists the keys of a stripe that have connections here, for the caller to free. False without
 * memory. */
bool route_list_local(struct route_table *table, unsigned stripe, hyperderp_key **keys,
                      size_t *count);

/* Breaks all connections of a key: each ends when its worker sees that. Returns their number; a
 * local peer has none. */
unsigned route_break(struct route_table *table, const hyperderp_key *key);

/*
 * Notes that a key is at the mesh partner to which this link's sink leads, behind the partners that
 * said so before; connections here come first in any case. *out receives the forwarder, for
 * route_unforward(). 0; -EEXIST when that is known already, *out being the one that there is;
 * -ENOMEM.
 */
int route_forward(struct route_table *table, const hyperderp_key *key, struct sink *sink,
                  struct forwarder **out);

/* The forwarder of a key by this sink, or NULL. For the link's worker, as others could free it. */
struct forwarder *route_find_forwarder(struct route_table *table, const hyperderp_key *key,
                                       const struct sink *sink);

/* Takes a forwarder out, with its references. Returns true when the key now is nowhere: *peer is
 * then the peer, with a reference for the caller. */
bool route_unforward(struct route_table *table, struct forwarder *forwarder, struct peer **peer);

/* Finds a certain connection of a key. Returns its sink with a reference for the caller, or
 * NULL. */
struct sink *route_find_sink(struct route_table *table, const hyperderp_key *key, uint64_t hash,
                             uint64_t serial);

#endif
