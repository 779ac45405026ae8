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

int load_conn_init(struct load_conn *conn, uint32_t number, const char *host)
{
    struct client_options options = {
        .host = host,
        .info = {.version = DERP_PROTOCOL_VERSION, .can_ack_pings = true},
    };
    int err;

    *conn = (struct load_conn){.number = number, .fd = -1, .epoll = -1};
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
    free(conn->out);
    free(conn->partial);
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

int load_conn_send(struct load_conn *conn, const uint8_t *bytes, size_t len)
{
    ssize_t n = load_conn_blocked(conn) ? 0 : send_some(conn, bytes, len);

    if (n < 0 || (size_t)n == len)
        return n < 0 ? (int)n : 0;
    return keep_unsent(conn, bytes + n, len - (size_t)n);
}

static int finish_connect(struct load_conn *conn, uint8_t *scratch)
{
    socklen_t len = sizeof(int);
    int err = 0;
    ssize_t n;

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    if (err != 0)
        return -err;
    n = client_request(&conn->client, scratch, LOAD_CONN_SCRATCH_SIZE);
    if (n < 0)
        return (int)n;
    conn->state = LOAD_CONN_HANDSHAKE;
    err = load_conn_send(conn, scratch, (size_t)n);
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

/* A partial frame has fewer than CLIENT_MAX_FRAME bytes, so that LOAD_CONN_READ_SIZE are left
 * behind it. */
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
    do {
        n = client_read(&conn->client, scratch + at, len - at, &message);
        if (n < 0)
            return (int)n;
        at += (size_t)n;
        err = handle_message(conn, &message, now_ns, on_packet, user);
        if (err < 0)
            return err;
    } while (message.type != CLIENT_MESSAGE_NONE);
    return keep_partial(conn, scratch + at, len - at);
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
    if ((events & ~(uint32_t)EPOLLOUT) != 0)
        return read_once(conn, scratch, on_packet, user);
    return 0;
}
