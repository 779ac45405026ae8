/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From bytes to frames. A frame that lies whole in the receive chunk is used where it is; one that
 * is split is put together in a frame of the pool, so that a client that sends half a frame holds
 * no chunk.
 */
#include "relay/frames.h"

#include <stdio.h>
#include <string.h>

#include "relay/duplicate.h"
#include "relay/forward.h"
#include "relay/forward_mesh.h"
#include "relay/handshake.h"
#include "relay/sink.h"
#include "relay/worker.h"
#include "wire/key.h"

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool carries_packet(uint8_t type)
{
    return type == FRAME_SEND_PACKET || type == FRAME_FORWARD_PACKET;
}

static bool is_reading(const struct conn *conn)
{
    return conn->state == CONN_HELLO || conn->state == CONN_OPEN;
}

static void note_preferred(struct conn *conn, bool preferred)
{
    if (preferred == atomic_load_explicit(&conn->sink->home, memory_order_relaxed))
        return;
    atomic_store_explicit(&conn->sink->home, preferred, memory_order_relaxed);
    counters_add(conn->worker->counters, COUNTER_home_clients, preferred ? 1 : (uint64_t)-1);
}

static void answer_ping(struct conn *conn, const uint8_t *payload)
{
    uint8_t frame[FRAME_PONG_SIZE];

    counters_add(conn->worker->counters, COUNTER_pings, 1);
    if (conn_send_control(conn, frame, frame_encode_pong(frame, payload)))
        counters_add(conn->worker->counters, COUNTER_pongs, 1);
}

/* Frames that take the region's mesh key. */
static bool is_privileged(uint8_t type)
{
    return type == FRAME_WATCH_CONNS || type == FRAME_CLOSE_PEER || type == FRAME_FORWARD_PACKET;
}

static void close_peer(struct conn *conn, const uint8_t *payload)
{
    hyperderp_key key;
    char text[KEY_SHORT_SIZE], line[96];

    memcpy(key.bytes, payload, sizeof(key.bytes));
    unsigned count = route_break(&conn->worker->relay->routes, &key);
    counters_add(conn->worker->counters, COUNTER_mesh_closed_peers, count);
    key_format_short(&key, text);
    snprintf(line, sizeof(line), "asks to close %s: %u connection%s", text, count,
             count == 1 ? "" : "s");
    conn_log(conn, line);
}

/* Which frames have a handler in a state; all others are skipped without being kept. */
static bool is_handled(const struct conn *conn, uint8_t type)
{
    if (conn->state == CONN_HELLO)
        return type == FRAME_CLIENT_INFO;
    return type == FRAME_SEND_PACKET || type == FRAME_PING || type == FRAME_NOTE_PREFERRED ||
           is_privileged(type);
}

/* Acts upon a whole frame other than SendPacket. */
static void act(struct conn *conn, uint8_t *bytes, size_t size)
{
    uint8_t *payload = bytes + FRAME_HEADER_SIZE;

    switch (bytes[0]) {
    case FRAME_CLIENT_INFO:
        handshake_client_info(conn, payload, size - FRAME_HEADER_SIZE);
        break;
    case FRAME_PING:
        answer_ping(conn, payload);
        break;
    case FRAME_NOTE_PREFERRED:
        note_preferred(conn, payload[0] != 0);
        break;
    case FRAME_WATCH_CONNS:
        watch_begin(conn);
        break;
    case FRAME_CLOSE_PEER:
        close_peer(conn, payload);
        break;
    default:
        break;
    }
}

/* The connection of its key that sends is the one that receives, unless others send as well. */
static void note_activity(struct conn *conn)
{
    if (!conn->peer || !duplicate_is_news(conn->peer, conn->sink))
        return;
    route_activate(&conn->worker->relay->routes, conn->peer, conn->sink);
    duplicate_tell(conn->worker, conn->peer);
}

static void act_in_chunk(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t size)
{
    note_activity(conn);
    if (bytes[0] == FRAME_SEND_PACKET && chunk)
        forward_chunk(conn, chunk, bytes, size);
    else if (bytes[0] == FRAME_FORWARD_PACKET && chunk)
        forward_mesh_chunk(conn, chunk, bytes, size);
    else
        act(conn, bytes, size);
}

static void act_on_partial(struct conn *conn)
{
    struct frame *frame = conn->partial;

    conn->partial = NULL;
    note_activity(conn);
    if (frame->data[0] == FRAME_SEND_PACKET) {
        forward_frame(conn, frame);
        return;
    }
    if (frame->data[0] == FRAME_FORWARD_PACKET) {
        forward_mesh_frame(conn, frame);
        return;
    }
    act(conn, frame->data, frame->size);
    frame_free(&conn->worker->frames, frame);
}

/*
 * Judges a header. Returns true when the frame shall be read whole; otherwise it is skipped, or the
 * connection is closed.
 */
