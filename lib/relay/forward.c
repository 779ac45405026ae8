/* SPDX-License-Identifier: BSD-3-Clause */
/* Forwarding of packets. */
#include "relay/forward.h"

#include <string.h>

#include "relay/forward_mesh.h"
#include "relay/local.h"
#include "relay/sink.h"
#include "relay/worker.h"
#include "wire/key.h"

static void forget(struct destination *destination)
{
    peer_unref(destination->peer);
    sink_unref(destination->sink);
    *destination = (struct destination){0};
}

void forward_forget(struct conn *conn)
{
    for (unsigned i = 0; i < CONN_DESTINATIONS; i++)
        forget(&conn->destinations[i]);
}

/*
 * The sink that receives for a key, or NULL and why. In steady state the connection has it at hand,
 * with references, and only has to see that the peer has not changed to another connection since.
 */
static struct sink *find_destination(struct conn *conn, const uint8_t *key,
                                     hyperderp_drop_reason *why)
{
    struct destination *at_hand = &conn->destinations[key[0] % CONN_DESTINATIONS];
    struct worker *worker = conn->worker;
    hyperderp_key wanted;

    if (at_hand->peer && key_same(&at_hand->peer->key, key) &&
        atomic_load_explicit(&at_hand->peer->active, memory_order_acquire) == at_hand->sink)
        return at_hand->sink;
    memcpy(wanted.bytes, key, sizeof(wanted.bytes));
    struct sink *sink = NULL;
    struct peer *peer = route_find(&worker->relay->routes, &wanted, &sink);
    *why = forward_why(peer);
    if (!sink) {
        peer_unref(peer);
        return NULL;
    }
    if (sink->kind != SINK_LINK) /* its own relay tells who is there */
        counters_add(worker->counters, COUNTER_packet_allocations,
                     peer_note_recipient(conn->peer, peer, sink));
    forget(at_hand);
    *at_hand = (struct destination){.peer = peer, .sink = sink};
    return sink;
}

static void send_peer_gone(struct worker *worker, struct sink *sink, const hyperderp_key *peer,
                           enum peer_gone_reason reason)
{
    struct frame *frame =
        frame_alloc(&worker->frames, FRAME_PEER_GONE_SIZE, FRAME_USE_CONTROL, worker->index);
    if (!frame) {
        counters_add(worker->counters, COUNTER_control_drops, 1);
        return;
    }
    (void)frame_encode_peer_gone(frame->data, peer, reason);
    if (sink_push(worker, sink, frame))
        counters_add(worker->counters, COUNTER_peer_gone_frames, 1);
}

static bool take_gone_token(struct conn *conn)
{
    int64_t passed = (conn->worker->now - conn->gone_counted) / FORWARD_GONE_INTERVAL_NS;

    if (conn->gone_tokens == FORWARD_GONE_BURST) {
        conn->gone_counted = conn->worker->now;
    } else if (passed > 0) {
        int64_t tokens = conn->gone_tokens + passed;
        conn->gone_tokens = tokens > FORWARD_GONE_BURST ? FORWARD_GONE_BURST : (uint8_t)tokens;
        conn->gone_counted += passed * FORWARD_GONE_INTERVAL_NS;
    }
    if (conn->gone_tokens == 0)
        return false;
    conn->gone_tokens--;
    return true;
}

void forward_refuse(struct conn *conn, const uint8_t *key, enum frame_kind kind,
                    hyperderp_drop_reason why)
{
    struct counters *counters = conn->worker->counters;
    hyperderp_key peer;

    counters_drop(counters, why, (hyperderp_packet_kind)kind, 1);
    counters_add(counters, COUNTER_send_drops, why != HYPERDERP_DROP_UNKNOWN_PEER);
    if (why != HYPERDERP_DROP_UNKNOWN_PEER || kind != FRAME_KIND_DISCO || !take_gone_token(conn))
        return;
    memcpy(peer.bytes, key, sizeof(peer.bytes));
    send_peer_gone(conn->worker, conn->sink, &peer, PEER_GONE_NOT_HERE);
}

