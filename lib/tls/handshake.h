/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TLS 1.3 handshake of a server: OpenSSL over memory, driven by bytes. It reads no socket,
 * never waits, and hands over to the record layer (record.h) when it is done. A client's begins
 * with client_handshake.h, and is driven by the same functions.
 */
#ifndef TLS_HANDSHAKE_H
#define TLS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tls/certificate.h"
#include "tls/record.h"

/* What the other side may send before the handshake is done. A ClientHello has 200 to 2,000 bytes,
 * what a server says is mostly its certificates. */
#define TLS_MAX_HANDSHAKE_INPUT 32768

/* What all handshakes with one certificate share. Immutable; counted references, any thread. */
struct tls_server;

/* Chooses by the name that a client asks for (RFC 6066 section 3): a certificate with a reference
 * for the caller, or NULL for the usual one. */
typedef hyperderp_certificate *tls_choose_fn(void *user, const char *name);

/* derpkey is appended to each chain; NULL: none. choose may be NULL. Takes references of its own.
 * 0; -EINVAL with the reason in fault, HYPERDERP_FAULT_SIZE bytes; -ENOMEM. */
int tls_server_new(struct tls_server **out, const hyperderp_certificate *certificate, X509 *derpkey,
                   tls_choose_fn *choose, void *user, char *fault);
struct tls_server *tls_server_ref(struct tls_server *server);
void tls_server_unref(struct tls_server *server); /* NULL is allowed */

enum tls_progress {
    TLS_PROGRESS_MORE,   /* bytes of the other side are needed */
    TLS_PROGRESS_DONE,   /* tls_handshake_finish() */
    TLS_PROGRESS_FAILED, /* what is to be sent, an alert, is to be sent; then it is over */
};

struct tls_handshake;

/* NULL without memory. */
struct tls_handshake *tls_handshake_new(struct tls_server *server);
void tls_handshake_free(struct tls_handshake *handshake); /* NULL is allowed */

/* Takes bytes of the other side, all of them, and goes on as far as they lead. */
enum tls_progress tls_handshake_input(struct tls_handshake *handshake, const uint8_t *bytes,
                                      size_t len) __attribute__((warn_unused_result));

/* Tells whether the ClientHello has been answered: what comes before that may be the expensive
 * step, what comes behind it is a cheap one. */
bool tls_handshake_is_answered(const struct tls_handshake *handshake);

/* What is to be sent to the other side, after each step and also at the end: *bytes is valid until
 * the next call, which takes it as sent. Returns its length, 0 when there is nothing. */
size_t tls_handshake_output(struct tls_handshake *handshake, const uint8_t **bytes);

/* Why it failed, in words for the log; an alert of either side by its name. */
const char *tls_handshake_fault(const struct tls_handshake *handshake);

/* After TLS_PROGRESS_DONE: the name of the cipher suite that the two agreed on. */
const char *tls_handshake_suite(const struct tls_handshake *handshake);

/* After TLS_PROGRESS_DONE: the two halves of the record layer, and the bytes that came behind the
 * handshake, which begin with a record: the caller's to work on until the handshake is freed. 0;
 * -EIO. */
int tls_handshake_finish(struct tls_handshake *handshake, struct tls_tx *tx, struct tls_rx *rx,
                         uint8_t **rest, size_t *rest_len);

/* Tells whether the first bytes of a connection, at least one, can be a ClientHello: whatever else
 * speaks to a TLS port is sorted out before any memory is spent. */
bool tls_looks_like_client_hello(const uint8_t *bytes, size_t len);

/* The size of the record that begins with these TLS_HEADER_SIZE bytes, in the clear. */
size_t tls_hello_size(const uint8_t *header);

#endif
