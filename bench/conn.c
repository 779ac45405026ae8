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

/* Pongs go behind the packets that wait; more than this many at once are not answered. */
#define PONG_ROOM (16 * FRAME_PONG_SIZE)

int load_conn_init(struct load_conn *conn, uint32_t number, const char *host, size_t out_room)
{
    struct client_options options = {
        .host = host,
        .info = {.version = DERP_PROTOCOL_VERSION, .can_ack_pings = true},
    };
    size_t hello_room = CLIENT_MAX_REQUEST + strlen(host);
    int err;

    *conn = (struct load_conn){.number = number, .fd = -1, .epoll = -1};
    err = hyperderp_private_key_generate(&options.private_key);
    if (err < 0)
        return err;
    err = client_init(&conn->client, &options);
    hyperderp_private_key_wipe(&options.private_key);
    if (err < 0)
        return err;
    conn->out_room = (out_room > hello_room ? out_room : hello_room) + PONG_ROOM;
    conn->out = malloc(conn->out_room);
    return conn->out == NULL ? -ENOMEM : 0;
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

int load_conn_flush(struct load_conn *conn)
{
    ssize_t n;

    while (load_conn_blocked(conn)) {
        n = send(conn->fd, conn->out + conn->out_start, conn->out_end - conn->out_start,
                 MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? load_conn_watch_write(conn, true) : -errno;
        conn->out_start += (size_t)n;
    }
    conn->out_start = conn->out_end = 0;
    return 0;
}

static int finish_connect(struct load_conn *conn)
{
    socklen_t len = sizeof(int);
    int err = 0;
    ssize_t n;

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    if (err != 0)
        return -err;
    n = client_request(&conn->client, conn->out, conn->out_room);
    if (n < 0)
        return (int)n;
    conn->out_end = (size_t)n;
    conn->state = LOAD_CONN_HANDSHAKE;
    err = load_conn_flush(conn);
    return err < 0 ? err : load_conn_watch_write(conn, false);
}

static int send_client_info(struct load_conn *conn)
{
    ssize_t n =
        client_info_frame(&conn->client, conn->out + conn->out_end, conn->out_room - conn->out_end);

    if (n < 0)
        return (int)n;
    conn->out_end += (size_t)n;
    return load_conn_flush(conn);
}

/* Behind whole frames there is a frame's boundary, so a pong fits there. */
static int send_pong(struct load_conn *conn, const uint8_t *ping)
{
    if (conn->out_room - conn->out_end < FRAME_PONG_SIZE)
        return 0;
    conn->out_end += frame_encode_pong(conn->out + conn->out_end, ping);
    return load_conn_flush(conn);
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
        return finish_connect(conn);
    if ((events & EPOLLOUT) != 0) {
        err = load_conn_flush(conn);
        if (err < 0)
            return err;
    }
    /* EPOLLHUP and EPOLLERR too are learned by reading. */
    if ((events & ~(uint32_t)EPOLLOUT) != 0)
        return read_once(conn, scratch, on_packet, user);
    return 0;
}
