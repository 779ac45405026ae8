/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls to local peers, what they send, and their end. */
#include "relay/local.h"

#include <errno.h>
#include <string.h>

#include "memory/memory.h"
#include "memory/sized.h"
#include "relay/forward.h"
#include "relay/forward_mesh.h"
#include "relay/peer.h"
#include "relay/relay.h"
#include "relay/sink.h"
#include "relay/within.h"
#include "relay/worker.h"

/* In calls: none is let in any more. */
#define CLOSED 0x80000000u

/* Sinks get serial numbers of their workers (sink_new()), and these of none. */
#define SERIALS ((uint64_t)(RELAY_MAX_WORKERS + 1) << 48)

struct hyperderp_local_peer {
    struct sink sink; /* first: its last reference frees all of this */

    /* Fixed after creation. */
    struct hyperderp_relay *relay;
    struct peer *peer; /* a reference, until nobody holds it */
    void *user;
    void (*received)(void *user, const hyperderp_key *from, const void *packet, size_t len);
    void (*peer_gone)(void *user, const hyperderp_key *peer, hyperderp_gone_reason reason);

    /* Callbacks that run, and CLOSED. Acquire by who enters and by who waits for 0 behind CLOSED,
     * release by who leaves: what a callback did is done when the removal returns. */
    atomic_uint calls;

    /* One of the embedder, and one of each packet on its way to a worker. Release, then acquire by
     * the last, who tells that it is gone. */
    atomic_uint holds;

    /* Packets on their way to workers, and their bytes. Relaxed: bounds, they order nothing. */
    atomic_uint waiting;
    _Atomic size_t waiting_bytes;

    struct message farewell; /* the embedder's hold, when it is removed */

    /* Guarded by the lock of the relay's list. */
    struct hyperderp_local_peer *next, *prev;
};

/* A packet on its way to the worker of its destination. */
struct local_packet {
    struct message message;            /* first */
    struct hyperderp_local_peer *from; /* held */
    struct peer *to;                   /* a reference */
    struct sink *sink;                 /* a reference */
    size_t size;                       /* bytes of the frame */
    uint8_t frame[];                   /* SendPacket */
};

static struct hyperderp_local_peer *local_of(struct sink *sink)
{
    return (struct hyperderp_local_peer *)sink;
}

static void add_relaxed(_Atomic uint64_t *figure, uint64_t by)
{
    atomic_fetch_add_explicit(figure, by, memory_order_relaxed);
}

