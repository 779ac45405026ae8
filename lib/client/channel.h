/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes between a client and its relay, without sockets: what came and is not yet read, what is
 * to be sent, and TLS between these and the connection, or none. Zeroed to begin with.
 */
#ifndef CLIENT_CHANNEL_H
#define CLIENT_CHANNEL_H

#include "client/client_tls.h"

/* Bytes that always find room when no whole frame and no whole record waits to be read. */
#define CHANNEL_MAX_INPUT 65536

struct channel {
    /* Of in_room bytes: start to end have come and are not yet read; the reader moves start. Behind
     * them, up to raw_end, TLS has the beginning of a record. */
    uint8_t *in;
    size_t in_room, start, end, raw_end;

    /* Of out_room bytes: out_start to out_end are to be sent. */
    uint8_t *out;
    size_t out_room, out_start, out_end;
    bool cut;   /* some of what was to be sent is lost: the relay can make no sense of more */
    bool ended; /* close_notify is under way, or was due: nothing may follow */

    struct client_tls *tls; /* NULL: plain */
    struct tls_ciphers ciphers;
};

/* Begins TLS: what is to be sent is the ClientHello. The client must outlive the handshake. 0,
 * -ENOMEM, -EINVAL as client_tls_begin() has it. */
int channel_begin_tls(struct channel *channel, struct tls_client *client, const char *name)
    __attribute__((warn_unused_result));
void channel_wipe(struct channel *channel);

/* Tells whether data can be sent: there is no TLS, or its handshake is done. */
bool channel_is_ready(const struct channel *channel);

/* ---- What comes ---- */

/* Room for at least one byte, *room of them at *at. 0, -ENOMEM, -ENOBUFS when what waits to be read
 * must be read first. */
int channel_room(struct channel *channel, uint8_t **at, size_t *room)
    __attribute__((warn_unused_result));

/* Tells whether there is any. */
bool channel_has_room(const struct channel *channel);

/* The same for so many bytes, at most CHANNEL_MAX_INPUT. */
int channel_room_for(struct channel *channel, size_t len, uint8_t **at)
    __attribute__((warn_unused_result));

/* Takes len bytes that were put there: they are the next to read, or of TLS a step of the
 * handshake, and records that are opened. 0; -EPROTO when the handshake fails, tls->fault says why;
 * -EIO, -ENOMEM. What is wrong with records is in tls->error. */
int channel_received(struct channel *channel, size_t len) __attribute__((warn_unused_result));

/* ---- What is to be sent ---- */

static inline size_t channel_waiting(const struct channel *channel)
{
    return channel->out_end - channel->out_start;
}

/* Adds pieces, at most CLIENT_TLS_MAX_PIECES; with TLS sealed. 0; -EAGAIN before the handshake is
 * done; -ENOBUFS when more than limit bytes would wait, -ENOMEM: then nothing was added; -EPIPE
 * when the channel has ended or is cut, which any other error does. */
int channel_send(struct channel *channel, const struct iovec *pieces, unsigned count, size_t limit)
    __attribute__((warn_unused_result));

/* Adds bytes past TLS. 0, -ENOMEM, -EPIPE. */
int channel_send_unsealed(struct channel *channel, const void *bytes, size_t len)
    __attribute__((warn_unused_result));

/* Add a record of this type, at most TLS_MAX_PLAINTEXT bytes; a KeyUpdate; an alert. As
 * channel_send(), and -EINVAL without TLS. */
int channel_send_record(struct channel *channel, enum tls_content type, const void *bytes,
                        size_t len) __attribute__((warn_unused_result));
int channel_send_key_update(struct channel *channel, bool request)
    __attribute__((warn_unused_result));
int channel_send_alert(struct channel *channel, enum tls_alert alert);

/* So many bytes were sent. */
void channel_sent(struct channel *channel, size_t len);

/* What waits will not be sent, nor anything else. */
void channel_cut(struct channel *channel);

#endif
