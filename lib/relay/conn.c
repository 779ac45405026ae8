/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a connection: states, deadlines, receives. Its end is in conn_end.c. */
#include "relay/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory/memory.h"
#include "relay/addresses.h"
#include "relay/forward.h"
#include "relay/frames.h"
#include "relay/handshake.h"
#include "relay/link.h"
#include "relay/listener.h"
#include "relay/proxied.h"
#include "relay/secure.h"
#include "relay/sink.h"
#include "relay/websocket.h"
#include "relay/worker.h"
#include "wire/key.h"

/* A frame that has begun must be whole within this many write timeouts: until then its bytes take
 * up memory that others may need. */
#define HALF_FRAME_TIMEOUTS 2

#define BIT(state) (1u << (state))

/* The states that may follow each. */
static const unsigned allowed[] = {
    [CONN_PROXY] = BIT(CONN_TLS) | BIT(CONN_HTTP) | BIT(CONN_CLOSED),
    [CONN_TLS] = BIT(CONN_HTTP) | BIT(CONN_DRAINING) | BIT(CONN_CLOSED),
    [CONN_HTTP] = BIT(CONN_HELLO) | BIT(CONN_DRAINING) | BIT(CONN_CLOSED),
    [CONN_HELLO] =
        BIT(CONN_ADMISSION) | BIT(CONN_OPEN) /* a link's */ | BIT(CONN_DRAINING) | BIT(CONN_CLOSED),
    [CONN_ADMISSION] = BIT(CONN_OPEN) | BIT(CONN_DRAINING) | BIT(CONN_CLOSED),
    [CONN_OPEN] = BIT(CONN_DRAINING) | BIT(CONN_CLOSED),
    [CONN_DRAINING] = BIT(CONN_CLOSED),
    [CONN_CLOSED] = 0,
};

/* The gauge of the state that a connection is in. */
static void count_state(const struct conn *conn, uint64_t by)
{
    static const hyperderp_connection_state shown[] = {
        [CONN_PROXY] = HYPERDERP_CONNECTION_PROXY,
        [CONN_TLS] = HYPERDERP_CONNECTION_TLS,
        [CONN_HTTP] = HYPERDERP_CONNECTION_HTTP,
        [CONN_HELLO] = HYPERDERP_CONNECTION_HELLO,
        [CONN_ADMISSION] = HYPERDERP_CONNECTION_ADMISSION,
        [CONN_OPEN] = HYPERDERP_CONNECTION_OPEN,
        [CONN_DRAINING] = HYPERDERP_CONNECTION_CLOSING,
    };

    if (conn->state != CONN_CLOSED)
        counter_bump(&conn->worker->counters->states[shown[conn->state]], by);
}

void conn_set_state(struct conn *conn, enum conn_state state)
{
    if (!(allowed[conn->state] & BIT(state)))
        abort(); /* a fault of ours: no input leads here */
    count_state(conn, (uint64_t)-1);
    conn->state = (uint8_t)state;
    count_state(conn, 1);
}

void conn_log(const struct conn *conn, const char *what)
{
    const struct log *log = &conn->worker->relay->log;
    char address[ENDPOINT_TEXT_SIZE], key[KEY_SHORT_SIZE] = "";

    if (conn->link)
        link_note_fault(conn->link, what);
    if (!log_wants(log, HYPERDERP_LOG_DEBUG))
        return;
    endpoint_format(&conn->sink->from, address);
    if (!hyperderp_key_is_zero(&conn->key))
        key_format_short(&conn->key, key);
    log_line(log, HYPERDERP_LOG_DEBUG, "%s %s%s%s: %s",
             conn->sink->kind == SINK_LINK ? "mesh partner" : "client", address, *key ? " " : "",
             key, what);
}

static void deadline_passed(struct timer *timer);

static void free_memory(struct conn *conn)
{
    sink_unref(conn->sink);
    secure_free(conn);
    websocket_free(conn);
    memory_free(conn);
}

/* NULL when memory is out. */
static struct conn *make(struct worker *worker, int fd, const struct endpoint *from,
                         enum conn_state state)
{
    struct conn *conn = memory_calloc(1, sizeof(*conn));

    if (!conn)
        return NULL;
    conn->worker = worker;
    conn->state = (uint8_t)state;
    conn->sink = sink_new(worker, fd);
    if (!conn->sink) {
        memory_free(conn);
        return NULL;
    }
    conn->sink->from = *from;
    return conn;
}

