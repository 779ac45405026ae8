/* SPDX-License-Identifier: BSD-3-Clause */
/* Forwarding within a region. */
#include "relay/forward_mesh.h"

#include <string.h>

#include "memory/memory.h"
#include "relay/forward.h"
#include "relay/local.h"
#include "relay/worker.h"
#include "wire/key.h"

/* Pairs of sender and destination that a mesh partner's connection has at hand: it carries the
 * packets of many. */
#define FLOWS 256

/* How long a sender that no link has told of yet is not looked up again. */
#define UNKNOWN_SENDER_NS 1000000000

struct mesh_flow {
    hyperderp_key from_key;
    struct peer *from; /* a reference; NULL: no link has told that the sender is there */
    int64_t looked_up; /* when that was so */
    struct peer *to;   /* a reference, or NULL: the place is free */
    struct sink *sink; /* a reference; of a connection here */
};

struct mesh_flows {
    struct mesh_flow flow[FLOWS];
};

static void forget(struct mesh_flow *flow)
{
    peer_unref(flow->from);
    peer_unref(flow->to);
    sink_unref(flow->sink);
    *flow = (struct mesh_flow){0};
}

void forward_mesh_forget(struct conn *conn)
{
    for (unsigned i = 0; conn->mesh_flows && i < FLOWS; i++)
        forget(&conn->mesh_flows->flow[i]);
    memory_free(conn->mesh_flows);
    conn->mesh_flows = NULL;
}

/* Whether what is at hand is still so. A sender that has left the region since, and perhaps come
 * back, is another peer; one whose key is fought about is looked up each time. */
static bool is_current(const struct mesh_flow *flow, const uint8_t *from, const uint8_t *to,
                       int64_t now)
{
    if (!flow->to || !key_same(&flow->from_key, from) || !key_same(&flow->to->key, to) ||
        atomic_load_explicit(&flow->to->active, memory_order_acquire) != flow->sink)
        return false;
    if (!flow->from)
        return now - flow->looked_up < UNKNOWN_SENDER_NS;
    return atomic_load_explicit(&flow->from->active, memory_order_acquire) != NULL;
}

/* Remembers that the destination has got something from the sender: it is told when that leaves the
 * region. Only a link can tell when it does, so without one nothing is remembered. */
static struct peer *note_sender(struct worker *worker, const hyperderp_key *from,
                                const struct peer *to, const struct sink *sink)
{
    struct sink *unused = NULL;
    struct peer *peer = route_find(&worker->relay->routes, from, &unused);

    sink_unref(unused);
    if (peer)
        counters_add(worker->counters, COUNTER_packet_allocations,
                     peer_note_recipient(peer, to, sink));
    return peer;
}

/* The connection here that receives for a key, with references; NULL, and why, when there is
 * none. */
static struct peer *find_here(struct worker *worker, const hyperderp_key *to, struct sink **sink,
                              hyperderp_drop_reason *why)
{
    struct peer *peer = route_find(&worker->relay->routes, to, sink);

    if (*sink && (*sink)->kind != SINK_LINK)
        return peer;
    *why = *sink ? HYPERDERP_DROP_UNKNOWN_PEER : forward_why(peer);
    peer_unref(peer);
    sink_unref(*sink);
    return NULL;
}

/* The sink for a packet of a mesh partner, or NULL and why. It is valid until the next call. */
static struct sink *find_sink(struct conn *conn, const uint8_t *from, const uint8_t *to,
                              hyperderp_drop_reason *why)
{
    struct worker *worker = conn->worker;
    hyperderp_key from_key, to_key;

    if (!conn->mesh_flows)
        conn->mesh_flows = memory_calloc(1, sizeof(*conn->mesh_flows));
    if (!conn->mesh_flows)
        return NULL;
    struct mesh_flow *flow = &conn->mesh_flows->flow[(from[0] ^ to[0]) % FLOWS];
    if (is_current(flow, from, to, worker->now))
        return flow->sink;
    memcpy(from_key.bytes, from, sizeof(from_key.bytes));
    memcpy(to_key.bytes, to, sizeof(to_key.bytes));
    struct sink *sink = NULL;
    struct peer *peer = find_here(worker, &to_key, &sink, why);
    if (!peer)
        return NULL;
    forget(flow);
    *flow = (struct mesh_flow){.from_key = from_key,
                               .from = note_sender(worker, &from_key, peer, sink),
                               .looked_up = worker->now,
                               .to = peer,
                               .sink = sink};
    return sink;
}

