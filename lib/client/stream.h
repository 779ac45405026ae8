/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A blocking stream of bytes to a relay, over TCP or TLS: a channel on a socket, for tests.
 * Deadlines are those of dial.h.
 */
#ifndef CLIENT_STREAM_H
#define CLIENT_STREAM_H

#include "client/channel.h"

struct client_tls_options {
    struct tls_client *client; /* must outlive the connecting alone */
    const char *name;          /* the host that the certificate must be for; NULL: the address's */
    char *fault; /* receives why TLS failed, or "": HYPERDERP_FAULT_SIZE bytes; NULL: not wanted */
};

struct client_stream {
    int fd; /* -1: none */
    struct channel channel;
};

/* Connects a stream of zeros, but for fd: -1, or a connected socket that does not block, which it
 * takes over in any case; address then only names it. TLS is done when it returns. tls NULL: plain.
 * What dial() says, or -EPROTO, -EPIPE, -ETIMEDOUT of the handshake, -EINVAL for the name. */
int client_stream_connect(struct client_stream *stream, const char *address,
                          const struct client_tls_options *tls, int64_t deadline);

/* Closes it, connected or not; TLS says close_notify if the socket takes that at once. */
void client_stream_close(struct client_stream *stream);

/* Receives more, behind `end` of the channel, at least once; of TLS that may be no byte yet. As
 * channel_read(). */
int client_stream_fill(struct client_stream *stream, int64_t deadline);

/* Sends all of the pieces, and bytes past TLS. 0; -EPIPE, -ECONNRESET, -ETIMEDOUT. */
int client_stream_send(struct client_stream *stream, const struct iovec *pieces, unsigned count,
                       int64_t deadline);
int client_stream_write(struct client_stream *stream, const void *bytes, size_t len,
                        int64_t deadline);

#endif
