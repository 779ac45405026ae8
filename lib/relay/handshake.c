/* SPDX-License-Identifier: BSD-3-Clause */
/* From a request to its answer, or to a client that has joined. */
#include "relay/handshake.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "relay/admission.h"
#include "relay/http_answer.h"
#include "relay/sink.h"
#include "relay/websocket.h"
#include "relay/worker.h"
#include "wire/hello.h"
#include "wire/http.h"
#include "wire/key.h"

/* Requests that one connection may bring. */
#define MAX_REQUESTS 32

/* The bytes of a request head that has not come whole are kept here; how far they have been looked
 * at stands in the frame's own sent, which nobody else uses while it is not sent. */
static struct frame *keep_head(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct worker *worker = conn->worker;

    if (!conn->partial) {
        conn->partial =
            frame_alloc(&worker->frames, HTTP_MAX_HEAD + 1, FRAME_USE_INCOMING, worker->index);
        conn->filled = 0;
    }
    if (!conn->partial)
        return NULL;
    memcpy(conn->partial->data + conn->filled, bytes, len);
    conn->filled += (uint32_t)len;
    return conn->partial;
}

static void upgrade(struct conn *conn, const struct http_request *request)
{
    uint8_t answer[HTTP_ANSWER_UPGRADE_SIZE + HELLO_SERVER_KEY_SIZE];
    size_t size = 0;

    if (!request->fast_start)
        size = http_answer_upgrade(answer, &conn->worker->relay->public_key);
    size += hello_server_key_encode(answer + size, &conn->worker->relay->public_key);
    /* Clients send it when they could not connect to the node that they name. */
    conn->sink->present_flags = request->ideal_node.len > 0 ? PEER_PRESENT_NOT_IDEAL : 0;
    if (conn_send_control(conn, answer, size))
        conn_set_state(conn, CONN_HELLO);
    else
        conn_close(conn, CONN_END_RESOURCES);
}

/* The same in WebSocket messages, of which ServerKey is in the first. */
static void upgrade_websocket(struct conn *conn, const struct http_request *request)
{
    uint8_t answer[HTTP_ANSWER_UPGRADE_SIZE], key[HELLO_SERVER_KEY_SIZE];
    size_t size = http_answer_websocket(answer, request);
    size_t key_size = hello_server_key_encode(key, &conn->worker->relay->public_key);

    if (size > 0 && conn_send_control(conn, answer, size) && websocket_begin(conn) &&
        conn_send_control(conn, key, key_size))
        conn_set_state(conn, CONN_HELLO);
    else
        conn_close(conn, CONN_END_RESOURCES);
}

/* Waits for another request as long as for the first one. */
static void await_request(struct conn *conn)
{
    struct worker *worker = conn->worker;

    timer_set(&worker->timers, &conn->deadline,
              worker->now + limits_handshake(&worker->relay->limits));
}

static void answer(struct conn *conn, const struct http_request *request, int parsed)
{
    struct worker *worker = conn->worker;
    uint8_t page[HTTP_ANSWER_PAGE_SIZE];
    struct http_scene scene = {.home = worker->relay->home, .tls = conn->secure != NULL};

    conn->requests++;
    scene.last = !http_answer_lets_go_on(request, parsed) || conn->requests == MAX_REQUESTS ||
                 worker->phase > RELAY_RUNNING;
    size_t size = http_answer_page(page, request, parsed, &scene);
    counters_add(worker->counters, COUNTER_http_requests, 1);
    if (!conn_send_control(conn, page, size))
        conn_close(conn, CONN_END_RESOURCES);
    else if (scene.last)
        conn_finish(conn, CONN_END_ANSWERED);
    else
        await_request(conn);
}

static void drop_head(struct conn *conn)
{
    if (conn->partial)
        frame_free(&conn->worker->frames, conn->partial);
    conn->partial = NULL;
    conn->filled = 0;
}

/* Acts upon what the parser said of the head. */
static void requested(struct conn *conn, const struct http_request *request, int parsed)
{
    if (parsed == -EBADMSG)
        counters_add(conn->worker->counters, COUNTER_handshakes_failed, 1);
    if (parsed > 0 && http_answer_is_upgrade(request))
        upgrade(conn, request);
    else if (parsed > 0 && http_answer_is_websocket(request))
        upgrade_websocket(conn, request);
    else
        answer(conn, request, parsed);
    /* The request points into the head: only now may it go. */
    drop_head(conn);
}