/* False when memory is out. */
static bool begin(struct conn *conn)
{
    struct worker *worker = conn->worker;

    if (slab_add(&worker->conns, conn, &conn->slot, &conn->generation) != 0)
        return false;
    count_state(conn, 1);
    conn->gone_tokens = FORWARD_GONE_BURST;
    conn->deadline.fire = deadline_passed;
    timer_set(&worker->timers, &conn->deadline,
              worker->now + (worker->phase >= RELAY_DRAINING
                                 ? CONN_HANDSHAKE_GRACE_NS
                                 : limits_handshake(&worker->relay->limits)));
    counters_add(worker->counters, COUNTER_connections, 1);
    conn_arm(conn);
    return true;
}

bool conn_adopt(struct worker *worker, const struct arrival *arrival)
{
    struct listener *listener = arrival->listener;
    struct tls_server *server = listener_tls_server(listener);
    struct conn *conn = make(worker, arrival->fd, &arrival->from,
                             listener->proxied ? CONN_PROXY
                             : server          ? CONN_TLS
                                               : CONN_HTTP);

    if (!conn) {
        tls_server_unref(server);
        return false;
    }
    conn->address = arrival->address;
    bool secured = !server || secure_begin(conn, server, listener->offload);
    if (secured && begin(conn))
        return true;
    free_memory(conn);
    return false;
}

struct conn *conn_call(struct worker *worker, int fd, const struct endpoint *to, struct link *link)
{
    struct conn *conn = make(worker, fd, to, link->tls ? CONN_TLS : CONN_HTTP);

    if (!conn)
        return NULL;
    conn->link = link;
    conn->sink->kind = SINK_LINK;
    bool secured = !link->tls || secure_call(conn, link->tls, link->address.host);
    if (secured && begin(conn))
        return conn;
    free_memory(conn);
    return NULL;
}

static io_token recv_token(const struct conn *conn)
{
    return io_token_make(IO_OP_RECV, conn->slot, conn->generation);
}

static void starve(struct conn *conn)
{
    struct worker *worker = conn->worker;

    conn->starved = true;
    conn->next = NULL;
    if (worker->starved_head)
        worker->starved_tail->next = conn;
    else
        worker->starved_head = conn;
    worker->starved_tail = conn;
}

void conn_arm(struct conn *conn)
{
    unsigned flags = conn->drained ? IO_RECV_DRAINED : 0;

    if (conn->receiving || conn->starved || conn->state == CONN_ADMISSION ||
        conn->state == CONN_CLOSED || conn->kept || secure_is_queued(conn->secure) ||
        (conn->state == CONN_OPEN && conn->pace.resume_at))
        return;
    if ((conn->state == CONN_OPEN || conn->state == CONN_DRAINING) &&
        !secure_awaits_kernel(conn->secure))
        flags |= IO_RECV_STREAM;
    if (io_recv(conn->worker->loop, conn->sink->fd, recv_token(conn), flags) == 0)
        conn->receiving = true;
    else
        starve(conn);
}

void conn_disarm(struct conn *conn)
{
    if (conn->receiving)
        conn->receiving = io_cancel(conn->worker->loop, conn->sink->fd, recv_token(conn)) != 0;
}

void conn_pause(struct conn *conn, int64_t until)
{
    struct worker *worker = conn->worker;

    if (conn->state != CONN_OPEN)
        return;
    if (!conn->pace.resume_at)
        conn->pace.paused_at = worker->now;
    conn->pace.resume_at = until;
    conn_disarm(conn);
    if (conn->deadline.deadline > until)
        timer_set(&worker->timers, &conn->deadline, until);
}

/* Time in which nothing was read does not count against who sends half a frame. */
static void resume(struct conn *conn)
{
    conn->rest_due += conn->worker->now - conn->pace.paused_at;
    conn->pace.resume_at = 0;
    conn_arm(conn);
}

void conn_bury(struct conn *conn)
{
    conn->next = conn->worker->dead;
    conn->worker->dead = conn;
}

void conn_feed(struct conn *conn)
{
    conn->starved = false;
    if (conn->state == CONN_CLOSED && !conn->receiving)
        conn_bury(conn);
    else
        conn_arm(conn);
}

