/* SPDX-License-Identifier: BSD-3-Clause */
/* The public functions on connected clients: their list, and closing them. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "memory/memory.h"
#include "memory/sized.h"
#include "relay/relay.h"
#include "relay/within.h"
#include "relay/worker.h"
#include "wire/frame.h"
#include "wire/info.h"

struct list {
    char *entries;
    size_t size; /* of an entry, as the caller knows it */
    size_t count, room;
    int64_t now;
};

static char *next_entry(struct list *list)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        char *grown = memory_reallocarray(list->entries, room, list->size);
        if (!grown)
            return NULL;
        list->entries = grown;
        list->room = room;
    }
    return list->entries + list->count++ * list->size;
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* All but the key, and whether it is the one that receives. */
static void describe_sink(struct sink *sink, int64_t now, hyperderp_peer_info *info)
{
    if (now > sink->joined)
        info->connected_ms = (uint64_t)(now - sink->joined) / 1000000;
    endpoint_format(&sink->from, info->address);
    pthread_mutex_lock(&sink->lock);
    for (unsigned kind = 0; kind < FRAME_KINDS; kind++) {
        info->queued_frames += sink->queue.frames[kind];
        info->queued_bytes += sink->queue.bytes[kind];
    }
    pthread_mutex_unlock(&sink->lock);
    _Static_assert(sizeof(info->app_name) > INFO_MAX_APP_NAME, "no name is cut, nor a character");
    if (sink->app_name)
        strncpy(info->app_name, sink->app_name, sizeof(info->app_name) - 1);
    info->worker = sink->worker;
    info->can_ack_pings = sink->can_ack_pings;
    info->websocket = sink->websocket;
    info->is_prober = sink->present_flags & PEER_PRESENT_PROBER;
    info->not_ideal = sink->present_flags & PEER_PRESENT_NOT_IDEAL;
    info->muted = atomic_load_explicit(&sink->share, memory_order_relaxed) == SINK_SHARE_MUTED;
    info->mesh = sink->can_mesh;
    info->home = atomic_load_explicit(&sink->home, memory_order_relaxed);
    info->packets_received = read_counter(&sink->packets_received);
    info->bytes_received = read_counter(&sink->bytes_received);
    info->packets_delivered = read_counter(&sink->packets_delivered);
    info->bytes_delivered = read_counter(&sink->bytes_delivered);
    info->drops = read_counter(&sink->drops);
}

/* To a caller that may know less of the struct, or more. */
static void give(void *out, size_t size, const hyperderp_peer_info *info)
{
    memset(out, 0, size);
    memcpy(out, info, size < sizeof(*info) ? size : sizeof(*info));
}

/* The locks are no part of what the relay is: taking one changes nothing. */
static struct route_table *routes_of(const hyperderp_relay *relay)
{
    return (struct route_table *)(uintptr_t)&relay->routes;
}

/* Needs the stripe's lock. */
static bool list_peer(struct list *list, const struct peer *peer)
{
    const struct sink *active = atomic_load_explicit(&peer->active, memory_order_relaxed);

    for (struct sink *sink = peer->sinks; sink; sink = sink->next_of_key) {
        hyperderp_peer_info info = {.key = peer->key, .active = sink == active};
        char *entry = next_entry(list);
        if (!entry)
            return false;
        describe_sink(sink, list->now, &info);
        give(entry, list->size, &info);
    }
    return true;
}

static bool list_stripe(struct list *list, struct route_stripe *stripe)
{
    bool good = true;

    pthread_mutex_lock(&stripe->lock);
    for (unsigned i = 0; i < stripe->bucket_count; i++)
        for (const struct peer *peer = stripe->buckets[i]; peer && good; peer = peer->chain)
            good = list_peer(list, peer);
    pthread_mutex_unlock(&stripe->lock);
    return good;
}

int hyperderp_relay_peers_sized(const hyperderp_relay *relay, hyperderp_peer_info **out,
                                size_t *count, size_t size)
{
    struct list list = {.size = size, .now = now_ns()};

    if (!relay || !out || !count || size == 0)
        return -EINVAL;
    *out = NULL;
    *count = 0;
    if (size > SIZED_MOST)
        return -E2BIG;
    if (within_relay(&relay->log))
        return -EBUSY;
    for (unsigned i = 0; i < ROUTE_STRIPES; i++) {
        if (!list_stripe(&list, &routes_of(relay)->stripes[i])) {
            memory_free(list.entries);
            return -ENOMEM;
        }
    }
    *out = (hyperderp_peer_info *)(void *)list.entries;
    *count = list.count;
    return 0;
}

int hyperderp_relay_peer_sized(const hyperderp_relay *relay, const hyperderp_key *key,
                               hyperderp_peer_info *out, size_t size)
{
    if (!relay || !key || !out || size == 0)
        return -EINVAL;
    if (size > SIZED_MOST)
        return -E2BIG;
    if (within_relay(&relay->log))
        return -EBUSY;
    struct sink *sink = route_find_local(routes_of(relay), key);
    if (!sink)
        return -ENOENT;
    hyperderp_peer_info info = {.key = *key};
    describe_sink(sink, now_ns(), &info);
    info.active = !info.muted; /* the first one in the list is, if any */
    sink_unref(sink);
    give(out, size, &info);
    return 0;
}

void hyperderp_peers_free(hyperderp_peer_info *peers)
{
    memory_free(peers);
}

int hyperderp_relay_close_peer(hyperderp_relay *relay, const hyperderp_key *key)
{
    if (!relay || !key)
        return -EINVAL;
    if (within_relay(&relay->log))
        return -EBUSY;
    return route_break(&relay->routes, key) > 0 ? 0 : -ENOENT;
}