/* Looks up the destination and turns the frame into what it shall receive, if it is a client.
 * NULL when there is none. */
static struct sink *prepare(struct conn *conn, uint8_t *bytes, size_t size, enum frame_kind *kind)
{
    uint8_t *key = bytes + FRAME_HEADER_SIZE;

    counters_add(conn->worker->counters, COUNTER_packets_received, 1);
    counter_bump(&conn->sink->packets_received, 1);
    counter_bump(&conn->sink->bytes_received, size);
    *kind = packet_is_disco(bytes + FRAME_PACKET_OVERHEAD, size - FRAME_PACKET_OVERHEAD)
                ? FRAME_KIND_DISCO
                : FRAME_KIND_DATA;
    hyperderp_drop_reason why = HYPERDERP_DROP_UNKNOWN_PEER;
    struct sink *sink = find_destination(conn, key, &why);
    if (!sink) {
        forward_refuse(conn, key, *kind, why);
        return NULL;
    }
    if (sink->kind != SINK_CLIENT)
        return sink;
    bytes[0] = FRAME_RECV_PACKET;
    memcpy(key, conn->key.bytes, sizeof(conn->key.bytes));
    return sink;
}

/* A whole SendPacket frame is for somebody else than a client. */
static void forward_elsewhere(struct conn *conn, struct sink *sink, const uint8_t *bytes,
                              size_t size, enum frame_kind kind)
{
    if (sink->kind == SINK_LINK)
        forward_to_link(conn->worker, &conn->key, sink, bytes, size, kind);
    else
        local_receive(conn->worker, sink, &conn->key, bytes + FRAME_PACKET_OVERHEAD,
                      size - FRAME_PACKET_OVERHEAD, kind);
}

void forward_chunk(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t size)
{
    enum frame_kind kind;
    struct sink *sink = prepare(conn, bytes, size, &kind);
    if (sink && sink->kind != SINK_CLIENT)
        forward_elsewhere(conn, sink, bytes, size, kind);
    else if (sink)
        sink_push_chunk(conn->worker, sink, chunk, bytes, size, kind);
}

void forward_frame(struct conn *conn, struct frame *frame)
{
    enum frame_kind kind;
    struct sink *sink = prepare(conn, frame->data, frame->size, &kind);
    if (!sink || sink->kind != SINK_CLIENT) {
        if (sink)
            forward_elsewhere(conn, sink, frame->data, frame->size, kind);
        frame_free(&conn->worker->frames, frame);
        return;
    }
    frame->kind = (uint8_t)kind;
    (void)sink_push(conn->worker, sink, frame);
}

void forward_peer_left(struct worker *worker, struct peer *peer)
{
    counters_add(worker->counters, COUNTER_peers_active, (uint64_t)-1);
    watch_note(worker, &peer->key);
    /* It is at a mesh partner still. A peer that is out of the table stays so. */
    if (atomic_load_explicit(&peer->active, memory_order_acquire))
        return;
    forward_peer_gone(worker, peer);
}

void forward_peer_gone(struct worker *worker, struct peer *peer)
{
    struct hyperderp_relay *relay = worker->relay;

    /* Who is told that the relay restarts knows what becomes of its peers. */
    if (worker->phase >= RELAY_DRAINING)
        return;
    struct recipients told = peer_take_recipients(peer);
    for (uint32_t i = 0; i < told.capacity; i++) {
        const struct recipient *to = &told.entries[i];
        if (to->serial == 0)
            continue;
        struct sink *sink = route_find_sink(&relay->routes, &to->key, to->hash, to->serial);
        if (sink && sink->kind == SINK_LOCAL)
            local_peer_gone(sink, &peer->key, PEER_GONE_DISCONNECTED);
        else if (sink)
            send_peer_gone(worker, sink, &peer->key, PEER_GONE_DISCONNECTED);
        sink_unref(sink);
    }
    recipients_destroy(&told);
}
