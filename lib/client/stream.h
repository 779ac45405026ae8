/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A blocking stream of bytes to a relay, over TCP or TLS. Deadlines are those of dial.h.
 */
#ifndef CLIENT_STREAM_H
#define CLIENT_STREAM_H

#include "client/client_tls.h"

struct client_tls_options {
    struct tls_client *client; /* must outlive the connecting alone */
    const char *name;          /* the host that the certificate must be for; NULL: the address's */
    char *fault; /* receives why TLS failed, or "": HYPERDERP_FAULT_SIZE bytes; NULL: not wanted */
};

struct client_stream {
    int fd;   /* -1: none */
    bool cut; /* a send stopped in the middle: the relay can make no sense of more */

    /* Of capacity bytes: start to end have been received and not yet read; the reader moves start.
     * Behind them, up to raw_end, TLS has the beginning of a record. */
    uint8_t *buffer;
    size_t capacity, start, end, raw_end;

    struct client_tls *tls; /* NULL: plain TCP */
    struct tls_ciphers ciphers;
    uint8_t *sealed; /* room for what is sent */
    size_t sealed_room;
};

/* Connects a stream of zeros, but for fd: -1, or a connected socket that does not block, which it
 * takes over in any case; address then only names it. TLS is done when it returns. tls NULL: plain.
 * What dial() says, or -EPROTO, -EPIPE, -ETIMEDOUT of the handshake, -EINVAL for the name. */
int client_stream_connect(struct client_stream *stream, const char *address,
                          const struct client_tls_options *tls, int64_t deadline);

/* Closes it, connected or not; TLS says close_notify if the socket takes that at once. */
void client_stream_close(struct client_stream *stream);

/* Receives more, behind `end`, at least once; of TLS that may be no byte yet. What waits to be read
 * must be less than a frame of CLIENT_MAX_FRAME bytes. 0; -ETIMEDOUT, -ECONNRESET, -EPIPE at the
 * end, and as client_tls_open() has it. */
int client_stream_fill(struct client_stream *stream, int64_t deadline);

/* Sends all of the pieces, which it changes. 0; -EPIPE, -ECONNRESET, -ETIMEDOUT. */
int client_stream_send(struct client_stream *stream, struct iovec *pieces, unsigned count,
                       int64_t deadline);

/* Sends bytes past TLS. */
int client_stream_write(struct client_stream *stream, const void *bytes, size_t len,
                        int64_t deadline);

/* See client_socket_send_record() and client_socket_send_key_update(). */
int client_stream_send_record(struct client_stream *stream, enum tls_content type,
                              const void *bytes, size_t len, size_t part, int64_t deadline);
int client_stream_send_key_update(struct client_stream *stream, bool request, int64_t deadline);

#endif
