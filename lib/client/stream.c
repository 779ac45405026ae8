/* SPDX-License-Identifier: BSD-3-Clause */
/* A blocking stream to a relay: a non-blocking TCP socket, with TLS on it or not, and poll() with a
 * deadline around each step. */
#include "client/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/client.h"
#include "client/dial.h"

#define FIRST_BUFFER 16384

static int write_pieces(struct client_stream *s, struct iovec *piece, size_t pieces,
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
            err = errno == EAGAIN ? dial_wait(s->fd, POLLOUT, deadline) : -errno;
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

int client_stream_write(struct client_stream *s, const void *bytes, size_t len, int64_t deadline)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    return write_pieces(s, &piece, 1, deadline);
}

/* Makes room for records, and waits until the socket takes some: once they have their numbers they
 * must go out. */
static int begin_sealing(struct client_stream *s, size_t room, int64_t deadline)
{
    if (s->cut)
        return -EPIPE;
    if (room > s->sealed_room) {
        uint8_t *grown = realloc(s->sealed, room);

        if (grown == NULL)
            return -ENOMEM;
        s->sealed = grown;
        s->sealed_room = room;
    }
    return dial_wait(s->fd, POLLOUT, deadline);
}

/* Writes records, in parts; what does not go out cuts the stream. */
static int write_sealed(struct client_stream *s, ssize_t size, size_t part, int64_t deadline)
{
    int err = size < 0 ? (int)size : 0;
    size_t len = size < 0 ? 0 : (size_t)size;

    if (part == 0 || part > len)
        part = len;
    for (size_t at = 0; at < len && err == 0; at += part)
        err = client_stream_write(s, s->sealed + at, len - at < part ? len - at : part, deadline);
    s->cut = s->cut || err < 0;
    return err;
}

int client_stream_send(struct client_stream *s, struct iovec *pieces, unsigned count,
                       int64_t deadline)
{
    size_t len = 0;
    int err;

    if (s->tls == NULL)
        return write_pieces(s, pieces, count, deadline);
    for (unsigned i = 0; i < count; i++)
        len += pieces[i].iov_len;
    err = begin_sealing(s, client_tls_sealed_size(len), deadline);
    if (err < 0)
        return err;
    return write_sealed(s, client_tls_seal(s->tls, &s->ciphers, pieces, count, s->sealed), 0,
                        deadline);
}

/* Makes room behind the received bytes: moves them to the front, or doubles the buffer. */
static int make_room(struct client_stream *s)
{
    size_t limit = CLIENT_MAX_FRAME + (s->tls != NULL ? TLS_MAX_RECORD : 0);
    size_t capacity = s->capacity == 0 ? FIRST_BUFFER : s->capacity * 2;
    uint8_t *grown;

    if (s->start == s->raw_end)
        s->start = s->end = s->raw_end = 0;
    if (s->raw_end < s->capacity)
        return 0;
    if (s->start > 0) {
        memmove(s->buffer, s->buffer + s->start, s->raw_end - s->start);
        s->end -= s->start;
        s->raw_end -= s->start;
        s->start = 0;
        return 0;
    }
    if (s->capacity >= limit)
        return -EPROTO;
    if (capacity > limit)
        capacity = limit;
    grown = realloc(s->buffer, capacity);
    if (grown == NULL)
        return -ENOMEM;
    s->buffer = grown;
    s->capacity = capacity;
    return 0;
}

/* Receives to raw_end. */
static int receive(struct client_stream *s, int64_t deadline)
{
    ssize_t n;
    int err = make_room(s);

    while (err == 0) {
        n = recv(s->fd, s->buffer + s->raw_end, s->capacity - s->raw_end, 0);
        if (n > 0) {
            s->raw_end += (size_t)n;
            return 0;
        }
        if (n == 0)
            return -EPIPE;
        if (errno == EAGAIN)
            err = dial_wait(s->fd, POLLIN, deadline);
        else if (errno != EINTR)
            err = -errno;
    }
    return err;
}

/* Sends an alert if the socket takes it at once: nobody waits for it. */
static void say_alert(struct client_stream *s, enum tls_alert alert)
{
    if (s->tls != NULL && s->tls->done && begin_sealing(s, 2 + TLS_OVERHEAD, dial_deadline(0)) == 0)
        (void)write_sealed(s, tls_seal_alert(&s->ciphers, &s->tls->tx, alert, s->sealed), 0,
                           dial_deadline(0));
}