size_t handshake_http(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct http_request request = {0};
    size_t before = conn->partial ? conn->filled : 0;
    size_t scanned = conn->partial ? conn->partial->sent : 0;
    size_t room = HTTP_MAX_HEAD + 1 - before;
    size_t taken = len < room ? len : room;
    const char *head = (const char *)bytes;

    if (conn->partial) {
        (void)keep_head(conn, bytes, taken);
        head = (const char *)conn->partial->data;
    }
    int parsed = http_request_parse(&request, head, before + taken, &scanned);
    if (parsed != 0) {
        requested(conn, &request, parsed);
        return parsed > 0 ? (size_t)parsed - before : len;
    }
    if (!conn->partial && !keep_head(conn, bytes, taken)) {
        conn_close(conn, CONN_END_RESOURCES);
        return len;
    }
    conn->partial->sent = (uint32_t)scanned;
    return taken;
}

/* What other members of the region may know of the client, and what it may do. */
static void note_privileges(struct conn *conn, const struct client_info *info)
{
    const struct hyperderp_relay *relay = conn->worker->relay;
    struct sink *sink = conn->sink;

    sink->can_mesh =
        relay->has_mesh_key && info->has_mesh_key &&
        sodium_memcmp(relay->secrets->mesh_key, info->mesh_key, sizeof(info->mesh_key)) == 0;
    sink->present_flags |= (uint8_t)((sink->can_mesh ? PEER_PRESENT_MESH : 0) |
                                     (info->is_prober ? PEER_PRESENT_PROBER : 0));
    if (sink->present_flags == 0)
        sink->present_flags = PEER_PRESENT_REGULAR;
}

void handshake_client_info(struct conn *conn, const uint8_t *payload, size_t len)
{
    struct worker *worker = conn->worker;
    const struct limits *limits = &worker->relay->limits;
    struct server_info server = {
        .version = DERP_PROTOCOL_VERSION,
        .token_bucket_bytes_per_second = (int64_t)limits_client_rate(limits),
        .token_bucket_bytes_burst = (int64_t)limits_client_burst(limits),
    };
    uint8_t nonce[HELLO_NONCE_SIZE];
    struct hello_secret secret;
    struct client_info info;

    int error = hello_client_info_open(&worker->relay->secrets->private_key, payload, len,
                                       &conn->key, &info, &secret);
    if (error) {
        conn_close(conn, error == -ENOMEM ? CONN_END_RESOURCES : CONN_END_PROTOCOL);
        return;
    }
    conn->greeting =
        frame_alloc(&worker->frames, HELLO_MAX_SERVER_INFO, FRAME_USE_CONTROL, worker->index);
    randombytes_buf(nonce, sizeof(nonce));
    ssize_t size = -ENOMEM;
    if (conn->greeting)
        size = hello_server_info_seal(&secret, nonce, &server, conn->greeting->data,
                                      HELLO_MAX_SERVER_INFO);
    hello_secret_wipe(&secret);
    if (size < 0) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    conn->greeting->size = (uint32_t)size;
    note_privileges(conn, &info);
    sodium_memzero(info.mesh_key, sizeof(info.mesh_key));
    conn_set_state(conn, CONN_ADMISSION);
    admission_ask(conn, &info);
}

size_t handshake_hold(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct worker *worker = conn->worker;

    /* Reading has stopped with this chunk: what it holds is all that comes. */
    if (!frame_append(&worker->frames, &conn->held, bytes, len, FRAME_USE_INCOMING))
        conn_close(conn, CONN_END_RESOURCES);
    return len;
}

void handshake_decided(struct conn *conn, hyperderp_verdict verdict)
{
    if (verdict != HYPERDERP_ALLOW) {
        conn_close(conn, CONN_END_DENIED);
        return;
    }
    conn_open(conn);
    struct frame *held = conn->held;
    conn->held = NULL;
    if (!held)
        return;
    /* Not a receive chunk: what is forwarded from here is copied. */
    conn_content(conn, NULL, held->data, held->size);
    frame_free(&conn->worker->frames, held);
}

void handshake_denied(struct conn *conn, const char *reason)
{
    char address[ENDPOINT_TEXT_SIZE], key[KEY_SHORT_SIZE];

    endpoint_format(&conn->sink->from, address);
    key_format_short(&conn->key, key);
    log_line(&conn->worker->relay->log, HYPERDERP_LOG_INFO, "client denied: %s %s: %s", address,
             key, reason);
    conn_turn_away(conn, reason);
}
