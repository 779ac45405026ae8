/* SPDX-License-Identifier: BSD-3-Clause */
/* A blocking DERP client: the client core on a stream. */
#include "client/client_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/dial.h"
#include "client/stream.h"

struct client_socket {
    struct client_stream stream;
    struct client client;
    char *host;
};

static int send_bytes(struct client_socket *s, const void *bytes, size_t len, int64_t deadline)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    return client_stream_send(&s->stream, &piece, 1, deadline);
}

/* The next message of any type but CLIENT_MESSAGE_NONE. */
static int next_message(struct client_socket *s, struct client_message *message, int64_t deadline)
{
    struct client_stream *stream = &s->stream;
    ssize_t n;
    int err;

    for (;;) {
        if (stream->buffer != NULL) {
            n = client_read(&s->client, stream->buffer + stream->start, stream->end - stream->start,
                            message);
            if (n < 0)
                return (int)n;
            stream->start += (size_t)n;
            if (message->type != CLIENT_MESSAGE_NONE)
                return 0;
        }
        err = client_stream_fill(stream, deadline);
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
        if (err == 0 && message.type != CLIENT_MESSAGE_SERVER_INFO && dial_time_left(deadline) == 0)
            err = -ETIMEDOUT;
    }
    free(out);
    return err;
}

/* Fast start needs the relay's key before the client core begins: given, or by TLS. */
static int init_client(struct client_socket *s, struct client_options *options)
{
    if (s->stream.tls != NULL && options->fast_start &&
        hyperderp_key_is_zero(&options->server_key)) {
        if (!s->stream.tls->has_relay_key)
            return -ENOKEY;
        options->server_key = s->stream.tls->relay_key;
    }
    return client_init(&s->client, options);
}

/* fd -1: dials. */
static int connect_socket(struct client_socket **out, int fd, const char *address,
                          const struct client_options *options,
                          const struct client_tls_options *tls, int timeout_ms)
{
    struct client_options own = *options;
    struct client_socket *s;
    int64_t deadline = dial_deadline(timeout_ms);
    int err;

    *out = NULL;
    if (tls != NULL && tls->fault != NULL)
        tls->fault[0] = '\0';
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    s->stream.fd = fd;
    s->host = strdup(options->host != NULL ? options->host : address);
    err = s->host == NULL ? -ENOMEM : client_stream_connect(&s->stream, address, tls, deadline);
    own.host = s->host;
    if (err == 0)
        err = init_client(s, &own);
    hyperderp_private_key_wipe(&own.private_key);
    if (err == 0)
        err = handshake(s, deadline);
    if (err < 0) {
        client_socket_close(s);
        return err;
    }
    *out = s;
    return 0;
}

int client_socket_connect_tls(struct client_socket **out, const char *address,
                              const struct client_options *options,
                              const struct client_tls_options *tls, int timeout_ms)
{
    return connect_socket(out, -1, address, options, tls, timeout_ms);
}

int client_socket_connect_over(struct client_socket **out, int fd, const char *address,
                               const struct client_options *options,
                               const struct client_tls_options *tls, int timeout_ms)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        int error = -errno;
        *out = NULL;
        close(fd);
        return error;
    }
    return connect_socket(out, fd, address, options, tls, timeout_ms);
}

int client_socket_connect(struct client_socket **out, const char *address,
                          const struct client_options *options, int timeout_ms)
{
    return client_socket_connect_tls(out, address, options, NULL, timeout_ms);
}

void client_socket_close(struct client_socket *s)
{
    if (s == NULL)
        return;
    client_stream_close(&s->stream);
    client_wipe(&s->client);
    free(s->host);
    free(s);
}

int client_socket_fd(const struct client_socket *s)
{
    return s->stream.fd;
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
    return client_stream_send(&s->stream, pieces, 2, dial_deadline(timeout_ms));
}

int client_socket_send_raw(struct client_socket *s, const void *bytes, size_t len, int timeout_ms)
{
    return send_bytes(s, bytes, len, dial_deadline(timeout_ms));
}

int client_socket_recv(struct client_socket *s, struct client_message *message, int timeout_ms)
{
    return next_message(s, message, dial_deadline(timeout_ms));
}

const hyperderp_key *client_socket_relay_key(const struct client_socket *s)
{
    return &s->client.server_key;
}

const char *client_socket_suite(const struct client_socket *s)
{
    return s->stream.tls != NULL ? s->stream.tls->suite : NULL;
}

const char *client_socket_alert(const struct client_socket *s)
{
    const struct client_tls *tls = s->stream.tls;

    return tls != NULL && tls->error < 0 ? tls_alert_name(tls->rx.alert) : NULL;
}

int client_socket_send_record(struct client_socket *s, enum tls_content type, const void *bytes,
                              size_t len, size_t part, int timeout_ms)
{
    return client_stream_send_record(&s->stream, type, bytes, len, part, dial_deadline(timeout_ms));
}

int client_socket_send_key_update(struct client_socket *s, bool request, int timeout_ms)
{
    return client_stream_send_key_update(&s->stream, request, dial_deadline(timeout_ms));
}

int client_socket_send_alert(struct client_socket *s, enum tls_alert alert, int timeout_ms)
{
    /* The level means nothing in TLS 1.3. */
    const uint8_t bytes[2] = {alert == TLS_ALERT_CLOSE_NOTIFY ? 1 : 2, (uint8_t)alert};

    return client_socket_send_record(s, TLS_CONTENT_ALERT, bytes, sizeof(bytes), 0, timeout_ms);
}

int client_socket_send_unsealed(struct client_socket *s, const void *bytes, size_t len,
                                int timeout_ms)
{
    return client_stream_write(&s->stream, bytes, len, dial_deadline(timeout_ms));
}
