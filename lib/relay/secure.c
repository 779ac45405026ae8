/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS of a connection: ClientHello, handshake, records, faults. */
#include "relay/secure.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/conn.h"
#include "relay/link.h"
#include "relay/sink.h"
#include "relay/tls_queue.h"
#include "relay/worker.h"
#include "tls/client_handshake.h"
#include "tls/ktls.h"

_Static_assert(sizeof(struct secure) <= VAULT_OBJECT, "keys are in the vault");

bool secure_begin(struct conn *conn, struct tls_server *server, bool offload)
{
    conn->secure = vault_take(&conn->worker->relay->vault);
    if (!conn->secure) {
        tls_server_unref(server);
        return false;
    }
    conn->secure->server = server;
    conn->secure->offload = offload;
    return true;
}

static void drop_coming(struct conn *conn)
{
    if (conn->secure->coming)
        frame_free(&conn->worker->frames, conn->secure->coming);
    conn->secure->coming = NULL;
}

/* Frees what only a handshake needs. */
static void end_handshake(struct secure *secure)
{
    tls_handshake_free(secure->handshake);
    tls_server_unref(secure->server);
    secure->handshake = NULL;
    secure->server = NULL;
}

void secure_end(struct conn *conn)
{
    struct secure *secure = conn->secure;

    if (!secure || secure->stage == SECURE_ENDED)
        return;
    tls_queue_leave(conn);
    drop_coming(conn);
    end_handshake(secure);
    if (secure->stage == SECURE_OPEN || secure->stage == SECURE_KERNEL)
        counters_add(conn->worker->counters, COUNTER_tls_connections, (uint64_t)-1);
    if (secure->stage == SECURE_KERNEL)
        counters_add(conn->worker->counters, COUNTER_tls_kernel_connections, (uint64_t)-1);
    tls_rx_wipe(&secure->rx);
    secure->stage = SECURE_ENDED;
}

void secure_free(struct conn *conn)
{
    secure_end(conn);
    vault_give(&conn->worker->relay->vault, conn->secure);
    conn->secure = NULL;
}

/* Keeps bytes until there are more. Bytes of a stream of records cannot be skipped: without memory
 * for them it ends. */
static void keep(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct worker *worker = conn->worker;
    bool begins = !conn->secure->coming;

    if (len == 0)
        return;
    if (!frame_append(&worker->frames, &conn->secure->coming, bytes, len, FRAME_USE_INCOMING) &&
        !frame_append(&worker->frames, &conn->secure->coming, bytes, len, FRAME_USE_CONTROL)) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    /* The rest of a frame is waited for already, and that time is not prolonged. */
    if (begins && !conn->partial)
        conn_expect_rest(conn);
}

/* ---- The handshake ---- */

/* What a browser or curl gets that speaks HTTP to a port for HTTPS. */
static const char plain_http_answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                        "Content-Type: text/plain; charset=utf-8\r\n"
                                        "Connection: close\r\n"
                                        "Content-Length: 53\r\n\r\n"
                                        "This port speaks HTTPS, and the request was for HTTP\n";

static bool looks_like_http(const uint8_t *bytes, size_t len)
{
    return len >= 4 && (memcmp(bytes, "GET ", 4) == 0 || memcmp(bytes, "HEAD", 4) == 0);
}

static void refuse_stranger(struct conn *conn, const uint8_t *bytes, size_t len)
{
    if (looks_like_http(bytes, len) &&
        conn_send_control(conn, (const uint8_t *)plain_http_answer, sizeof(plain_http_answer) - 1))
        conn_finish(conn, CONN_END_NOT_TLS);
    else
        conn_close(conn, CONN_END_NOT_TLS);
}

/* Gathers the record that the ClientHello begins with, which nearly always is all of it. */
static void gather_hello(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct secure *secure = conn->secure;

    if (!secure->coming && !tls_looks_like_client_hello(bytes, len)) {
        refuse_stranger(conn, bytes, len);
        return;
    }
    keep(conn, bytes, len);
    if (conn->state == CONN_CLOSED || !secure->coming)
        return;
    const uint8_t *hello = secure->coming->data;
    size_t size = secure->coming->size;
    if (!tls_looks_like_client_hello(hello, size))
        refuse_stranger(conn, hello, size);
    else if (size > TLS_MAX_HANDSHAKE_INPUT)
        conn_close(conn, CONN_END_PROTOCOL);
    else if (size >= TLS_HEADER_SIZE && size >= tls_hello_size(hello))
        tls_queue_wait(conn);
}

/* Sends what OpenSSL has to say. */
static bool send_output(struct conn *conn)
{
    const uint8_t *bytes;
    size_t len = tls_handshake_output(conn->secure->handshake, &bytes);

    return len == 0 || conn_send_control(conn, bytes, len);
}

bool secure_call(struct conn *conn, struct tls_client *client, const char *host)
{
    conn->secure = vault_take(&conn->worker->relay->vault);
    if (!conn->secure)
        return false;
    conn->secure->stage = SECURE_CALLING;
    conn->secure->handshake = tls_client_handshake_new(client, host);
    return conn->secure->handshake && send_output(conn);
}

