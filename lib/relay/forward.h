/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of a packet from the connection that sent it to its destination, and what peers are told
 * when there is none. */
#ifndef RELAY_FORWARD_H
#define RELAY_FORWARD_H

#include "relay/conn.h"
#include "relay/peer.h"

/* PeerGone "not here" frames that a client gets at once, and then one a second (derper's
 * figures). */
#define FORWARD_GONE_BURST       3
#define FORWARD_GONE_INTERVAL_NS 1000000000

/*
 * Passes on a whole SendPacket frame whose length has been checked, rewriting it in place to a
 * RecvPacket. It lies in a receive chunk, or is a frame of the pool, whose ownership passes.
 */
void forward_chunk(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t size);
void forward_frame(struct conn *conn, struct frame *frame);

/* A key has lost its last connection here: tells watchers, and, if it is nowhere in the region any
 * more, those that it has sent to. */
void forward_peer_left(struct worker *worker, struct peer *peer);

/* A key has left the region: tells those here that it has sent to. */
void forward_peer_gone(struct worker *worker, struct peer *peer);

/* Nobody receives for that key. Where nobody of it is here the sender of a disco packet is told, as
 * it means to find a path to the peer. */
void forward_refuse(struct conn *conn, const uint8_t *key, enum frame_kind kind,
                    hyperderp_drop_reason why);

/* Why nobody receives for a key that has been looked up. */
static inline hyperderp_drop_reason forward_why(const struct peer *peer)
{
    return peer ? HYPERDERP_DROP_DUPLICATE_KEY : HYPERDERP_DROP_UNKNOWN_PEER;
}

/* Lets go of the destinations that a connection has at hand. */
void forward_forget(struct conn *conn);

#endif
