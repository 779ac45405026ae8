/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer: a node key that is connected here or at a mesh partner, and who receives for it. */
#ifndef RELAY_PEER_H
#define RELAY_PEER_H

#include <pthread.h>
#include <stdatomic.h>

#include "relay/recipients.h"
#include "relay/sink.h"

/* A key at a mesh partner: packets for it may go by the link's sink. Made by the link's worker. */
struct forwarder {
    /* Fixed after creation. */
    struct peer *peer; /* a reference */
    struct sink *sink; /* a reference */

    /* Guarded by the lock of the stripe of the peer's key. */
    struct forwarder *next_of_peer;

    /* Owned by the link's worker. */
    struct forwarder *next, *prev; /* of the link */
};

/* What a key's connections have done that have left it, for the event that tells of its end. */
struct peer_past {
    int64_t since; /* CLOCK_MONOTONIC in ns: when its first connection joined; 0: none has */
    uint64_t packets_received, bytes_received;
    uint64_t packets_delivered, bytes_delivered;
    uint64_t drops;
};

/* Fields stand as they pack best: there is one for each client (docs/performance.md). */
struct peer {
    /* Fixed after creation. */
    hyperderp_key key;
    uint64_t hash; /* keyed, of key */

    /* One for each connection of the key and for each sender that has it at hand. */
    atomic_uint refs;

    bool has_past; /* fixed after creation */

    /* Some of the connections are to be told that they have been muted, or are so no longer. Set
     * under the stripe's lock, taken without, relaxed: whoever tells takes the lock first. */
    atomic_bool health_due;

    /* The sink that receives: of a connection of the key, or, without any, of a link to a mesh
     * partner; NULL while the key's connections fight (duplicate.h), and once the peer is out of
     * the table. Changed under the lock of the key's stripe of the route table. Read with acquire
     * by senders, to see whether the sink that they have at hand is still the one: it is only
     * compared, never followed. */
    _Atomic(struct sink *) active;

    /* Guarded by the stripe's lock. */
    struct peer *chain;           /* the next in the bucket */
    struct sink *sinks;           /* all connections, in the order of duplicate.h */
    struct forwarder *forwarders; /* mesh partners that have the key, the oldest in front */

    /* Guarded by lock, a leaf. */
    pthread_mutex_t lock;
    struct recipients recipients;

    /* Guarded by the stripe's lock. One, or none where nobody wants to hear of it. */
    struct peer_past past[];
};

/* Makes a peer that nobody can find yet. NULL when memory is out. */
struct peer *peer_new(const hyperderp_key *key, uint64_t hash, bool has_past);

static inline void peer_ref(struct peer *peer)
{
    atomic_fetch_add_explicit(&peer->refs, 1, memory_order_relaxed);
}

/* Frees the peer with the last reference. NULL is allowed. */
void peer_unref(struct peer *peer);

/* Remembers that this peer has sent to another one's connection. Tells whether that took memory. */
bool peer_note_recipient(struct peer *peer, const struct peer *to, const struct sink *sink);

/* Notes what a connection that leaves has done; needs the stripe's lock. */
void peer_note_past(struct peer *peer, const struct sink *sink);

/* Takes all that was remembered; the caller destroys it. */
struct recipients peer_take_recipients(struct peer *peer);

#endif
