/* SPDX-License-Identifier: BSD-3-Clause */
/* Ends of a connection: at once, behind its last bytes, denied, sent away. */
#include "relay/conn.h"

#include "relay/duplicate.h"
#include "relay/forward.h"
#include "relay/forward_mesh.h"
#include "relay/link.h"
#include "relay/secure.h"
#include "relay/sink.h"
#include "relay/websocket.h"
#include "relay/worker.h"

/* How long a connection that is done may take to fetch its last bytes. */
#define LINGER_NS 3000000000

/* How often it is looked whether a client has got its last bytes, and how often by a relay that
 * drains, at each tick of the wheel: clients come back only when they see the end. */
#define LINGER_STEP_NS 50000000
#define DRAIN_STEP_NS  TIMER_TICK_NS

/* How long a client that has been told why it is denied is kept. Tailscale's clients wait up to so
 * long between two tries, but begin anew with 10 ms when they have got a frame. */
#define KEEP_DENIED_NS 5000000000

/* Restarting asks clients to come back after a random time up to this, so that they do not all come
 * at once, and to try for this long. */
#define RECONNECT_WITHIN_MS 2000
#define TRY_FOR_MS          5000

static const char *const end_text[] = {
    [CONN_END_BY_PEER] = "closed by the client",
    [CONN_END_PROTOCOL] = "broke the protocol",
    [CONN_END_TIMEOUT] = "timed out",
    [CONN_END_DENIED] = "denied",
    [CONN_END_ANSWERED] = "answered",
    [CONN_END_RESOURCES] = "out of memory",
    [CONN_END_STOPPED] = "relay stopped",
    [CONN_END_NOT_TLS] = "does not speak TLS",
    [CONN_END_GAVE_WAY] = "gave way to other TLS handshakes",
    [CONN_END_PROXY_HEADER] = "sent no good header of the PROXY protocol",
    [CONN_END_CROWDED] = "has as many connections as an address may have",
    [CONN_END_NEW_KEY] = "changed its key, which this kernel's TLS cannot follow (Linux 6.14 can)",
    [CONN_END_TOO_SLOW] = "did not take what it watches",
};

static void free_input(struct conn *conn)
{
    struct frame **frames[] = {&conn->partial, &conn->held, &conn->greeting};
    for (unsigned i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        if (*frames[i])
            frame_free(&conn->worker->frames, *frames[i]);
        *frames[i] = NULL;
    }
}

static void count_tls_end(const struct conn *conn, enum conn_end end)
{
    static const hyperderp_tls_outcome outcomes[] = {
        [CONN_END_BY_PEER] = HYPERDERP_TLS_ABANDONED, [CONN_END_PROTOCOL] = HYPERDERP_TLS_FAILED,
        [CONN_END_TIMEOUT] = HYPERDERP_TLS_TIMED_OUT, [CONN_END_RESOURCES] = HYPERDERP_TLS_FAILED,
        [CONN_END_STOPPED] = HYPERDERP_TLS_ABANDONED, [CONN_END_NOT_TLS] = HYPERDERP_TLS_NOT_TLS,
        [CONN_END_GAVE_WAY] = HYPERDERP_TLS_GAVE_WAY,
    };

    if (conn->state == CONN_TLS && conn->sink->kind != SINK_LINK)
        counter_bump(&conn->worker->counters->tls_handshakes[outcomes[end]], 1);
}

static void count_end(const struct conn *conn, enum conn_end end)
{
    struct counters *counters = conn->worker->counters;

    count_tls_end(conn, end);
    if (conn->sink->kind == SINK_LINK)
        return; /* a link has figures of its own */
    if (conn->state == CONN_OPEN) {
        counters_add(counters, COUNTER_protocol_errors, end == CONN_END_PROTOCOL);
        return;
    }
    if (conn->state == CONN_DRAINING)
        return;
    switch (end) {
    case CONN_END_PROTOCOL:
    case CONN_END_NOT_TLS:
        counters_add(counters, COUNTER_handshakes_failed, 1);
        break;
    case CONN_END_TIMEOUT:
        counters_add(counters, COUNTER_handshakes_timed_out, 1);
        break;
    case CONN_END_DENIED:
        counters_add(counters, COUNTER_handshakes_denied, 1);
        break;
    case CONN_END_PROXY_HEADER:
        counters_add(counters, COUNTER_proxy_headers_bad, 1);
        counters_add(counters, COUNTER_handshakes_failed, 1);
        break;
    case CONN_END_CROWDED:
        counters_refuse(counters, HYPERDERP_REFUSED_PER_IP);
        break;
    case CONN_END_RESOURCES:
        counters_refuse(counters, HYPERDERP_REFUSED_MEMORY);
        break;
    default:
        break;
    }
}

/* Takes the connection out of the route table; tells those that it has sent to if its key is
 * gone. */
static void leave(struct conn *conn)
{
    struct worker *worker = conn->worker;

    watch_end(conn);
    forward_mesh_forget(conn);
    if (conn->link)
        link_lost(conn);
    if (!conn->peer)
        return;
    if (atomic_load_explicit(&conn->sink->home, memory_order_relaxed))
        counters_add(worker->counters, COUNTER_home_clients, (uint64_t)-1);
    counters_add(worker->counters, COUNTER_not_ideal_connections, -conn_prefers_another(conn));
    if (route_leave(&worker->relay->routes, conn->peer, conn->sink))
        forward_peer_left(worker, conn->peer);
    else
        duplicate_tell(worker, conn->peer);
    /* Nobody can tell it anything any more. */
    counters_add(worker->counters, COUNTER_muted_connections, -(uint64_t)conn->sink->told_muted);
    peer_unref(conn->peer);
    conn->peer = NULL;
}