/* Looks up the destination of a ForwardPacket frame. NULL when it is not here. */
static struct sink *prepare(struct conn *conn, const uint8_t *bytes, size_t size,
                            enum frame_kind *kind)
{
    const uint8_t *from = bytes + FRAME_HEADER_SIZE, *to = bytes + FRAME_PACKET_OVERHEAD;

    counters_add(conn->worker->counters, COUNTER_packets_received, 1);
    counters_add(conn->worker->counters, COUNTER_packets_forwarded_in, 1);
    counter_bump(&conn->sink->packets_received, 1);
    counter_bump(&conn->sink->bytes_received, size);
    *kind = packet_is_disco(bytes + FRAME_FORWARD_OVERHEAD, size - FRAME_FORWARD_OVERHEAD)
                ? FRAME_KIND_DISCO
                : FRAME_KIND_DATA;
    hyperderp_drop_reason why = HYPERDERP_DROP_UNKNOWN_PEER;
    struct sink *sink = find_sink(conn, from, to, &why);
    /* The partner learns by it that its knowledge is out of date. */
    if (!sink)
        forward_refuse(conn, to, *kind, why);
    return sink;
}

/* Makes a RecvPacket frame of the end of a ForwardPacket frame: its sender's key takes the place of
 * the destination's. Returns where it begins. */
static uint8_t *rewrite(uint8_t *bytes, size_t size)
{
    uint8_t *begin = bytes + HYPERDERP_KEY_SIZE;

    memcpy(bytes + FRAME_PACKET_OVERHEAD, bytes + FRAME_HEADER_SIZE, HYPERDERP_KEY_SIZE);
    frame_header_encode(begin, FRAME_RECV_PACKET,
                        (uint32_t)(size - HYPERDERP_KEY_SIZE - FRAME_HEADER_SIZE));
    return begin;
}

/* The whole frame is for a local peer. */
static void receive(struct conn *conn, struct sink *sink, const uint8_t *bytes, size_t size,
                    enum frame_kind kind)
{
    hyperderp_key from;

    memcpy(from.bytes, bytes + FRAME_HEADER_SIZE, sizeof(from.bytes));
    local_receive(conn->worker, sink, &from, bytes + FRAME_FORWARD_OVERHEAD,
                  size - FRAME_FORWARD_OVERHEAD, kind);
}

void forward_mesh_chunk(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t size)
{
    enum frame_kind kind;
    struct sink *sink = prepare(conn, bytes, size, &kind);

    if (sink && sink->kind == SINK_LOCAL)
        receive(conn, sink, bytes, size, kind);
    else if (sink)
        sink_push_chunk(conn->worker, sink, chunk, rewrite(bytes, size), size - HYPERDERP_KEY_SIZE,
                        kind);
}

void forward_mesh_frame(struct conn *conn, struct frame *frame)
{
    enum frame_kind kind;
    struct sink *sink = prepare(conn, frame->data, frame->size, &kind);

    if (!sink || sink->kind == SINK_LOCAL) {
        if (sink)
            receive(conn, sink, frame->data, frame->size, kind);
        frame_free(&conn->worker->frames, frame);
        return;
    }
    const uint8_t *begin = rewrite(frame->data, frame->size);
    frame->size -= HYPERDERP_KEY_SIZE;
    memmove(frame->data, begin, frame->size);
    frame->kind = (uint8_t)kind;
    (void)sink_push(conn->worker, sink, frame);
}

void forward_to_link(struct worker *worker, const hyperderp_key *from, struct sink *link,
                     const uint8_t *bytes, size_t size, enum frame_kind kind)
{
    size_t len = size - FRAME_PACKET_OVERHEAD;
    struct frame *frame = frame_alloc(&worker->frames, FRAME_FORWARD_OVERHEAD + len,
                                      FRAME_USE_WAITING, worker->index);

    counters_add(worker->counters, COUNTER_packets_forwarded_out, 1);
    if (!frame) {
        sink_count_drop(worker, link, worker->index, kind, HYPERDERP_DROP_MEMORY);
        return;
    }
    frame_encode_forward_header(frame->data, from, bytes + FRAME_HEADER_SIZE, len);
    memcpy(frame->data + FRAME_FORWARD_OVERHEAD, bytes + FRAME_PACKET_OVERHEAD, len);
    frame->kind = (uint8_t)kind;
    (void)sink_push(worker, link, frame);
}
