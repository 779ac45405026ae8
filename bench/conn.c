/* SPDX-License-Identifier: BSD-3-Clause */
/* One client connection of the load generator: connecting, the handshake, reading, sending. */
#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"

/* While so many bytes wait, a ping is not answered. */
#define PONG_LIMIT 8388608

int load_conn_init(struct load_conn *conn, uint32_t number, const char *host, struct load_tls *tls)
{
    struct client_options options = {
        .host = host,
        .info = {.version = DERP_PROTOCOL_VERSION, .can_ack_pings = true},
    };
    int err;

    *conn = (struct load_conn){.number = number, .fd = -1, .epoll = -1, .shared = tls};
    err = hyperderp_private_key_generate(&options.private_key);
    if (err < 0)
        return err;
    err = client_init(&conn->client, &options);
    hyperderp_private_key_wipe(&options.private_key);
    return err;
}

void load_conn_free(struct load_conn *conn)
{
    load_conn_close(conn);
    client_wipe(&conn->client);
    if (conn->tls != NULL)
        client_tls_wipe(conn->tls);
    free(conn->tls);
    free(conn->out);
    free(conn->partial);
    conn->tls = NULL;
    conn->out = conn->partial = NULL;
}

void load_conn_close(struct load_conn *conn)
{
    if (conn->fd >= 0)
        close(conn->fd); /* which also takes it out of the epoll set */
    conn->fd = -1;
    conn->state = LOAD_CONN_CLOSED;
}

static int set_events(struct load_conn *conn, int operation, bool write)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};

    if (write)
        event.events |= EPOLLOUT;
    conn->watches_write = write;
    return epoll_ctl(conn->epoll, operation, conn->fd, &event) < 0 ? -errno : 0;
}

int load_conn_watch_write(struct load_conn *conn, bool always)
{
    bool write = always || load_conn_blocked(conn);

    return write == conn->watches_write ? 0 : set_events(conn, EPOLL_CTL_MOD, write);
}

int load_conn_start(struct load_conn *conn, int epoll, const struct sockaddr *address,
                    socklen_t len)
{
    int one = 1;

    conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return -errno;
    conn->epoll = epoll;
    conn->state = LOAD_CONN_CONNECTING;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(conn->fd, address, len) < 0 && errno != EINPROGRESS)
        return -errno;
    return set_events(conn, EPOLL_CTL_ADD, true);
}

/* The bytes that the socket takes now, or a negative errno. */
static ssize_t send_some(struct load_conn *conn, const uint8_t *bytes, size_t len)
{
    size_t sent = 0;
    ssize_t n;

    while (sent < len) {
        n = send(conn->fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return -errno;
    }
    return (ssize_t)sent;
}

/* Sends what waits, as far as the socket takes it. */
static int flush(struct load_conn *conn)
{
    ssize_t n = send_some(conn, conn->out + conn->out_start, conn->out_end - conn->out_start);

    if (n < 0)
        return (int)n;
    conn->out_start += (size_t)n;
    if (!load_conn_blocked(conn))
        conn->out_start = conn->out_end = 0;
    return 0;
}

/* Lets bytes wait for the socket. */
static int keep_unsent(struct load_conn *conn, const uint8_t *bytes, size_t len)
{
    uint8_t *grown;

    if (conn->out_room - conn->out_end < len) {
        grown = realloc(conn->out, conn->out_end + len);
        if (grown == NULL)
            return -ENOMEM;
        conn->out = grown;
        conn->out_room = conn->out_end + len;
    }
    memcpy(conn->out + conn->out_end, bytes, len);
    conn->out_end += len;
    return load_conn_watch_write(conn, true);
}

const char *load_conn_say_why(const struct load_conn *conn, int err)
{
    if (conn->tls != NULL && conn->tls->fault[0] != '\0')
        return conn->tls->fault;
    if (err == -EPIPE)
        return "the relay closed it";
    if (err == -ECONNABORTED && conn->tls != NULL)
        return tls_alert_name(conn->tls->rx.alert);
    if (err == -EPROTO)
        return "the relay sent what is not DERP";
    return strerror(-err);
}

/* Sends bytes as they are. */
static int send_bytes(struct load_conn *conn, const uint8_t *bytes, size_t len)
{
    ssize_t n = load_conn_blocked(conn) ? 0 : send_some(conn, bytes, len);

    if (n < 0 || (size_t)n == len)
        return n < 0 ? (int)n : 0;
    return keep_unsent(conn, bytes + n, len - (size_t)n);
}

static int send_sealed(struct load_conn *conn, const uint8_t *bytes, size_t len)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct load_tls *shared = conn->shared;
    size_t room = client_tls_sealed_size(len);
    uint8_t *grown;
    ssize_t n;

    if (room > shared->room) {
        grown = realloc(shared->sealed, room);
        if (grown == NULL)
            return -ENOMEM;
        shared->sealed = grown;
        shared->room = room;
    }
    n = client_tls_seal(conn->tls, &shared->ciphers, &piece, 1, shared->sealed);
    return n < 0 ? (int)n : send_bytes(conn, shared->sealed, (size_t)n);
}