void local_init(struct local_peers *locals)
{
    *locals = (struct local_peers){0};
    pthread_mutex_init(&locals->lock, NULL);
    pthread_cond_init(&locals->quiet, NULL);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void leave(struct hyperderp_local_peer *local)
{
    struct local_peers *locals = &local->relay->locals;

    if (atomic_fetch_sub_explicit(&local->calls, 1, memory_order_release) != (CLOSED | 1))
        return;
    pthread_mutex_lock(&locals->lock);
    pthread_cond_broadcast(&locals->quiet);
    pthread_mutex_unlock(&locals->lock);
}

/* Lets a callback begin, unless the local peer is being removed. */
static bool enter(struct hyperderp_local_peer *local)
{
    if (!(atomic_fetch_add_explicit(&local->calls, 1, memory_order_acquire) & CLOSED))
        return true;
    leave(local);
    return false;
}

/* Lets no callback begin any more, and waits for those that run. */
static void close_calls(struct hyperderp_local_peer *local)
{
    struct local_peers *locals = &local->relay->locals;

    atomic_fetch_or_explicit(&local->calls, CLOSED, memory_order_acq_rel);
    pthread_mutex_lock(&locals->lock);
    while (atomic_load_explicit(&local->calls, memory_order_acquire) != CLOSED)
        pthread_cond_wait(&locals->quiet, &locals->lock);
    pthread_mutex_unlock(&locals->lock);
}

void local_receive(struct worker *worker, struct sink *sink, const hyperderp_key *from,
                   const uint8_t *packet, size_t len, enum frame_kind kind)
{
    struct hyperderp_local_peer *local = local_of(sink);

    if (!enter(local)) {
        sink_count_drop(worker, sink, worker->index, kind, HYPERDERP_DROP_GONE);
        return;
    }
    counters_add(worker->counters, COUNTER_packets_delivered, 1);
    add_relaxed(&sink->packets_delivered, 1);
    add_relaxed(&sink->bytes_delivered, FRAME_PACKET_OVERHEAD + len);
    local->received(local->user, from, packet, len);
    leave(local);
}

void local_peer_gone(struct sink *sink, const hyperderp_key *peer, enum peer_gone_reason reason)
{
    struct hyperderp_local_peer *local = local_of(sink);

    if (!local->peer_gone || relay_phase(local->relay) >= RELAY_DRAINING || !enter(local))
        return;
    local->peer_gone(local->user, peer,
                     reason == PEER_GONE_NOT_HERE ? HYPERDERP_GONE_NOT_HERE : HYPERDERP_GONE_LEFT);
    leave(local);
}

/* ---- Holds ----------------------------------------------------------------------------------- */

/* Whether a key is nowhere in the region. */
static bool is_gone(struct worker *worker, const hyperderp_key *key)
{
    struct sink *sink = NULL;
    struct peer *peer = route_find(&worker->relay->routes, key, &sink);
    bool gone = peer == NULL;

    peer_unref(peer);
    sink_unref(sink);
    return gone;
}

/* The last tells those that it has sent to, unless its key has come again; nobody is told where no
 * worker lets go. */
static void let_go(struct worker *worker, struct hyperderp_local_peer *local)
{
    if (atomic_fetch_sub_explicit(&local->holds, 1, memory_order_acq_rel) > 1)
        return;
    if (worker && is_gone(worker, &local->peer->key))
        forward_peer_gone(worker, local->peer);
    peer_unref(local->peer);
    sink_unref(&local->sink);
}

static void farewell_arrived(struct worker *worker, struct message *message)
{
    let_go(worker,
           (struct hyperderp_local_peer *)((char *)message -
                                           offsetof(struct hyperderp_local_peer, farewell)));
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void give_back(struct hyperderp_local_peer *local, size_t bytes)
{
    atomic_fetch_sub_explicit(&local->waiting, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&local->waiting_bytes, bytes, memory_order_relaxed);
}

/* What a packet has taken is there again. */
static void release(struct hyperderp_local_peer *local, size_t bytes)
{
    give_back(local, bytes);
    frame_depot_release(&local->relay->frames, bytes);
}

/* Takes room for a packet on its way, of the local peer's share and of the relay's memory. */
static bool reserve(struct hyperderp_local_peer *local, size_t bytes)
{
    struct hyperderp_relay *relay = local->relay;
    const struct outq_limits limits = limits_queue(&relay->limits);
    unsigned packets = atomic_fetch_add_explicit(&local->waiting, 1, memory_order_relaxed) + 1;
    size_t all =
        atomic_fetch_add_explicit(&local->waiting_bytes, bytes, memory_order_relaxed) + bytes;

    if (packets <= limits.frames && all <= limits.bytes &&
        frame_depot_reserve(&relay->frames, bytes, FRAME_USE_WAITING))
        return true;
    give_back(local, bytes);
    add_relaxed(&relay->locals.refused, 1);
    return false;
}

static size_t packet_bytes(const struct local_packet *packet)
{
    return sizeof(*packet) + packet->size;
}

/* Frees a packet with all it holds; worker as in let_go(). */
static void packet_free(struct worker *worker, struct local_packet *packet)
{
    struct hyperderp_local_peer *from = packet->from;

    peer_unref(packet->to);
    sink_unref(packet->sink);
    memory_free(packet);
    let_go(worker, from);
}

static void to_client(struct worker *worker, const struct local_packet *packet,
                      enum frame_kind kind)
{
    struct frame *frame =
        frame_alloc(&worker->frames, packet->size, FRAME_USE_WAITING, worker->index);

    if (!frame) {
        sink_count_drop(worker, packet->sink, worker->index, kind, HYPERDERP_DROP_MEMORY);
        return;
    }
    memcpy(frame->data, packet->frame, packet->size);
    frame->data[0] = FRAME_RECV_PACKET;
    memcpy(frame->data + FRAME_HEADER_SIZE, packet->from->peer->key.bytes, HYPERDERP_KEY_SIZE);
    frame->kind = (uint8_t)kind;
    (void)sink_push(worker, packet->sink, frame);
}

/* The destination may have left since it was found: then who looks for a path to it is told, as a
 * client would be. */
static void tell_if_gone(struct worker *worker, const struct local_packet *packet)
{
    if (!atomic_load_explicit(&packet->to->active, memory_order_acquire) &&
        is_gone(worker, &packet->to->key))
        local_peer_gone(&packet->from->sink, &packet->to->key, PEER_GONE_NOT_HERE);
}

static void packet_arrived(struct worker *worker, struct message *message)
{
    struct local_packet *packet = (struct local_packet *)message;
    struct hyperderp_local_peer *from = packet->from;
    const uint8_t *content = packet->frame + FRAME_PACKET_OVERHEAD;
    size_t len = packet->size - FRAME_PACKET_OVERHEAD;
    enum frame_kind kind = packet_is_disco(content, len) ? FRAME_KIND_DISCO : FRAME_KIND_DATA;

    counters_add(worker->counters, COUNTER_packets_received, 1);
    add_relaxed(&from->sink.packets_received, 1);
    add_relaxed(&from->sink.bytes_received, packet->size);
    release(from, packet_bytes(packet));
    if (packet->sink->kind == SINK_LOCAL)
        local_receive(worker, packet->sink, &from->peer->key, content, len, kind);
    else if (packet->sink->kind == SINK_LINK)
        forward_to_link(worker, &from->peer->key, packet->sink, packet->frame, packet->size, kind);
    else
        to_client(worker, packet, kind);
    if (kind == FRAME_KIND_DISCO)
        tell_if_gone(worker, packet);
    packet_free(worker, packet);
}

/* Takes references of its own to the destination. 0 or as hyperderp_local_peer_send(). */
static int packet_new(struct local_packet **out, struct hyperderp_local_peer *local,
                      struct peer *to, struct sink *sink, const void *content, size_t len)
{
    size_t size = FRAME_PACKET_OVERHEAD + len, bytes = sizeof(struct local_packet) + size;

    if (!reserve(local, bytes))
        return -ENOBUFS;
    struct local_packet *packet = memory_alloc(bytes);
    if (!packet) {
        release(local, bytes);
        return -ENOMEM;
    }
    *packet = (struct local_packet){
        .message.deliver = packet_arrived, .from = local, .to = to, .sink = sink, .size = size};
    frame_header_encode(packet->frame, FRAME_SEND_PACKET, (uint32_t)(size - FRAME_HEADER_SIZE));
    memcpy(packet->frame + FRAME_HEADER_SIZE, to->key.bytes, HYPERDERP_KEY_SIZE);
    if (len > 0)
        memcpy(packet->frame + FRAME_PACKET_OVERHEAD, content, len);
    peer_ref(to);
    sink_ref(sink);
    atomic_fetch_add_explicit(&local->holds, 1, memory_order_relaxed);
    *out = packet;
    return 0;
}

static int send_to(struct hyperderp_local_peer *local, struct peer *to, struct sink *sink,
                   const void *content, size_t len)
{
    struct local_packet *packet;
    int error = packet_new(&packet, local, to, sink, content, len);

    if (error)
        return error;
    if (sink->kind != SINK_LINK) /* its own relay tells who is there */
        (void)peer_note_recipient(local->peer, to, sink);
    if (worker_post(local->relay->workers[sink->worker], &packet->message))
        return 0;
    /* The worker has ended. */
    release(local, packet_bytes(packet));
    packet_free(NULL, packet);
    return -ESHUTDOWN;
}

int hyperderp_local_peer_send(hyperderp_local_peer *local, const hyperderp_key *to,
                              const void *packet, size_t len)
{
    struct sink *sink = NULL;

    if (!local || !to || (!packet && len > 0))
        return -EINVAL;
    if (len > HYPERDERP_MAX_PACKET)
        return -EMSGSIZE;
    enum relay_phase phase = relay_phase(local->relay);
    if (phase == RELAY_NEW || phase >= RELAY_DRAINING)
        return phase == RELAY_NEW ? -EBUSY : -ESHUTDOWN;
    if (within_place(&local->relay->log, WITHIN_EVENT)) /* the look-up would wait for itself */
        return -EBUSY;
    struct peer *peer = route_find(&local->relay->routes, to, &sink);
    if (!peer)
        return -ENOENT;
    int error = sink ? send_to(local, peer, sink, packet, len) : -EHOSTUNREACH;
    peer_unref(peer);
    sink_unref(sink);
    return error;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static int read_options(hyperderp_local_peer_options *out, const hyperderp_relay *relay,
                        const hyperderp_local_peer_options *given)
{
    *out = (hyperderp_local_peer_options){0};
    int error = sized_read(out, sizeof(*out), given);
    if (error)
        return error;
    return !out->received || hyperderp_key_is_zero(&out->key) ||
                   hyperderp_key_equal(&out->key, &relay->public_key)
               ? -EINVAL
               : 0;
}

static struct hyperderp_local_peer *make(hyperderp_relay *relay,
                                         const hyperderp_local_peer_options *options)
{
    struct local_peers *locals = &relay->locals;
    struct hyperderp_local_peer *local = memory_calloc(1, sizeof(*local));

    if (!local)
        return NULL;
    pthread_mutex_lock(&locals->lock);
    uint64_t serial = ++locals->last_serial;
    pthread_mutex_unlock(&locals->lock);
    sink_init(&local->sink, SINK_LOCAL, (uint16_t)(serial % relay->worker_count), SERIALS | serial);
    local->sink.from.kind = ENDPOINT_LOCAL;
    local->sink.present_flags = PEER_PRESENT_REGULAR;
    local->sink.joined = worker_clock();
    local->relay = relay;
    local->user = options->user;
    local->received = options->received;
    local->peer_gone = options->peer_gone;
    local->farewell.deliver = farewell_arrived;
    atomic_init(&local->calls, 0);
    atomic_init(&local->holds, 1);
    return local;
}

/* The worker that delivers what is sent to it, and tells that it has gone. */
static struct worker *home_of(const struct hyperderp_local_peer *local)
{
    return local->relay->workers[local->sink.worker];
}

int hyperderp_relay_add_local_peer(hyperderp_relay *relay,
                                   const hyperderp_local_peer_options *given,
                                   hyperderp_local_peer **out)
{
    hyperderp_local_peer_options options;

    if (out)
        *out = NULL;
    if (!relay || !out)
        return -EINVAL;
    int error = read_options(&options, relay, given);
    if (error)
        return error;
    if (within_relay(&relay->log) || relay_phase(relay) >= RELAY_DRAINING)
        return -EBUSY;
    struct hyperderp_local_peer *local = make(relay, &options);
    if (!local)
        return -ENOMEM;
    error = route_join(&relay->routes, &options.key, &local->sink, &local->peer);
    if (error) {
        sink_unref(&local->sink);
        return error;
    }
    pthread_mutex_lock(&relay->locals.lock);
    local->next = relay->locals.first;
    if (local->next)
        local->next->prev = local;
    relay->locals.first = local;
    pthread_mutex_unlock(&relay->locals.lock);
    add_relaxed(&relay->locals.count, 1);
    watch_note(home_of(local), &options.key);
    *out = local;
    return 0;
}

/* Nobody finds it any more, and no callback of it runs. */
static void retire(struct hyperderp_local_peer *local)
{
    struct hyperderp_relay *relay = local->relay;

    pthread_mutex_lock(&relay->locals.lock);
    if (local->prev)
        local->prev->next = local->next;
    else
        relay->locals.first = local->next;
    if (local->next)
        local->next->prev = local->prev;
    pthread_mutex_unlock(&relay->locals.lock);
    add_relaxed(&relay->locals.count, (uint64_t)-1);
    (void)route_leave(&relay->routes, local->peer, &local->sink);
    watch_note(home_of(local), &local->peer->key);
    close_calls(local);
}

void hyperderp_local_peer_remove(hyperderp_local_peer *local)
{
    if (!local || within_refuses(&local->relay->log, "hyperderp_local_peer_remove"))
        return;
    retire(local);
    /* A relay that drains tells nobody who has gone, and one that does not run cannot. */
    enum relay_phase phase = relay_phase(local->relay);
    bool runs = phase == RELAY_RUNNING || phase == RELAY_LEAVING;
    if (!runs || !worker_post(home_of(local), &local->farewell))
        let_go(NULL, local);
}

void local_destroy(struct hyperderp_relay *relay)
{
    while (relay->locals.first) {
        struct hyperderp_local_peer *local = relay->locals.first;
        retire(local);
        let_go(NULL, local);
    }
    pthread_cond_destroy(&relay->locals.quiet);
    pthread_mutex_destroy(&relay->locals.lock);
}
