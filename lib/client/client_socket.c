/* SPDX-License-Identifier: BSD-3-Clause */
/* A blocking DERP client: the client core on a non-blocking TCP socket, with poll() and a deadline
 * around each step. */
#include "client/client_socket.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FIRST_BUFFER 16384

struct client_socket {
    int fd;
    bool cut; /* a send stopped in the middle: the relay can make no sense of more */
    struct client client;
    char *host;
    uint8_t *buffer; /* of capacity bytes; start to end have been received and not yet read */
    size_t capacity, start, end;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A deadline is a time of now_ms(), or -1 when there is none. */
static int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

static int time_left(int64_t deadline)
{
    int64_t left;

    if (deadline < 0)
        return -1;
    left = deadline - now_ms();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* Waits until the socket is ready for events. 0 or -ETIMEDOUT. */
static int wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd item = {.fd = fd, .events = events};
    int n;

    for (;;) {
        n = poll(&item, 1, time_left(deadline));
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

/* Splits "HOST:PORT" or "[IPV6]:PORT" into two strings that the caller frees. 0, -EINVAL, -ENOMEM.
 * */
static int split_address(const char *address, char **host, char **port)
{
    const char *colon = strrchr(address, ':');
    const char *begin = address, *end = colon;

    if (colon == NULL || colon == address || colon[1] == '\0')
        return -EINVAL;
    if (*address == '[') {
        if (end[-1] != ']' || end - begin < 3)
            return -EINVAL;
        begin++;
        end--;
    } else if (memchr(address, ':', (size_t)(colon - address)) != NULL) {
        return -EINVAL; /* an IPv6 address without brackets: its port would be a guess */
    }
    *host = strndup(begin, (size_t)(end - begin));
    *port = strdup(colon + 1);
    if (*host != NULL && *port != NULL)
        return 0;
    free(*host);
    free(*port);
    return -ENOMEM;
}

/* Returns a connected socket or a negative errno. */
static int connect_one(const struct addrinfo *to, int64_t deadline)
{
    int fd, err = 0, one = 1;
    socklen_t len = sizeof(err);

    fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
        err = -errno;
        if (err == -EINPROGRESS) {
            err = wait_for(fd, POLLOUT, deadline);
            if (err == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
                err = errno;
            err = err > 0 ? -err : err;
        }
    }
    if (err < 0) {
        close(fd);
        return err;
    }
    return fd;
}

static int connect_any(const char *address, int64_t deadline)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char *host, *port;
    int fd;

    fd = split_address(address, &host, &port);
    if (fd < 0)
        return fd;
    fd = -ENOENT;
    if (getaddrinfo(host, port, &hints, &list) == 0) {
        for (struct addrinfo *each = list; each != NULL && fd < 0; each = each->ai_next)
            fd = connect_one(each, deadline);
        freeaddrinfo(list);
    }
    free(host);
    free(port);
    return fd;
}

static int send_pieces(struct client_socket *s, struct iovec *piece, size_t pieces,
                       int64_t deadline)
{
    bool begun = false;
    int err = 0;
    ssize_t n;

    if (s->cut)
        return -EPIPE;
    for (;;) {
        while (pieces > 0 && piece->iov_len == 0) {
            piece++;
            pieces--;
        }
        if (pieces == 0)
            return 0;
        n = sendmsg(s->fd, &(struct msghdr){.msg_iov = piece, .msg_iovlen = pieces}, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = errno == EAGAIN ? wait_for(s->fd, POLLOUT, deadline) : -errno;
            if (err == 0)
                continue;
            s->cut = begun;
            return err;
        }
        begun = begun || n > 0;
        for (size_t i = 0, left = (size_t)n; i < pieces && left > 0; i++) {
            size_t part = left < piece[i].iov_len ? left : piece[i].iov_len;

            piece[i].iov_base = (uint8_t *)piece[i].iov_base + part;
            piece[i].iov_len -= part;
            left -= part;
        }
    }
}

static int send_bytes(struct client_socket *s, const void *bytes, size_t len, int64_t deadline)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    return send_pieces(s, &piece, 1, deadline);
}

/* Makes room behind the received bytes: moves them to the front, or doubles the buffer. */
static int make_room(struct client_socket *s)
{
    size_t capacity = s->capacity == 0 ? FIRST_BUFFER : s->capacity * 2;
    uint8_t *grown;

    if (s->end < s->capacity)
        return 0;
    if (s->start > 0) {
        memmove(s->buffer, s->buffer + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
        return 0;
    }
    if (s->capacity >= CLIENT_MAX_FRAME)
        return -EPROTO;
    if (capacity > CLIENT_MAX_FRAME)
        capacity = CLIENT_MAX_FRAME;
    grown = realloc(s->buffer, capacity);
    if (grown == NULL)
        return -ENOMEM;
    s->buffer = grown;
    s->capacity = capacity;
    return 0;
}

static int fill(struct client_socket *s, int64_t deadline)
{
    ssize_t n;
    int err = make_room(s);

    while (err == 0) {
        n = recv(s->fd, s->buffer + s->end, s->capacity - s->end, 0);
        if (n > 0) {
            s->end += (size_t)n;
            return 0;
        }
        if (n == 0)
            return -EPIPE;
        if (errno == EAGAIN)
            err = wait_for(s->fd, POLLIN, deadline);
        else if (errno != EINTR)
            err = -errno;
    }
    return err;
}

/* The next message of any type but CLIENT_MESSAGE_NONE. */
static int next_message(struct client_socket *s, struct client_message *message, int64_t deadline)
{
    ssize_t n;
    int err;

    for (;;) {
        if (s->start == s->end)
            s->start = s->end = 0;
        if (s->buffer != NULL) {
            n = client_read(&s->client, s->buffer + s->start, s->end - s->start, message);
            if (n < 0)
                return (int)n;
            s->start += (size_t)n;
            if (message->type != CLIENT_MESSAGE_NONE)
                return 0;
        }
        err = fill(s, deadline);
        if (err < 0)
            return err;
    }
}

static int handshake(struct client_socket *s, int64_t deadline)
{
    size_t room = CLIENT_MAX_REQUEST + strlen(s->host);
    uint8_t *out = malloc(room);
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};
    ssize_t n;
    int err;

    if (out == NULL)
        return -ENOMEM;
    n = client_request(&s->client, out, room);
    err = n < 0 ? (int)n : send_bytes(s, out, (size_t)n, deadline);
    while (err == 0 && message.type != CLIENT_MESSAGE_SERVER_INFO) {
        err = next_message(s, &message, deadline);
        if (err == 0 && message.type == CLIENT_MESSAGE_SEND_INFO) {
            n = client_info_frame(&s->client, out, room);
            err = n < 0 ? (int)n : send_bytes(s, out, (size_t)n, deadline);
        }
        /* A relay that never stops sending other frames must not keep us here. */
        if (err == 0 && message.type != CLIENT_MESSAGE_SERVER_INFO && time_left(deadline) == 0)
            err = -ETIMEDOUT;
    }
    free(out);
    return err;
}

int client_socket_connect(struct client_socket **out, const char *address,
                          const struct client_options *options, int timeout_ms)
{
    struct client_options own = *options;
    struct client_socket *s;
    int64_t deadline = deadline_after(timeout_ms);
    int err;

    *out = NULL;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->fd = -1;
    s->host = strdup(options->host != NULL ? options->host : address);
    if (s->host == NULL) {
        client_socket_close(s);
        return -ENOMEM;
    }
    own.host = s->host;
    err = client_init(&s->client, &own);
    hyperderp_private_key_wipe(&own.private_key);
    if (err == 0) {
        s->fd = connect_any(address, deadline);
        err = s->fd < 0 ? s->fd : handshake(s, deadline);
    }
    if (err < 0) {
        client_socket_close(s);
        return err;
    }
    *out = s;
    return 0;
}

void client_socket_close(struct client_socket *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0)
        close(s->fd);
    client_wipe(&s->client);
    free(s->host);
    free(s->buffer);
    free(s);
}

int client_socket_fd(const struct client_socket *s)
{
    return s->fd;
}

const hyperderp_key *client_socket_key(const struct client_socket *s)
{
    return &s->client.public_key;
}

int client_socket_send(struct client_socket *s, const hyperderp_key *to, const void *packet,
                       size_t len, int timeout_ms)
{
    uint8_t header[FRAME_PACKET_OVERHEAD];
    struct iovec pieces[2] = {
        {.iov_base = header, .iov_len = sizeof(header)},
        {.iov_base = (void *)(uintptr_t)packet, .iov_len = len},
    };

    if (len > FRAME_MAX_PACKET)
        return -EMSGSIZE;
    client_packet_header(header, to, len);
    return send_pieces(s, pieces, 2, deadline_after(timeout_ms));
}

int client_socket_send_raw(struct client_socket *s, const void *bytes, size_t len, int timeout_ms)
{
    return send_bytes(s, bytes, len, deadline_after(timeout_ms));
}

int client_socket_recv(struct client_socket *s, struct client_message *message, int timeout_ms)
{
    return next_message(s, message, deadline_after(timeout_ms));
}
