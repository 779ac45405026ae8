/* SPDX-License-Identifier: BSD-3-Clause */
/* Who receives for a key with several connections, and what they are told. */
#include "relay/duplicate.h"

#include "relay/route.h"
#include "relay/worker.h"
#include "wire/frame.h"

static const char problem[] =
    "Another client is connected to this DERP relay with the same node key, and both send: neither "
    "receives anything until one of them has left. Was this machine copied from another one?";

_Static_assert(sizeof(problem) <= FRAME_MAX_HEALTH - FRAME_HEADER_SIZE, "it fits into the frame");

/* ---- Shares ---------------------------------------------------------------------------------- */

static enum sink_share share_of(const struct sink *sink)
{
    return (enum sink_share)atomic_load_explicit(&sink->share, memory_order_relaxed);
}

static void set_share(struct sink *sink, enum sink_share share)
{
    atomic_store_explicit(&sink->share, (uint8_t)share, memory_order_relaxed);
}

static bool is_muted(const struct sink *sink)
{
    return share_of(sink) == SINK_SHARE_MUTED;
}

/* Those that came after a fight stand in front of those that had it, in whatever fight of their own
 * they are: so this looks at each muted connection once. */
static void mute_all(struct peer *peer)
{
    for (struct sink *sink = peer->sinks; sink && !is_muted(sink); sink = sink->next_of_key)
        set_share(sink, SINK_SHARE_MUTED);
    atomic_store_explicit(&peer->health_due, true, memory_order_relaxed);
}

/* ---- The list -------------------------------------------------------------------------------- */

static void push(struct peer *peer, struct sink *sink)
{
    sink->prev_of_key = NULL;
    sink->next_of_key = peer->sinks;
    if (peer->sinks)
        peer->sinks->prev_of_key = sink;
    peer->sinks = sink;
}

static void take(struct peer *peer, struct sink *sink)
{
    if (sink->prev_of_key)
        sink->prev_of_key->next_of_key = sink->next_of_key;
    else
        peer->sinks = sink->next_of_key;
    if (sink->next_of_key)
        sink->next_of_key->prev_of_key = sink->prev_of_key;
}

static void to_front(struct peer *peer, struct sink *sink)
{
    take(peer, sink);
    push(peer, sink);
}

/* The connection that sent last, of several. */
static struct sink *last_speaker(const struct peer *peer)
{
    struct sink *front = peer->sinks;

    return share_of(front) == SINK_SHARE_NEW ? front->next_of_key : front;
}

void duplicate_choose(struct peer *peer)
{
    struct sink *sink = peer->sinks;

    if (!sink && peer->forwarders)
        sink = peer->forwarders->sink;
    else if (sink && is_muted(sink))
        sink = NULL;
    atomic_store_explicit(&peer->active, sink, memory_order_release);
}

void duplicate_join(struct peer *peer, struct sink *sink)
{
    struct sink *before = peer->sinks;

    if (!before || is_muted(before)) {
        set_share(sink, SINK_SHARE_NONE);
    } else if (share_of(before) == SINK_SHARE_NONE) {
        set_share(sink, before->next_of_key ? SINK_SHARE_SPOKE : SINK_SHARE_NEW);
        set_share(before, SINK_SHARE_SPOKE);
    } else {
        set_share(sink, SINK_SHARE_SPOKE);
    }
    push(peer, sink);
    duplicate_choose(peer);
}

void duplicate_leave(struct peer *peer, struct sink *sink)
{
    bool was_front = peer->sinks == sink;

    take(peer, sink);
    struct sink *front = peer->sinks;
    if (front && !front->next_of_key) {
        if (is_muted(front))
            atomic_store_explicit(&peer->health_due, true, memory_order_relaxed);
        set_share(front, SINK_SHARE_NONE);
    } else if (front && was_front) {
        to_front(peer, last_speaker(peer));
    }
    duplicate_choose(peer);
}

void duplicate_spoke(struct peer *peer, struct sink *sink)
{
    enum sink_share share = share_of(sink);

    /* Looked at before without the lock. */
    if (share != SINK_SHARE_NEW && share != SINK_SHARE_SPOKE)
        return;
    if (share == SINK_SHARE_SPOKE && last_speaker(peer) != sink) {
        mute_all(peer);
    } else {
        set_share(sink, SINK_SHARE_SPOKE);
        to_front(peer, sink);
    }
    duplicate_choose(peer);
}

/* ---- Health ---------------------------------------------------------------------------------- */

/* Needs the stripe's lock, so that two workers tell in the order of what they tell. */
static void tell(struct worker *worker, struct sink *sink, bool muted)
{
    struct frame *frame =
        frame_alloc(&worker->frames, FRAME_MAX_HEALTH, FRAME_USE_CONTROL, worker->index);

    sink->told_muted = muted;
    counters_add(worker->counters, COUNTER_muted_connections, muted ? 1 : (uint64_t)-1);
    if (!frame) {
        counters_add(worker->counters, COUNTER_control_drops, 1);
        return;
    }
    frame->size = (uint32_t)frame_encode_health(frame->data, muted ? problem : "");
    if (sink_push(worker, sink, frame))
        counters_add(worker->counters, COUNTER_health_frames, 1);
}

void duplicate_tell(struct worker *worker, struct peer *peer)
{
    if (!atomic_exchange_explicit(&peer->health_due, false, memory_order_relaxed))
        return;
    struct route_stripe *stripe = route_stripe_of(&worker->relay->routes, peer->hash);
    pthread_mutex_lock(&stripe->lock);
    for (struct sink *sink = peer->sinks; sink; sink = sink->next_of_key) {
        bool muted = is_muted(sink);
        if (muted && sink->told_muted)
            break; /* and so are those behind it */
        if (muted != sink->told_muted)
            tell(worker, sink, muted);
    }
    pthread_mutex_unlock(&stripe->lock);
}
