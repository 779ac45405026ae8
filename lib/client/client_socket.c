/* SPDX-License-Identifier: BSD-3-Clause */
/* A blocking DERP client: a session, driven by a socket. */
#include "client/client_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "client/channel_socket.h"
#include "client/dial.h"
#include "client/session.h"
#include "memory/memory.h"

struct client_socket {
    hyperderp_client *session;
    int fd;
};

static struct channel *channel_of(const struct client_socket *s)
{
    return &s->session->channel;
}

/* The next message of any type but CLIENT_MESSAGE_NONE. */
static int next_message(struct client_socket *s, struct client_message *message, int64_t deadline)
{
    int err;

    while ((err = session_next(s->session, message)) == -EAGAIN) {
        err = channel_write_all(channel_of(s), s->fd, 0, deadline); /* of the handshake */
        if (err == 0)
            err = channel_read(channel_of(s), s->fd, deadline);
        if (err < 0)
            break;
    }
    (void)channel_write_some(channel_of(s), s->fd);
    return err;
}

static int handshake(struct client_socket *s, int64_t deadline)
{
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};
    int err = 0;

    while (err == 0 && message.type != CLIENT_MESSAGE_SERVER_INFO) {
        err = next_message(s, &message, deadline);
        /* A relay that never stops sending other frames must not keep us here. */
        if (err == 0 && message.type != CLIENT_MESSAGE_SERVER_INFO && dial_time_left(deadline) == 0)
            err = -ETIMEDOUT;
    }
    return err;
}

/* The session, and with TLS the name: the one given, or that of the address. */
static int make_session(struct client_socket *s, const char *address,
                        const struct client_options *options, const struct client_tls_options *tls)
{
    struct session_options own = {
        .client = *options, .tls = tls != NULL ? tls->client : NULL, .max_output = SIZE_MAX};
    char *host = NULL, *port = NULL, fault[HYPERDERP_FAULT_SIZE];
    int err = tls != NULL ? dial_split(address, &host, &port) : 0;

    if (err < 0)
        return err;
    if (own.client.host == NULL)
        own.client.host = address;
    own.name = tls != NULL && tls->name != NULL ? tls->name : host;
    err = session_new(&s->session, &own, fault);
    hyperderp_private_key_wipe(&own.client.private_key);
    memory_free(host);
    memory_free(port);
    return err;
}

/* fd -1: dials. */
static int connect_socket(struct client_socket **out, int fd, const char *address,
                          const struct client_options *options,
                          const struct client_tls_options *tls, int timeout_ms)
{
    int64_t deadline = dial_deadline(timeout_ms);
    struct client_socket *s = memory_calloc(1, sizeof(*s));
    int err = -ENOMEM;

    *out = NULL;
    if (tls != NULL && tls->fault != NULL)
        tls->fault[0] = '\0';
    if (s != NULL)
        err = make_session(s, address, options, tls);
    if (err < 0) {
        if (fd >= 0)
            close(fd);
        memory_free(s);
        return err;
    }
    s->fd = fd >= 0 ? fd : dial(address, deadline);
    err = s->fd < 0 ? s->fd : handshake(s, deadline);
    if (err < 0) {
        if (tls != NULL && tls->fault != NULL)
            snprintf(tls->fault, HYPERDERP_FAULT_SIZE, "%s", channel_of(s)->tls->fault);
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
    channel_say_goodbye(channel_of(s), s->fd);
    if (s->fd >= 0)
        close(s->fd);
    hyperderp_client_free(s->session);
    memory_free(s);
}

int client_socket_fd(const struct client_socket *s)
{
    return s->fd;
}

const hyperderp_key *client_socket_key(const struct client_socket *s)
{
    return &s->session->client.public_key;
}

const hyperderp_key *client_socket_relay_key(const struct client_socket *s)
{
    return &s->session->client.server_key;
}

int client_socket_recv(struct client_socket *s, struct client_message *message, int timeout_ms)
{
    return next_message(s, message, dial_deadline(timeout_ms));
}

int client_socket_send(struct client_socket *s, const hyperderp_key *to, const void *packet,
                       size_t len, int timeout_ms)
{
    uint8_t header[FRAME_PACKET_OVERHEAD];
    const struct iovec pieces[2] = {
        {.iov_base = header, .iov_len = sizeof(header)},
        {.iov_base = (void *)(uintptr_t)packet, .iov_len = len},
    };

    if (len > FRAME_MAX_PACKET)
        return -EMSGSIZE;
    client_packet_header(header, to, len);
    return channel_transmit(channel_of(s), s->fd, pieces, 2, dial_deadline(timeout_ms));
}

int client_socket_send_raw(struct client_socket *s, const void *bytes, size_t len, int timeout_ms)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    return channel_transmit(channel_of(s), s->fd, &piece, 1, dial_deadline(timeout_ms));
}

/* ---- Of TLS alone ---- */

const char *client_socket_suite(const struct client_socket *s)
{
    return channel_of(s)->tls != NULL ? channel_of(s)->tls->suite : NULL;
}

const char *client_socket_alert(const struct client_socket *s)
{
    const struct client_tls *tls = channel_of(s)->tls;

    return tls != NULL && tls->error < 0 ? tls_alert_name(tls->rx.alert) : NULL;
}

int client_socket_send_record(struct client_socket *s, enum tls_content type, const void *bytes,
                              size_t len, size_t part, int timeout_ms)
{
    int64_t deadline = dial_deadline(timeout_ms);
    int err = channel_await_writing(channel_of(s), s->fd, deadline);

    if (err == 0)
        err = channel_send_record(channel_of(s), type, bytes, len);
    return err < 0 ? err : channel_write_all(channel_of(s), s->fd, part, deadline);
}

int client_socket_send_key_update(struct client_socket *s, bool request, int timeout_ms)
{
    int64_t deadline = dial_deadline(timeout_ms);
    int err = channel_await_writing(channel_of(s), s->fd, deadline);

    if (err == 0)
        err = channel_send_key_update(channel_of(s), request);
    return err < 0 ? err : channel_write_all(channel_of(s), s->fd, 0, deadline);
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
    int err = channel_send_unsealed(channel_of(s), bytes, len);

    return err < 0 ? err : channel_write_all(channel_of(s), s->fd, 0, dial_deadline(timeout_ms));
}