/* A client's last words before the records begin must be gone by then, and not wait in the sink.
 * They are short, and all that was sent before them has been answered: there is room. */
static bool send_output_now(struct conn *conn)
{
    const uint8_t *bytes;
    size_t len = tls_handshake_output(conn->secure->handshake, &bytes);

    return len == 0 ||
           send(conn->sink->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

static void read_records(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len);
static void hand_over(struct conn *conn);

/* From OpenSSL to our own record layer. */
static void take_over(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct secure *secure = conn->secure;
    struct tls_tx tx = {0};
    uint8_t *rest;
    size_t rest_len;

    bool done = tls_handshake_finish(secure->handshake, &tx, &secure->rx, &rest, &rest_len) == 0 &&
                sink_secure(worker, conn->sink, &tx, secure->offload);
    tls_tx_wipe(&tx);
    if (!done) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    tls_queue_leave(conn);
    secure->stage = SECURE_OPEN;
    counter_bump(&worker->counters->tls_handshakes[HYPERDERP_TLS_OK], conn->link == NULL);
    counters_add(worker->counters, COUNTER_tls_connections, 1);
    conn_set_state(conn, CONN_HTTP);
    if (conn->link)
        link_speak(conn);
    /* What follows may close the connection: the handshake, with the rest in it, stays until then.
     */
    struct tls_handshake *handshake = secure->handshake;
    secure->handshake = NULL;
    end_handshake(secure);
    read_records(conn, NULL, rest, rest_len);
    hand_over(conn);
    tls_handshake_free(handshake);
}

static void step(struct conn *conn, const uint8_t *bytes, size_t len)
{
    enum tls_progress progress = tls_handshake_input(conn->secure->handshake, bytes, len);

    if (!(conn->link ? send_output_now(conn) : send_output(conn))) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    switch (progress) {
    case TLS_PROGRESS_MORE:
        break;
    case TLS_PROGRESS_DONE:
        take_over(conn);
        break;
    case TLS_PROGRESS_FAILED:
        conn_log(conn, tls_handshake_fault(conn->secure->handshake));
        conn_finish(conn, CONN_END_PROTOCOL);
        break;
    }
}

/* Until the ClientHello is whole and the server has chosen, each step may be the expensive one: it
 * waits for its turn, too. */
static void shake(struct conn *conn, const uint8_t *bytes, size_t len)
{
    if (tls_handshake_is_answered(conn->secure->handshake)) {
        step(conn, bytes, len);
        return;
    }
    keep(conn, bytes, len);
    if (conn->state == CONN_CLOSED)
        return;
    tls_queue_leave(conn);
    tls_queue_wait(conn);
}

void secure_answer(struct conn *conn)
{
    struct secure *secure = conn->secure;
    struct frame *hello = secure->coming;

    secure->coming = NULL;
    if (!secure->handshake)
        secure->handshake = tls_handshake_new(secure->server);
    if (secure->handshake)
        step(conn, hello->data, hello->size);
    else
        conn_close(conn, CONN_END_RESOURCES);
    frame_free(&conn->worker->frames, hello);
}

/* ---- Records ---- */

/* Ends the connection with an alert (RFC 8446 section 6.2). */
static void fault(struct conn *conn, uint8_t alert)
{
    conn_log(conn, tls_alert_name(alert));
    counters_add(conn->worker->counters, COUNTER_tls_alerts_sent, 1);
    sink_set_alert(conn->sink, alert);
    conn_finish(conn, CONN_END_PROTOCOL);
}

/* The client has changed its key, and rx has the next one. */
static void follow_key(struct conn *conn, bool asks)
{
    struct secure *secure = conn->secure;

    if (secure->by_kernel && ktls_set_rx(conn->sink->fd, &secure->rx) != 0) {
        counters_add(conn->worker->counters, COUNTER_tls_alerts_sent, 1);
        sink_set_alert(conn->sink, TLS_ALERT_INTERNAL_ERROR);
        conn_finish(conn, CONN_END_NEW_KEY);
        return;
    }
    counters_add(conn->worker->counters, COUNTER_tls_key_updates, 1);
    if (asks)
        sink_ask_update(conn->sink);
}

/* Does what a record asks for. Its content is there for TLS_EVENT_DATA. */
static void act(struct conn *conn, enum tls_event event, struct io_chunk *chunk, uint8_t *content,
                size_t len)
{
    struct counters *counters = conn->worker->counters;
    const struct tls_rx *rx = &conn->secure->rx;

    switch (event) {
    case TLS_EVENT_DATA:
        conn_input(conn, chunk, content, len);
        break;
    case TLS_EVENT_UPDATE_REQUEST:
    case TLS_EVENT_KEY_UPDATE:
        follow_key(conn, event == TLS_EVENT_UPDATE_REQUEST);
        break;
    case TLS_EVENT_CLOSE:
        conn_finish(conn, CONN_END_BY_PEER);
        break;
    case TLS_EVENT_ALERT:
        counters_add(counters, COUNTER_tls_alerts_received, 1);
        conn_log(conn, tls_alert_name(rx->alert));
        conn_close(conn, CONN_END_BY_PEER);
        break;
    case TLS_EVENT_FAULT:
        fault(conn, rx->alert);
        break;
    }
}

static void open_record(struct conn *conn, struct io_chunk *chunk, uint8_t *record, size_t size)
{
    struct worker *worker = conn->worker;
    uint8_t *content;
    size_t len;

    enum tls_event event =
        tls_open(worker_ciphers(worker), &conn->secure->rx, record, size, &content, &len);
    counters_add(worker->counters, COUNTER_tls_records_opened, 1);
    act(conn, event, chunk, content, len);
}

/* Whether the content of records is still wanted. */
static bool is_reading(const struct conn *conn)
{
    return conn->state != CONN_DRAINING && conn->state != CONN_CLOSED;
}

static void read_records(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    while (len > 0 && is_reading(conn)) {
        int size = tls_record_size(bytes, len);
        if (size < 0) {
            fault(conn, (uint8_t)-size);
            return;
        }
        if (size == 0 || (size_t)size > len) {
            keep(conn, bytes, len);
            return;
        }
        open_record(conn, chunk, bytes, (size_t)size);
        bytes += size;
        len -= (size_t)size;
    }
}

/* The size of a record whose beginning waits and goes on in bytes; as tls_record_size(). */
static int split_record_size(const struct frame *coming, const uint8_t *bytes, size_t len)
{
    uint8_t header[TLS_HEADER_SIZE];
    size_t known = coming->size < sizeof(header) ? coming->size : sizeof(header);
    size_t more = sizeof(header) - known < len ? sizeof(header) - known : len;

    memcpy(header, coming->data, known);
    memcpy(header + known, bytes, more);
    return tls_record_size(header, known + more);
}

/* Goes on with a record that is split: in front of a chunk is room for all of it but a byte. */
static void join_records(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    struct frame *coming = conn->secure->coming;
    size_t before = coming->size;
    int size = split_record_size(coming, bytes, len);

    if (size == 0 || (size > 0 && before + len < (size_t)size)) {
        keep(conn, bytes, len);
        return;
    }
    if (size < 0) {
        fault(conn, (uint8_t)-size);
        return;
    }
    memcpy(bytes - before, coming->data, before);
    drop_coming(conn);
    read_records(conn, chunk, bytes - before, before + len);
}

/* ---- Records that the kernel opens ---- */

/* Leaves opening to the kernel, which begins with a whole record: as soon as those that were
 * received end with one. Where it does not take the keys, we go on. */
static void hand_over(struct conn *conn)
{
    struct secure *secure = conn->secure;

    if (!secure->offload || secure->stage != SECURE_OPEN || secure->coming || conn->receiving ||
        !is_reading(conn))
        return;
    secure->offload = false;
    secure->by_kernel =
        sink_is_offloaded(conn->sink) && ktls_set_rx(conn->sink->fd, &secure->rx) == 0;
    if (!secure->by_kernel) {
        conn_log(conn, "the kernel does not take its TLS keys");
        return;
    }
    secure->stage = SECURE_KERNEL;
    counters_add(conn->worker->counters, COUNTER_tls_kernel_connections, 1);
}

/* What recv() gives is content. */
static void take_content(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    act(conn, tls_take(&conn->secure->rx, TLS_CONTENT_DATA, bytes, len), chunk, bytes, len);
}

/* recv() has stopped at a record that is not content. False when it cannot be fetched. */
static bool take_control(struct conn *conn)
{
    uint8_t type, content[KTLS_CONTROL_SIZE];
    ssize_t len = ktls_recv_record(conn->sink->fd, &type, content, sizeof(content));

    if (len < 0 && len != -EAGAIN && len != -EINTR)
        return false;
    if (type == 0 || !is_reading(conn))
        return true; /* the next receive tells of the end; what is not wanted is gone */
    act(conn, tls_take(&conn->secure->rx, type, content, (size_t)len), NULL, content,
        type == TLS_CONTENT_DATA ? (size_t)len : 0);
    return true;
}

bool secure_settles(struct conn *conn, int error)
{
    if (!conn->secure || !conn->secure->by_kernel)
        return false;
    if (error == -EIO)
        return take_control(conn);
    int alert = is_reading(conn) ? ktls_fault(conn->sink->fd, error) : -1;
    if (alert < 0)
        return false;
    fault(conn, (uint8_t)alert);
    return true;
}

void secure_input(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len)
{
    if (!is_reading(conn))
        return;
    switch ((enum secure_stage)conn->secure->stage) {
    case SECURE_GREETED:
        gather_hello(conn, bytes, len);
        break;
    case SECURE_QUEUED:
    case SECURE_ENDED:
        break; /* nothing is read */
    case SECURE_SHAKING:
        shake(conn, bytes, len);
        break;
    case SECURE_CALLING:
        step(conn, bytes, len);
        break;
    case SECURE_OPEN:
        if (conn->secure->coming)
            join_records(conn, chunk, bytes, len);
        else
            read_records(conn, chunk, bytes, len);
        hand_over(conn);
        break;
    case SECURE_KERNEL:
        take_content(conn, chunk, bytes, len);
        break;
    }
}
