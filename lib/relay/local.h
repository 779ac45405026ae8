/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Local peers: keys whose packets are given to functions of the embedder. One has a sink, by which
 * senders find it like any other destination, but there is nothing behind it: the worker that has
 * a packet for it calls. What it sends goes as a message to the worker of the destination, from
 * whatever thread, and is pushed there.
 */
#ifndef RELAY_LOCAL_H
#define RELAY_LOCAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <hyperderp/local.h>

#include "relay/frame_pool.h"
#include "wire/frame.h"

struct hyperderp_relay;
struct sink;
struct worker;

/* The relay's. */
struct local_peers {
    pthread_mutex_t lock; /* guards what follows; a leaf */
    pthread_cond_t quiet; /* the last callback of a local peer that is being removed has returned */
    struct hyperderp_local_peer *first;
    uint64_t last_serial; /* of sinks */

    /* Relaxed: figures, they order nothing. */
    _Atomic uint64_t count, refused;
};

void local_init(struct local_peers *locals);

/* Removes those that are left; when no worker runs any more. */
void local_destroy(struct hyperderp_relay *relay);

/* Gives a packet to the local peer that has this sink: it counts as delivered, or as dropped when
 * that is being removed. With no lock held. */
void local_receive(struct worker *worker, struct sink *sink, const hyperderp_key *from,
                   const uint8_t *packet, size_t len, enum frame_kind kind);

/* Tells the local peer that has this sink that another one is not there. With no lock held. */
void local_peer_gone(struct sink *sink, const hyperderp_key *peer, enum peer_gone_reason reason);

#endif