void conn_free(struct conn *conn)
{
    struct worker *worker = conn->worker;

    slab_remove(&worker->conns, conn->slot);
    addresses_leave(&worker->relay->addresses, conn->address);
    sink_release_socket(conn->sink);
    free_memory(conn);
    counters_add(worker->counters, COUNTER_connections, (uint64_t)-1);
    atomic_fetch_sub_explicit(&worker->relay->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&worker->load, 1, memory_order_relaxed);
}

bool conn_send_control(struct conn *conn, const uint8_t *bytes, size_t size)
{
    struct worker *worker = conn->worker;
    struct frame *frame = frame_alloc(&worker->frames, size, FRAME_USE_CONTROL, worker->index);
    if (!frame) {
        counters_add(worker->counters, COUNTER_control_drops, 1);
        return false;
    }
    memcpy(frame->data, bytes, size);
    frame->bare = conn->websocket == NULL; /* pages that wait when it becomes one, and the 101 */
    return sink_push(worker, conn->sink, frame);
}

static void set_keepalive(struct conn *conn)
{
    struct worker *worker = conn->worker;
    int64_t interval = limits_keepalive(&worker->relay->limits);
    int64_t jitter = (int64_t)(worker_random(worker) % ((uint64_t)interval / 10 + 1));

    conn->keepalive_due = worker->now + interval + jitter;
    timer_set(&worker->timers, &conn->deadline, conn->keepalive_due);
}

void conn_expect_rest(struct conn *conn)
{
    struct worker *worker = conn->worker;

    if (conn->sink->kind == SINK_LINK)
        return; /* a node that falls silent is noticed anyhow */
    if (conn->state == CONN_DRAINING)
        return; /* what still comes is discarded; linger_until lies where rest_due does */
    conn->rest_due = worker->now + HALF_FRAME_TIMEOUTS * limits_write(&worker->relay->limits);
    /* Nearly every frame is whole long before: the timer is moved once in that time, not for
     * each. */
    if (conn->state == CONN_OPEN && conn->deadline.deadline > conn->rest_due)
        timer_set(&worker->timers, &conn->deadline, conn->rest_due);
}

static void look_at_open(struct conn *conn)
{
    struct worker *worker = conn->worker;
    uint8_t frame[FRAME_KEEP_ALIVE_SIZE];

    if (conn->pace.resume_at && worker->now >= conn->pace.resume_at)
        resume(conn);
    bool paused = conn->pace.resume_at != 0;
    bool waits = !paused && (conn->partial || secure_is_waiting(conn->secure) ||
                             websocket_is_waiting(conn->websocket));

    if (waits && worker->now >= conn->rest_due) {
        conn_close(conn, CONN_END_TIMEOUT);
        return;
    }
    if (worker->now >= conn->keepalive_due && worker->phase >= RELAY_LEAVING) {
        conn_restart(conn);
        return;
    }
    if (worker->now >= conn->keepalive_due) {
        if (conn_send_control(conn, frame, frame_encode_keep_alive(frame)))
            counters_add(worker->counters, COUNTER_keepalives, 1);
        set_keepalive(conn);
    } else {
        timer_set(&worker->timers, &conn->deadline, conn->keepalive_due);
    }
    int64_t due = paused ? conn->pace.resume_at : conn->rest_due;
    if ((paused || waits) && conn->deadline.deadline > due)
        timer_set(&worker->timers, &conn->deadline, due);
}

static void deadline_passed(struct timer *timer)
{
    struct conn *conn = (struct conn *)((char *)timer - offsetof(struct conn, deadline));

    if (conn->state == CONN_OPEN)
        look_at_open(conn);
    else if (conn->state == CONN_DRAINING)
        conn_linger(conn);
    else
        conn_close(conn, conn_is_between_requests(conn)          ? CONN_END_ANSWERED
                         : conn->worker->phase >= RELAY_DRAINING ? CONN_END_STOPPED
                                                                 : CONN_END_TIMEOUT);
}

/* Somebody else has the key of a local peer. */
static void log_stranger(const struct conn *conn)
{
    char address[ENDPOINT_TEXT_SIZE], key[KEY_SHORT_SIZE];

    endpoint_format(&conn->sink->from, address);
    key_format_short(&conn->key, key);
    log_line(&conn->worker->relay->log, HYPERDERP_LOG_WARN,
             "client %s has the key %s of a local peer, and is denied", address, key);
}

bool conn_is_between_requests(const struct conn *conn)
{
    return conn->state == CONN_HTTP && conn->requests > 0 && !conn->partial;
}

uint64_t conn_prefers_another(const struct conn *conn)
{
    return conn->sink->present_flags & PEER_PRESENT_NOT_IDEAL ? 1 : 0;
}

