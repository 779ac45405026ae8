/* SPDX-License-Identifier: BSD-3-Clause */
/* A blocking stream to a relay. */
#include "client/stream.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "client/channel_socket.h"
#include "client/dial.h"
#include "memory/memory.h"

int client_stream_write(struct client_stream *s, const void *bytes, size_t len, int64_t deadline)
{
    int err = channel_send_unsealed(&s->channel, bytes, len);

    return err < 0 ? err : channel_write_all(&s->channel, s->fd, 0, deadline);
}

int client_stream_send(struct client_stream *s, const struct iovec *pieces, unsigned count,
                       int64_t deadline)
{
    return channel_transmit(&s->channel, s->fd, pieces, count, deadline);
}

int client_stream_fill(struct client_stream *s, int64_t deadline)
{
    return channel_read(&s->channel, s->fd, deadline);
}

/* Sends and receives until the TLS handshake is done. */
static int run_tls_handshake(struct client_stream *s, int64_t deadline)
{
    int err = 0, written;

    do {
        written = channel_write_all(&s->channel, s->fd, 0, deadline);
        if (err < 0 || written < 0 || channel_is_ready(&s->channel))
            return err < 0 ? err : written;
        err = channel_read(&s->channel, s->fd, deadline);
    } while (true);
}

static int start_tls(struct client_stream *s, const char *address,
                     const struct client_tls_options *options, int64_t deadline)
{
    char *host = NULL, *port = NULL;
    int err = dial_split(address, &host, &port);

    if (err < 0)
        return err;
    err = channel_begin_tls(&s->channel, options->client,
                            options->name != NULL ? options->name : host);
    memory_free(host);
    memory_free(port);
    if (err == 0)
        err = run_tls_handshake(s, deadline);
    if (options->fault != NULL && s->channel.tls != NULL)
        snprintf(options->fault, HYPERDERP_FAULT_SIZE, "%s", s->channel.tls->fault);
    return err;
}

int client_stream_connect(struct client_stream *s, const char *address,
                          const struct client_tls_options *tls, int64_t deadline)
{
    if (s->fd < 0)
        s->fd = dial(address, deadline);
    if (s->fd < 0)
        return s->fd;
    return tls == NULL ? 0 : start_tls(s, address, tls, deadline);
}

void client_stream_close(struct client_stream *s)
{
    channel_say_goodbye(&s->channel, s->fd);
    if (s->fd >= 0)
        close(s->fd);
    channel_wipe(&s->channel);
}
