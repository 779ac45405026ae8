/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling the embedder what becomes of keys. */
#ifndef RELAY_PEER_EVENT_H
#define RELAY_PEER_EVENT_H

#include <hyperderp/relay.h>

struct log;
struct peer;
struct sink;

/* As in hyperderp_relay_options; each may be NULL. */
struct peer_callbacks {
    const struct log *log; /* of the relay, see within.h */
    void *user;
    void (*peer_changed)(void *user, const hyperderp_key *peer, bool up);
    void (*peer_event)(void *user, const hyperderp_peer_event *event);
};

/* Tells of an event that this connection of the key stands for. Needs the lock of the key's stripe
 * of the route table. */
void peer_event_tell(const struct peer_callbacks *callbacks, hyperderp_peer_event_type type,
                     struct peer *peer, const struct sink *sink);

#endif