static void open_records(struct client_stream *s)
{
    size_t content, rest;

    client_tls_open(s->tls, &s->ciphers, s->buffer + s->end, s->raw_end - s->end, &content, &rest);
    s->end += content;
    s->raw_end = s->end + rest;
    if (s->tls->error == -EPROTO)
        say_alert(s, s->tls->rx.alert);
}

int client_stream_fill(struct client_stream *s, int64_t deadline)
{
    int err;

    if (s->tls != NULL && s->tls->error < 0)
        return s->tls->error;
    err = receive(s, deadline);
    if (err == 0 && s->tls != NULL)
        open_records(s);
    else if (err == 0)
        s->end = s->raw_end;
    return err;
}

/* Sends and receives until the TLS handshake is done. */
static int run_tls_handshake(struct client_stream *s, int64_t deadline)
{
    const uint8_t *bytes;
    size_t len;
    int done = 0, err = 0;

    for (;;) {
        len = client_tls_output(s->tls, &bytes);
        if (len > 0)
            err = client_stream_write(s, bytes, len, deadline);
        if (err < 0 || done != 0)
            return done < 0 ? done : err;
        s->raw_end = 0;
        err = receive(s, deadline);
        if (err < 0)
            return err;
        done = client_tls_input(s->tls, s->buffer, s->raw_end);
    }
}

static int start_tls(struct client_stream *s, const char *address,
                     const struct client_tls_options *options, int64_t deadline)
{
    char *host = NULL, *port = NULL;
    ssize_t rest = 0;
    int err = dial_split(address, &host, &port);

    if (err < 0)
        return err;
    err = client_tls_begin(s->tls, options->client, options->name != NULL ? options->name : host);
    free(host);
    free(port);
    if (err == 0)
        err = run_tls_handshake(s, deadline);
    if (options->fault != NULL)
        snprintf(options->fault, HYPERDERP_FAULT_SIZE, "%s", s->tls->fault);
    if (err == 0)
        rest = client_tls_take_over(s->tls, s->buffer, s->capacity);
    if (err < 0 || rest < 0)
        return err < 0 ? err : (int)rest;
    s->raw_end = (size_t)rest;
    open_records(s);
    return 0;
}

int client_stream_connect(struct client_stream *s, const char *address,
                          const struct client_tls_options *tls, int64_t deadline)
{
    if (s->fd < 0)
        s->fd = dial(address, deadline);
    if (s->fd < 0)
        return s->fd;
    if (tls == NULL)
        return 0;
    s->tls = calloc(1, sizeof(*s->tls));
    return s->tls == NULL ? -ENOMEM : start_tls(s, address, tls, deadline);
}

void client_stream_close(struct client_stream *s)
{
    say_alert(s, TLS_ALERT_CLOSE_NOTIFY);
    if (s->fd >= 0)
        close(s->fd);
    if (s->tls != NULL)
        client_tls_wipe(s->tls);
    tls_ciphers_wipe(&s->ciphers);
    free(s->tls);
    free(s->sealed);
    free(s->buffer);
}

int client_stream_send_record(struct client_stream *s, enum tls_content type, const void *bytes,
                              size_t len, size_t part, int64_t deadline)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    int err;

    if (s->tls == NULL || len > TLS_MAX_PLAINTEXT)
        return -EINVAL;
    err = begin_sealing(s, len + TLS_OVERHEAD, deadline);
    if (err < 0)
        return err;
    return write_sealed(s, tls_seal(&s->ciphers, &s->tls->tx, type, &piece, 1, s->sealed), part,
                        deadline);
}

int client_stream_send_key_update(struct client_stream *s, bool request, int64_t deadline)
{
    int err;

    if (s->tls == NULL)
        return -EINVAL;
    err = begin_sealing(s, TLS_KEY_UPDATE_SIZE + TLS_OVERHEAD, deadline);
    if (err < 0)
        return err;
    return write_sealed(s, tls_seal_key_update(&s->ciphers, &s->tls->tx, request, s->sealed), 0,
                        deadline);
}