int load_conn_send(struct load_conn *conn, const uint8_t *bytes, size_t len)
{
    return conn->shared != NULL ? send_sealed(conn, bytes, len) : send_bytes(conn, bytes, len);
}

size_t load_conn_sent_size(const struct load_conn *conn, size_t len)
{
    size_t records = (len + TLS_MAX_PLAINTEXT - 1) / TLS_MAX_PLAINTEXT;

    return conn->shared != NULL ? len + records * TLS_OVERHEAD : len;
}

/* Begins to speak HTTP. */
static int send_request(struct load_conn *conn, uint8_t *scratch)
{
    ssize_t n = client_request(&conn->client, scratch, LOAD_CONN_SCRATCH_SIZE);

    if (n < 0)
        return (int)n;
    conn->state = LOAD_CONN_HANDSHAKE;
    return load_conn_send(conn, scratch, (size_t)n);
}

static int send_tls_output(struct load_conn *conn)
{
    const uint8_t *bytes;
    size_t len = client_tls_output(conn->tls, &bytes);

    return len > 0 ? send_bytes(conn, bytes, len) : 0;
}

static int begin_tls(struct load_conn *conn)
{
    int err;

    conn->tls = calloc(1, sizeof(*conn->tls));
    if (conn->tls == NULL)
        return -ENOMEM;
    conn->state = LOAD_CONN_TLS;
    err = client_tls_begin(conn->tls, conn->shared->client, conn->shared->name);
    return err < 0 ? err : send_tls_output(conn);
}

static int finish_connect(struct load_conn *conn, uint8_t *scratch)
{
    socklen_t len = sizeof(int);
    int err = 0;

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    if (err != 0)
        return -err;
    err = conn->shared != NULL ? begin_tls(conn) : send_request(conn, scratch);
    return err < 0 ? err : load_conn_watch_write(conn, false);
}

static int send_client_info(struct load_conn *conn)
{
    uint8_t frame[HELLO_MAX_CLIENT_INFO];
    ssize_t n = client_info_frame(&conn->client, frame, sizeof(frame));

    return n < 0 ? (int)n : load_conn_send(conn, frame, (size_t)n);
}

static int send_pong(struct load_conn *conn, const uint8_t *ping)
{
    uint8_t frame[FRAME_PONG_SIZE];

    if (conn->out_end > PONG_LIMIT)
        return 0;
    return load_conn_send(conn, frame, frame_encode_pong(frame, ping));
}

static int handle_message(struct load_conn *conn, const struct client_message *message,
                          uint64_t now_ns, load_conn_packet_fn *on_packet, void *user)
{
    switch (message->type) {
    case CLIENT_MESSAGE_SEND_INFO:
        return send_client_info(conn);
    case CLIENT_MESSAGE_SERVER_INFO:
        conn->state = LOAD_CONN_OPEN;
        return 0;
    case CLIENT_MESSAGE_PING:
        return send_pong(conn, message->payload);
    case CLIENT_MESSAGE_PACKET:
        on_packet(user, conn, message, now_ns);
        return 0;
    default:
        return 0;
    }
}

