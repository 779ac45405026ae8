/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's messages: their content, pings, the end. */
#include "relay/websocket.h"

#include "memory/memory.h"
#include "relay/secure.h"
#include "relay/sink.h"
#include "relay/websocket_batch.h"
#include "relay/worker.h"

bool websocket_begin(struct conn *conn)
{
    conn->websocket = memory_calloc(1, sizeof(*conn->websocket));
    if (!conn->websocket)
        return false;
    sink_wrap(conn->sink);
    counters_add(conn->worker->counters, COUNTER_websocket_upgrades, 1);
    counters_add(conn->worker->counters, COUNTER_websocket_connections, 1);
    return true;
}

void websocket_free(struct conn *conn)
{
    if (!conn->websocket)
        return;
    websocket_reader_free(conn->websocket->reader);
    memory_free(conn->websocket);
    conn->websocket = NULL;
    counters_add(conn->worker->counters, COUNTER_websocket_connections, (uint64_t)-1);
}

/* What a client is told of an end that is not of its own making. */
static uint16_t code_of(enum conn_end end)
{
    switch (end) {
    case CONN_END_PROTOCOL:
        return WEBSOCKET_PROTOCOL_ERROR;
    case CONN_END_DENIED:
        return WEBSOCKET_POLICY;
    case CONN_END_RESOURCES:
        return WEBSOCKET_TRY_LATER;
    default:
        return WEBSOCKET_GOING_AWAY;
    }
}

void websocket_end(struct conn *conn, enum conn_end end)
{
    if (conn->websocket)
        sink_set_close(conn->sink, code_of(end));
}

/* Whether the content of messages is still wanted. */
static bool is_reading(const struct conn *conn)
{
    return conn->state != CONN_DRAINING && conn->state != CONN_CLOSED;
}

/* What comes of bytes that were received together. */
struct intake {
    struct frame *pong; /* the answer to the last Ping, or NULL */
    size_t content;     /* bytes of it */
    bool ended;         /* a frame has */
};

/* Of several Pings that came together the last one is answered, as RFC 6455 section 5.5.3 allows:
 * so whoever sends many takes up no queue. */
static void keep_pong(struct conn *conn, struct intake *in, const struct websocket_found *ping)
{
    struct worker *worker = conn->worker;

    if (!in->pong)
        in->pong =
            frame_alloc(&worker->frames, WEBSOCKET_PONG_SIZE, FRAME_USE_CONTROL, worker->index);
    if (!in->pong) {
        counters_add(worker->counters, COUNTER_control_drops, 1);
        return;
    }
    in->pong->bare = true;
    in->pong->size = (uint32_t)websocket_pong(worker, ping->bytes, ping->len, in->pong->data);
}

static void send_pong(struct conn *conn, struct intake *in)
{
    struct worker *worker = conn->worker;

    if (!in->pong)
        return;
    if (is_reading(conn) && in->pong->size > 0)
        (void)sink_push(worker, conn->sink, in->pong);
    else
        frame_free(&worker->frames, in->pong);
    in->pong = NULL;
}

/* Answers a Close frame, or a frame that breaks the rules, with one of ours behind all else that is
 * to be sent (sections 5.5.1, 7.1.7). */
static void say_close(struct conn *conn, struct intake *in, uint16_t code, enum conn_end end)
{
    send_pong(conn, in);
    sink_set_close(conn->sink, code);
    conn_finish(conn, end);
}

/* Deals with the next thing that was received. False when there is none, or no more is wanted. */
static bool step(struct conn *conn, struct io_chunk *chunk, struct intake *in)
{
    struct websocket *ws = conn->websocket;
    struct websocket_found found;
    enum websocket_event event = websocket_next(ws->reader, &ws->stream, &found);

    in->ended = in->ended || found.ended;
    switch (event) {
    case WEBSOCKET_MORE:
        return false;
    case WEBSOCKET_CONTENT:
        in->content += found.len;
        conn_content(conn, chunk, found.bytes, found.len);
        break;
    case WEBSOCKET_PING:
        keep_pong(conn, in, &found);
        break;
    case WEBSOCKET_CLOSE:
        say_close(conn, in, found.code, CONN_END_BY_PEER);
        break;
    case WEBSOCKET_FAULT:
        say_close(conn, in, found.code, CONN_END_PROTOCOL);
        break;
    }
    return is_reading(conn);
}

/* An empty reader is good for any connection of the worker: one is kept. */
static struct websocket_reader *take_reader(struct worker *worker)
{
    struct websocket_reader *reader = worker->spare_reader;

    worker->spare_reader = NULL;
    counters_add(worker->counters, COUNTER_packet_allocations, !reader);
    return reader ? reader : websocket_reader_new();
}

static void give_reader(struct worker *worker, struct websocket_reader *reader)
{
    if (worker->spare_reader)
        websocket_reader_free(reader);
    else
        worker->spare_reader = reader;
}

/* All that was received is dealt with, or no more is wanted. */
static void settle(struct conn *conn, bool waited, const struct intake *in)
{
    struct websocket *ws = conn->websocket;

    if (!is_reading(conn)) {
        websocket_reader_free(ws->reader);
        ws->reader = NULL;
    } else if (websocket_reader_is_empty(ws->reader)) {
        give_reader(conn->worker, ws->reader);
        ws->reader = NULL;
    } else if ((in->ended || !waited) && !conn->partial && !secure_is_waiting(conn->secure)) {
        /* The rest of a frame of DERP, or of a record, is waited for already. */
        conn_expect_rest(conn);
    }
}

void websocket_input(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    struct websocket *ws = conn->websocket;
    bool waited = ws->reader != NULL;
    struct intake in = {0};

    if (!is_reading(conn) || len == 0)
        return;
    if (!ws->reader)
        ws->reader = take_reader(conn->worker);
    if (!ws->reader) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    websocket_feed(ws->reader, bytes, len);
    while (step(conn, chunk, &in))
        ;
    send_pong(conn, &in);
    settle(conn, waited, &in);
    if (conn->state == CONN_OPEN)
        pace_charge(conn, len - in.content); /* what is not content takes its time, too */
}
