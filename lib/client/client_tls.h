/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS between a DERP client and its connection, without sockets: bytes of the relay in, what they
 * hold out, and the other way round. client_socket.h drives it, and so may any loop.
 */
#ifndef CLIENT_CLIENT_TLS_H
#define CLIENT_CLIENT_TLS_H

#include "tls/client_handshake.h"

struct client_tls {
    struct tls_handshake *handshake; /* until client_tls_take_over() */
    struct tls_tx tx;
    struct tls_rx rx;
    bool done;       /* the handshake is */
    bool update_due; /* the relay has asked for a KeyUpdate */
    int error;       /* why nothing can be received any more, see client_tls_open() */
    const char *suite;
    bool has_relay_key; /* the chain tells it */
    hyperderp_key relay_key;
    char fault[HYPERDERP_FAULT_SIZE]; /* why the handshake failed */
};

/* Begins a handshake; name is the host that the certificate must be for. 0, or -EINVAL for what can
 * be none, also without memory. */
int client_tls_begin(struct client_tls *tls, struct tls_client *client, const char *name)
    __attribute__((warn_unused_result));
void client_tls_wipe(struct client_tls *tls); /* also of one that was zeroed */

/* What is to be sent, after client_tls_begin() and each client_tls_input(): its length, *bytes
 * valid until the next call. */
size_t client_tls_output(struct client_tls *tls, const uint8_t **bytes);

/* Takes bytes of the relay. 0 when more are needed; 1 when the handshake is done, and, with all
 * output sent, to be taken over; -EPROTO with the reason in tls->fault. */
int client_tls_input(struct client_tls *tls, const uint8_t *bytes, size_t len)
    __attribute__((warn_unused_result));

/* Goes over to records. Writes the bytes behind the handshake, for client_tls_open(), to where the
 * last input came from: they are no more than those. Their number, or -EIO, -ENOSPC. */
ssize_t client_tls_take_over(struct client_tls *tls, uint8_t *out, size_t room)
    __attribute__((warn_unused_result));

/* The room that client_tls_seal() needs for len bytes. */
size_t client_tls_sealed_size(size_t len);

/* Seals pieces, at most CLIENT_TLS_MAX_PIECES of them, as records, each as full as can be; a
 * KeyUpdate that is due goes first. Returns the size; -EINVAL, -EIO, -ENOMEM: then the stream
 * cannot go on. */
#define CLIENT_TLS_MAX_PIECES 4
ssize_t client_tls_seal(struct client_tls *tls, struct tls_ciphers *ciphers,
                        const struct iovec *pieces, unsigned count, uint8_t *out)
    __attribute__((warn_unused_result));

/*
 * Opens what are whole records among len bytes, in place. Afterwards the bytes begin with *content
 * bytes that these held, and the *rest bytes behind are the beginning of the next record. When
 * nothing comes behind the content, tls->error says why: -EPIPE for close_notify, -ECONNABORTED for
 * another alert of the relay, -EPROTO when it broke the protocol; tls->rx.alert is then the alert
 * that came or is to be sent.
 */
void client_tls_open(struct client_tls *tls, struct tls_ciphers *ciphers, uint8_t *bytes,
                     size_t len, size_t *content, size_t *rest);

#endif
