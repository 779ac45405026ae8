/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connections of a key, and which of them receives: the one that joined or sent last. One that
 * sends again after another has sent is not the rest of an earlier life of its client: two clients
 * have the same key, as copies of a machine do. From then on none of the key's connections
 * receives, until all but one have left; they are told by a Health frame, and the last one is told
 * that it is over. One that joins meanwhile receives, and what it sends is no turn of that fight.
 *
 * Who fights is decided as derper decides it where it is told to (disableFighters). It keeps a list
 * of those that have sent, in which the first connection and all from the third on stand as soon as
 * another joins, and only the second must send for it. Here the list of all connections is in that
 * order, and the sink's share tells who is no part of the other (there is one at most).
 */
#ifndef RELAY_DUPLICATE_H
#define RELAY_DUPLICATE_H

#include <stdbool.h>

#include "relay/peer.h"

struct worker;

/*
 * Tells whether something that a connection has sent may change who receives: then route_activate()
 * is to be called. Without the lock, and nearly always false: the loads are relaxed, as what they
 * see too late is seen with the next frame.
 */
static inline bool duplicate_is_news(const struct peer *peer, const struct sink *sink)
{
    switch ((enum sink_share)atomic_load_explicit(&sink->share, memory_order_relaxed)) {
    case SINK_SHARE_NEW:
        return true;
    case SINK_SHARE_SPOKE:
        return atomic_load_explicit(&peer->active, memory_order_relaxed) != sink;
    default:
        return false;
    }
}

/* The next four need the stripe's lock. */

/* Sets the sink that receives for a key, which has lost or won connections or forwarders. A key in
 * a fight is not at a mesh partner's: it is here, and receives nothing. */
void duplicate_choose(struct peer *peer);

/* Takes a connection into its key's list. */
void duplicate_join(struct peer *peer, struct sink *sink);

/* Takes it out. No walk: a client may connect one key thousands of times. */
void duplicate_leave(struct peer *peer, struct sink *sink);

/* Notes that a connection has sent something. */
void duplicate_spoke(struct peer *peer, struct sink *sink);

/* Sends a Health frame to each connection of a key that has been muted or is so no longer, if there
 * are any. Without the lock; after each call that may have changed that. */
void duplicate_tell(struct worker *worker, struct peer *peer);

#endif