void conn_close(struct conn *conn, enum conn_end end)
{
    struct worker *worker = conn->worker;

    if (conn->state == CONN_CLOSED)
        return;
    conn_log(conn, end == CONN_END_BY_PEER && conn->link ? "closed the connection" : end_text[end]);
    count_end(conn, end);
    conn->kept = false;
    conn_set_state(conn, CONN_CLOSED);
    timer_stop(&worker->timers, &conn->deadline);
    leave(conn);
    forward_forget(conn);
    free_input(conn);
    secure_end(conn);
    websocket_end(conn, end);
    conn_disarm(conn);
    sink_close(worker, conn->sink);
    if (!conn->receiving && !conn->starved)
        conn_bury(conn);
}

static int64_t linger_step(const struct worker *worker)
{
    return worker->phase >= RELAY_LEAVING ? DRAIN_STEP_NS : LINGER_STEP_NS;
}

static void stop_input(struct conn *conn, enum conn_end end)
{
    if (end != CONN_END_ANSWERED)
        conn_log(conn, end_text[end]);
    count_end(conn, end);
    leave(conn);
    free_input(conn);
    secure_end(conn);
    conn_set_state(conn, CONN_DRAINING);
}

static void finish_output(struct conn *conn)
{
    struct worker *worker = conn->worker;

    conn->kept = false;
    conn->linger_until = worker->now + LINGER_NS;
    timer_set(&worker->timers, &conn->deadline, worker->now + linger_step(worker));
    sink_finish(worker, conn->sink);
    conn_arm(conn);
}

void conn_finish(struct conn *conn, enum conn_end end)
{
    stop_input(conn, end);
    finish_output(conn);
}

/* Those who are denied must not keep others out. */
static bool has_room_to_keep(const struct worker *worker)
{
    const struct hyperderp_relay *relay = worker->relay;

    return worker->phase < RELAY_LEAVING &&
           atomic_load_explicit(&relay->connections, memory_order_relaxed) <=
               limits_connections(&relay->limits) / 2;
}

void conn_turn_away(struct conn *conn, const char *problem)
{
    struct worker *worker = conn->worker;
    uint8_t frame[FRAME_MAX_HEALTH];

    if (!conn_send_control(conn, frame, frame_encode_health(frame, problem))) {
        conn_close(conn, CONN_END_DENIED);
        return;
    }
    counters_add(worker->counters, COUNTER_health_frames, 1);
    stop_input(conn, CONN_END_DENIED);
    websocket_end(conn, CONN_END_DENIED);
    if (!has_room_to_keep(worker)) {
        finish_output(conn);
        return;
    }
    conn->kept = true;
    timer_set(&worker->timers, &conn->deadline, worker->now + KEEP_DENIED_NS);
}

void conn_linger(struct conn *conn)
{
    struct worker *worker = conn->worker;

    if (conn->kept)
        finish_output(conn);
    else if (worker->now >= conn->linger_until ||
             (worker->phase >= RELAY_LEAVING && sink_is_acknowledged(conn->sink)))
        conn_close(conn, CONN_END_ANSWERED);
    else
        timer_set(&worker->timers, &conn->deadline, worker->now + linger_step(worker));
}

void conn_restart(struct conn *conn)
{
    struct worker *worker = conn->worker;
    uint8_t frame[FRAME_RESTARTING_SIZE];
    uint32_t after = 0; /* who is sent away at a moment of its own finds the next relay there */

    if (conn->kept)
        finish_output(conn);
    if (conn->state == CONN_DRAINING || conn->state == CONN_CLOSED)
        return;
    if (conn->link || conn_is_between_requests(conn)) {
        conn_close(conn, CONN_END_STOPPED);
        return;
    }
    if (conn->state != CONN_OPEN) {
        if (conn->deadline.deadline > worker->now + CONN_HANDSHAKE_GRACE_NS)
            timer_set(&worker->timers, &conn->deadline, worker->now + CONN_HANDSHAKE_GRACE_NS);
        return;
    }
    if (worker->phase >= RELAY_DRAINING)
        after = (uint32_t)(worker_random(worker) % RECONNECT_WITHIN_MS);
    (void)conn_send_control(conn, frame, frame_encode_restarting(frame, after, TRY_FOR_MS));
    conn_finish(conn, CONN_END_ANSWERED);
}

void conn_leave(struct conn *conn)
{
    struct worker *worker = conn->worker;
    int64_t left = worker->relay->leave_by - worker->now;

    if (conn->kept)
        finish_output(conn);
    if (conn->state != CONN_OPEN || conn->link)
        return;
    conn->keepalive_due = worker->now;
    if (left > 0)
        conn->keepalive_due += (int64_t)(worker_random(worker) % (uint64_t)left);
    if (conn->deadline.deadline > conn->keepalive_due)
        timer_set(&worker->timers, &conn->deadline, conn->keepalive_due);
}
