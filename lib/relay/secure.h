/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS under the receiving half of a connection: its handshake, then its records. The sending half
 * is the sink's. Owned by the conn's worker.
 *
 * Records are opened where they lie in the receive chunk, and their content goes on from there. Of
 * one that is split over chunks, what has come waits in a frame of the pool and is put in front of
 * the next chunk, so that every record is opened in a chunk.
 */
#ifndef RELAY_SECURE_H
#define RELAY_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/chunk.h"
#include "relay/frame_pool.h"
#include "tls/handshake.h"

struct conn;
struct tls_client;

enum secure_stage {
    SECURE_GREETED, /* waits for the whole of a ClientHello */
    SECURE_QUEUED,  /* the ClientHello waits for its turn (tls_queue.h); nothing is read */
    SECURE_SHAKING, /* has answered, waits for the client's Finished */
    SECURE_CALLING, /* is a client itself (link.h), and has sent its ClientHello */
    SECURE_OPEN,    /* passes records */
    SECURE_KERNEL,  /* the same, but the kernel opens them (tls/ktls.h) */
    SECURE_ENDED,   /* holds nothing any more */
};

struct secure {
    uint8_t stage;        /* enum secure_stage */
    struct frame *coming; /* of a ClientHello or a record, what has come; or NULL */
    struct tls_rx rx;     /* in SECURE_OPEN and SECURE_KERNEL */
    bool offload;         /* the kernel is to open records as soon as that is possible */
    bool by_kernel;       /* it does, to the end of the stream */

    /* Until then. */
    struct tls_server *server;       /* a reference */
    struct tls_handshake *handshake; /* in SECURE_SHAKING and SECURE_CALLING */
    struct conn *next, *prev;        /* in a list of tls_queue.h */
    int64_t answered;                /* when the ClientHello was */
};

/* Puts TLS under a new connection, whose records the kernel is to make and open if offload is set;
 * the reference to server passes, also on failure. False without memory. */
bool secure_begin(struct conn *conn, struct tls_server *server, bool offload);

/* Puts TLS under a new connection of which this relay is the client, and sends the ClientHello;
 * host is whom the certificate must be for. False without memory, or for what can be no host. */
bool secure_call(struct conn *conn, struct tls_client *client, const char *host);

/* Takes bytes that the client has sent, which lie in a chunk. */
void secure_input(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len);

/* A receive has ended with this error (negative). Tells whether that was an affair of TLS by the
 * kernel, which is dealt with. */
bool secure_settles(struct conn *conn, int error);

/* Answers the ClientHello, which has waited for its turn. */
void secure_answer(struct conn *conn);

/* Frees it with its connection. */
void secure_free(struct conn *conn);

/* Nothing more is read: lets go of handshake and keys. Nothing to do without TLS, or again. */
void secure_end(struct conn *conn);

/* Tells whether nothing is to be read for now. */
static inline bool secure_is_queued(const struct secure *secure)
{
    return secure && secure->stage == SECURE_QUEUED;
}

/* Tells whether nothing may be read ahead, as the kernel is to take over where a record ends. */
static inline bool secure_awaits_kernel(const struct secure *secure)
{
    return secure && secure->offload && secure->stage <= SECURE_OPEN;
}

/* Tells whether a record is half received. */
static inline bool secure_is_waiting(const struct secure *secure)
{
    return secure && secure->coming;
}

#endif
