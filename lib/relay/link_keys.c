/* SPDX-License-Identifier: BSD-3-Clause */
/* A link's part of the route table. */
#include "relay/link_keys.h"

#include <errno.h>

#include "relay/conn.h"
#include "relay/forward.h"
#include "relay/worker.h"

/* Keys taken out in a turn: less than a millisecond. */
#define SWEEP 2048

static void count(struct link *link, int64_t by)
{
    uint64_t before = atomic_load_explicit(&link->key_count, memory_order_relaxed);

    atomic_store_explicit(&link->key_count, before + (uint64_t)by, memory_order_relaxed);
    counters_add(link->worker->counters, COUNTER_mesh_keys, (uint64_t)by);
}

int link_keys_add(struct link *link, const hyperderp_key *key)
{
    struct hyperderp_relay *relay = link->worker->relay;
    struct forwarder *forwarder;

    /* This relay is a client there itself. */
    if (hyperderp_key_equal(key, &relay->public_key))
        return 0;
    if (atomic_load_explicit(&link->key_count, memory_order_relaxed) >= LINK_MAX_KEYS)
        return -ENOSPC;
    int error = route_forward(&relay->routes, key, link->conn->sink, &forwarder);
    if (error)
        return error == -EEXIST ? 0 : error;
    forwarder->prev = NULL;
    forwarder->next = link->keys;
    if (link->keys)
        link->keys->prev = forwarder;
    link->keys = forwarder;
    count(link, 1);
    return 0;
}

/* Takes a forwarder, which is in no list any more, out of the route table. */
static void drop(struct link *link, struct forwarder *forwarder)
{
    struct peer *peer;

    if (!route_unforward(&link->worker->relay->routes, forwarder, &peer))
        return;
    forward_peer_gone(link->worker, peer);
    peer_unref(peer);
}

void link_keys_remove(struct link *link, const hyperderp_key *key)
{
    struct forwarder *forwarder =
        route_find_forwarder(&link->worker->relay->routes, key, link->conn->sink);

    if (!forwarder)
        return;
    if (forwarder->prev)
        forwarder->prev->next = forwarder->next;
    else
        link->keys = forwarder->next;
    if (forwarder->next)
        forwarder->next->prev = forwarder->prev;
    count(link, -1);
    drop(link, forwarder);
}

void link_keys_leave(struct link *link)
{
    struct forwarder *last = link->keys;

    if (!last)
        return;
    count(link, -(int64_t)atomic_load_explicit(&link->key_count, memory_order_relaxed));
    while (last->next)
        last = last->next;
    last->next = link->leaving;
    link->leaving = link->keys;
    link->keys = NULL;
}

bool link_keys_sweep(struct link *link)
{
    for (unsigned i = 0; i < SWEEP && link->leaving; i++) {
        struct forwarder *forwarder = link->leaving;
        link->leaving = forwarder->next;
        drop(link, forwarder);
    }
    return link->leaving != NULL;
}