/* Keeps the bytes of a frame that is not complete. */
static int keep_partial(struct load_conn *conn, const uint8_t *bytes, size_t len)
{
    uint8_t *grown;

    if (len > conn->partial_room) {
        grown = realloc(conn->partial, len);
        if (grown == NULL)
            return -ENOMEM;
        conn->partial = grown;
        conn->partial_room = len;
    }
    if (len > 0)
        memcpy(conn->partial, bytes, len);
    conn->partial_len = len;
    return 0;
}

/* A step of the TLS handshake; behind the last one HTTP begins. */
static int read_tls_handshake(struct load_conn *conn, uint8_t *scratch)
{
    ssize_t n = recv(conn->fd, scratch, LOAD_CONN_READ_SIZE, 0);
    int done, err;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -EPIPE;
    done = client_tls_input(conn->tls, scratch, (size_t)n);
    err = send_tls_output(conn);
    if (done <= 0 || err < 0)
        return done < 0 ? done : err;
    n = client_tls_take_over(conn->tls, scratch, LOAD_CONN_READ_SIZE);
    if (n < 0)
        return (int)n;
    conn->record_len = (size_t)n;
    err = keep_partial(conn, scratch, (size_t)n);
    return err < 0 ? err : send_request(conn, scratch);
}

/* Opens the records that begin record_len bytes before the new ones, which end at *len: what they
 * held is then at their place, and ends at *len. */
static void open_records(struct load_conn *conn, uint8_t *scratch, size_t new_bytes, size_t *len)
{
    size_t raw = conn->record_len + new_bytes, begin = *len - raw, content;

    client_tls_open(conn->tls, &conn->shared->ciphers, scratch + begin, raw, &content,
                    &conn->record_len);
    *len = begin + content;
}

/* A partial frame has fewer than CLIENT_MAX_FRAME bytes and a record at most TLS_MAX_RECORD, so
 * that LOAD_CONN_READ_SIZE are left behind them. */
static int read_once(struct load_conn *conn, uint8_t *scratch, load_conn_packet_fn *on_packet,
                     void *user)
{
    struct client_message message;
    size_t len = conn->partial_len, at = 0;
    uint64_t now_ns;
    ssize_t n;
    int err;

    n = recv(conn->fd, scratch + len, LOAD_CONN_READ_SIZE, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        return -EPIPE;
    now_ns = clock_ns();
    if (len > 0)
        memcpy(scratch, conn->partial, len);
    len += (size_t)n;
    if (conn->tls != NULL)
        open_records(conn, scratch, (size_t)n, &len);
    do {
        n = client_read(&conn->client, scratch + at, len - at, &message);
        if (n < 0)
            return (int)n;
        at += (size_t)n;
        err = handle_message(conn, &message, now_ns, on_packet, user);
        if (err < 0)
            return err;
    } while (message.type != CLIENT_MESSAGE_NONE);
    if (conn->tls != NULL && conn->tls->error < 0)
        return conn->tls->error;
    return keep_partial(conn, scratch + at, len - at + conn->record_len);
}

int load_conn_event(struct load_conn *conn, uint32_t events, uint8_t *scratch,
                    load_conn_packet_fn *on_packet, void *user)
{
    int err;

    if (conn->state == LOAD_CONN_CONNECTING)
        return finish_connect(conn, scratch);
    if ((events & EPOLLOUT) != 0) {
        err = flush(conn);
        if (err < 0)
            return err;
    }
    /* EPOLLHUP and EPOLLERR too are learned by reading. */
    if ((events & ~(uint32_t)EPOLLOUT) == 0)
        return 0;
    return conn->state == LOAD_CONN_TLS ? read_tls_handshake(conn, scratch)
                                        : read_once(conn, scratch, on_packet, user);
}