static bool accept_header(struct conn *conn, const struct frame_header *header)
{
    if (frame_check_from_client(header) != 0 ||
        (conn->state == CONN_HELLO && header->type != FRAME_CLIENT_INFO)) {
        conn_close(conn, CONN_END_PROTOCOL);
        return false;
    }
    if (is_privileged(header->type) && !conn->sink->can_mesh) {
        counters_add(conn->worker->counters, COUNTER_mesh_refused, 1);
        conn_close(conn, CONN_END_PROTOCOL);
        return false;
    }
    if (is_handled(conn, header->type))
        return true;
    counters_add(conn->worker->counters, COUNTER_unknown_frames, 1);
    note_activity(conn);
    conn->skip = header->length;
    return false;
}

/* The frame that is half received is lost for want of memory, not its connection: the rest of it is
 * skipped. */
static void lose_partial(struct conn *conn, const struct frame_header *header, uint32_t rest)
{
    struct worker *worker = conn->worker;

    if (header->type == FRAME_CLIENT_INFO) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    if (carries_packet(header->type)) {
        counters_add(worker->counters, COUNTER_packets_received, 1);
        counters_add(worker->counters, COUNTER_send_drops, 1);
        counters_drop(worker->counters, HYPERDERP_DROP_MEMORY, HYPERDERP_PACKET_DATA, 1);
    }
    conn->skip = rest;
}

/*
 * Begins to put a frame together, of which so many bytes behind the header are there. Memory is
 * taken for what has come, not for what the header announces: to occupy it, a client must send it.
 */
static void begin_partial(struct conn *conn, const struct frame_header *header, size_t there)
{
    struct worker *worker = conn->worker;
    size_t size = FRAME_HEADER_SIZE + smaller(header->length, there + 1);

    conn->partial = frame_alloc(&worker->frames, size, FRAME_USE_INCOMING, worker->index);
    if (!conn->partial) {
        lose_partial(conn, header, header->length);
        return;
    }
    frame_header_encode(conn->partial->data, header->type, header->length);
    conn->filled = FRAME_HEADER_SIZE;
    conn->partial->size = FRAME_HEADER_SIZE + header->length;
    conn_expect_rest(conn);
}

/* Moves the frame to a larger buffer. Returns false when there is none: then it is lost. */
static bool enlarge_partial(struct conn *conn, size_t wanted)
{
    struct worker *worker = conn->worker;
    struct frame *old = conn->partial;
    struct frame *frame = frame_alloc(&worker->frames, wanted, FRAME_USE_INCOMING, worker->index);

    if (frame) {
        memcpy(frame->data, old->data, conn->filled);
        frame->size = old->size;
        conn->partial = frame;
    } else {
        struct frame_header header;
        (void)frame_header_decode(old->data, FRAME_HEADER_SIZE, &header);
        conn->partial = NULL;
        lose_partial(conn, &header, old->size - conn->filled);
    }
    frame_free(&worker->frames, old);
    return frame != NULL;
}

static size_t fill_partial(struct conn *conn, const uint8_t *bytes, size_t len)
{
    size_t used = smaller(len, conn->partial->size - conn->filled);

    if (conn->filled + used > frame_room(conn->partial) &&
        !enlarge_partial(conn, conn->filled + used))
        return 0;
    memcpy(conn->partial->data + conn->filled, bytes, used);
    conn->filled += (uint32_t)used;
    if (conn->filled == conn->partial->size)
        act_on_partial(conn);
    return used;
}

static size_t fill_header(struct conn *conn, const uint8_t *bytes, size_t len)
{
    size_t used = smaller(len, FRAME_HEADER_SIZE - (size_t)conn->header_len);
    struct frame_header header;

    memcpy(conn->header + conn->header_len, bytes, used);
    conn->header_len = (uint8_t)(conn->header_len + used);
    if (frame_header_decode(conn->header, conn->header_len, &header) == 0)
        return used;
    conn->header_len = 0;
    if (accept_header(conn, &header)) {
        begin_partial(conn, &header, len - used);
        if (conn->partial && conn->filled == conn->partial->size)
            act_on_partial(conn);
    }
    return used;
}

/* Reads a frame whose header lies whole in the bytes; they are at least FRAME_HEADER_SIZE. */
static size_t read_frame(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    struct frame_header header;
    (void)frame_header_decode(bytes, len, &header);

    if (!accept_header(conn, &header))
        return FRAME_HEADER_SIZE;
    size_t size = FRAME_HEADER_SIZE + (size_t)header.length;
    if (size <= len && (chunk || !carries_packet(header.type))) {
        act_in_chunk(conn, chunk, bytes, size);
        return size;
    }
    begin_partial(conn, &header, len - FRAME_HEADER_SIZE);
    return FRAME_HEADER_SIZE;
}

size_t frames_read(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && is_reading(conn)) {
        if (conn->skip > 0) {
            size_t skipped = smaller(len - at, conn->skip);
            conn->skip -= (uint32_t)skipped;
            at += skipped;
        } else if (conn->partial) {
            at += fill_partial(conn, bytes + at, len - at);
        } else if (conn->header_len > 0 || len - at < FRAME_HEADER_SIZE) {
            at += fill_header(conn, bytes + at, len - at);
        } else {
            at += read_frame(conn, chunk, bytes + at, len - at);
        }
    }
    return at;
}