void conn_open(struct conn *conn)
{
    struct worker *worker = conn->worker;

    /* ServerInfo first: whatever others send from now on comes behind it. */
    bool greeted = sink_push(worker, conn->sink, conn->greeting);
    conn->greeting = NULL;
    int joined = -ENOMEM;
    conn->sink->joined = worker->now;
    if (greeted)
        joined = route_join(&worker->relay->routes, &conn->key, conn->sink, &conn->peer);
    if (joined < 0) {
        if (joined == -EEXIST)
            log_stranger(conn);
        conn_close(conn, joined == -EEXIST ? CONN_END_DENIED : CONN_END_RESOURCES);
        return;
    }
    conn_set_state(conn, CONN_OPEN);
    watch_note(worker, &conn->key);
    set_keepalive(conn);
    counters_add(worker->counters, COUNTER_handshakes_ok, 1);
    counters_add(worker->counters, COUNTER_not_ideal_connections, conn_prefers_another(conn));
    conn_log(conn, joined == 0 ? "joined" : "joined; its key is connected already");
    counters_add(worker->counters,
                 joined == 0 ? COUNTER_peers_active : COUNTER_duplicate_connections, 1);
    if (worker->phase == RELAY_LEAVING)
        conn_leave(conn);
    else if (worker->phase >= RELAY_DRAINING)
        conn_restart(conn);
}

void conn_input(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    if (conn->link)
        link_input(conn, bytes, len);
    else if (conn->websocket)
        websocket_input(conn, chunk, bytes, len);
    else
        conn_content(conn, chunk, bytes, len);
}

void conn_content(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t used;
        switch ((enum conn_state)conn->state) {
        case CONN_HTTP:
            used = handshake_http(conn, bytes, len);
            if (conn->websocket) {
                websocket_input(conn, chunk, bytes + used, len - used);
                return;
            }
            break;
        case CONN_HELLO:
            used = frames_read(conn, chunk, bytes, len);
            break;
        case CONN_OPEN:
            used = frames_read(conn, chunk, bytes, len);
            pace_charge(conn, used);
            break;
        case CONN_ADMISSION:
            used = handshake_hold(conn, bytes, len);
            break;
        default:
            return; /* draining or closed: nobody wants it */
        }
        bytes += used;
        len -= used;
    }
}

/* A link tells why it ends: the kernel says so once, to who sends or to who receives. Until it is
 * open, nobody but this worker sends. */
static void note_link_fault(struct conn *conn, int result)
{
    int error = 0;

    if (!conn->link)
        return;
    if (result < 0)
        error = -result;
    else if (conn->state < CONN_OPEN)
        error = conn->sink->error;
    if (error)
        link_note_fault(conn->link, strerror(error));
}

static void take_input(struct conn *conn, struct io_chunk *chunk, size_t len)
{
    size_t used = conn->state == CONN_PROXY ? proxied_input(conn, chunk->data, len) : 0;

    if (used == len)
        return;
    if (conn->secure)
        secure_input(conn, chunk, chunk->data + used, len - used);
    else
        conn_input(conn, chunk, chunk->data + used, len - used);
}

void conn_received(struct conn *conn, const struct io_event *event)
{
    struct worker *worker = conn->worker;

    if (conn->state == CONN_CLOSED) {
        /* The last completion, if one was still to come; otherwise it is buried already. */
        if (conn->receiving && !event->more)
            conn_bury(conn);
        conn->receiving = conn->receiving && event->more;
        return;
    }
    conn->receiving = event->more;
    if (event->result == -ENOBUFS) {
        counters_add(worker->counters, COUNTER_recv_enobufs, 1);
        starve(conn);
    } else if (event->result == -EAGAIN || event->result == -EINTR || event->result == -ECANCELED) {
        conn_arm(conn);
    } else if (event->result < 0 && secure_settles(conn, event->result)) {
        conn_arm(conn);
    } else if (event->result <= 0) {
        note_link_fault(conn, event->result);
        conn_close(conn, conn->state == CONN_DRAINING ? CONN_END_ANSWERED : CONN_END_BY_PEER);
    } else {
        counters_add(worker->counters, COUNTER_recv_bytes, (uint64_t)event->result);
        conn->drained = event->result < IO_CHUNK_SIZE;
        take_input(conn, event->chunk, (size_t)event->result);
        conn_arm(conn);
    }
}
