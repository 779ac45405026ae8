/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record layer of TLS 1.3 (RFC 8446 section 5), once the handshake is done: bytes in, bytes
 * out. The two halves know nothing of each other: the owner of a connection opens records, whoever
 * drains it seals them. Neither is safe to be used by two threads at once.
 *
 * A half is keys and a sequence number. The cipher's context, a kilobyte, is the thread's
 * (struct tls_ciphers): giving it another key costs a tenth of a microsecond, and a relay passes
 * each record from one key to another anyhow.
 */
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "tls/suite.h"

#define TLS_HEADER_SIZE   5
#define TLS_MAX_PLAINTEXT 16384 /* of content, without its type (section 5.1) */
#define TLS_MAX_RECORD    (TLS_HEADER_SIZE + TLS_MAX_PLAINTEXT + 256) /* section 5.2 */
#define TLS_OVERHEAD      (TLS_HEADER_SIZE + 1 + TLS_TAG_SIZE)        /* of a record that we seal */

/* Content types (section 5.1) that exist after the handshake. */
enum tls_content {
    TLS_CONTENT_ALERT = 21,
    TLS_CONTENT_HANDSHAKE = 22,
    TLS_CONTENT_DATA = 23,
};

/* Alerts (section 6) that we send or name. */
enum tls_alert {
    TLS_ALERT_CLOSE_NOTIFY = 0,
    TLS_ALERT_UNEXPECTED_MESSAGE = 10,
    TLS_ALERT_BAD_RECORD_MAC = 20,
    TLS_ALERT_RECORD_OVERFLOW = 22,
    TLS_ALERT_ILLEGAL_PARAMETER = 47,
    TLS_ALERT_DECODE_ERROR = 50,
    TLS_ALERT_INTERNAL_ERROR = 80,
    TLS_ALERT_USER_CANCELED = 90,
};

/* The name of an alert, as the RFC has it; "unknown" for another. */
const char *tls_alert_name(uint8_t alert);

/* The cipher contexts of one thread, one for each suite and direction, made when they are first
 * needed. Zeroed to begin with. */
struct tls_ciphers {
    struct tls_cipher {
        EVP_CIPHER_CTX *context;  /* of OpenSSL, or */
        struct gcm *gcm;          /* of libipsec-mb */
        uint8_t key[TLS_MAX_KEY]; /* that the context has */
    } ciphers[TLS_SUITES][2];
    bool openssl_alone; /* libipsec-mb is left aside; set it before the first record */
    unsigned made;      /* contexts, since somebody took note of it */
};

/* Wipes and frees the contexts; those that are needed again are made again. Keys of connections
 * that have ended stay in them until others take their place: call it when traffic pauses. */
void tls_ciphers_wipe(struct tls_ciphers *ciphers);

/* One direction's keys. */
struct tls_half {
    const struct tls_suite *suite;
    uint64_t sequence;
    uint8_t iv[TLS_IV_SIZE];
    uint8_t key[TLS_MAX_KEY];
    uint8_t secret[TLS_MAX_SECRET];
};

/* ---- Sealing ---- */

struct tls_tx {
    struct tls_half half;
};

/* Takes over with the traffic secret of our direction, suite->secret_size bytes, from sequence
 * number 0. 0 or -EIO. */
int tls_tx_init(struct tls_tx *tx, const struct tls_suite *suite, const uint8_t *secret);

/* Wipes the keys. One that was zeroed is allowed. */
void tls_tx_wipe(struct tls_tx *tx);

/* Tells whether a KeyUpdate must go out before the next record (section 5.5). */
bool tls_tx_wants_update(const struct tls_tx *tx);

/*
 * Seals pieces of content, together at most TLS_MAX_PLAINTEXT bytes, as one record of that many
 * bytes and TLS_OVERHEAD. out must not overlap the pieces, but for a single piece that lies
 * TLS_HEADER_SIZE bytes behind it. Returns the record's size, or -EINVAL, -EIO, -ENOMEM: then the
 * stream cannot go on.
 */
ssize_t tls_seal(struct tls_ciphers *ciphers, struct tls_tx *tx, enum tls_content type,
                 const struct iovec *pieces, unsigned count, uint8_t *out)
    __attribute__((warn_unused_result));

/* Seals an alert; the room needed is 2 bytes and TLS_OVERHEAD. As tls_seal(). */
ssize_t tls_seal_alert(struct tls_ciphers *ciphers, struct tls_tx *tx, enum tls_alert alert,
                       uint8_t *out) __attribute__((warn_unused_result));

/* Seals a KeyUpdate and goes on to the next key (section 4.6.3); 5 bytes and TLS_OVERHEAD. */
#define TLS_KEY_UPDATE_SIZE 5
ssize_t tls_seal_key_update(struct tls_ciphers *ciphers, struct tls_tx *tx, bool request,
                            uint8_t *out) __attribute__((warn_unused_result));

/* ---- Opening ---- */

/* Records without content that may follow each other, and KeyUpdates without data between them:
 * each costs us work and the other side next to nothing. */
#define TLS_MAX_IDLE_RECORDS 32

/* What a record that was opened turned out to be. */
enum tls_event {
    TLS_EVENT_DATA,           /* content; may be empty */
    TLS_EVENT_KEY_UPDATE,     /* the other side has a new key, and that is all */
    TLS_EVENT_UPDATE_REQUEST, /* ... and wants one of us too */
    TLS_EVENT_CLOSE,          /* close_notify: no data comes any more */
    TLS_EVENT_ALERT,          /* the other side gave up; the alert is in rx->alert */
    TLS_EVENT_FAULT,          /* it broke the protocol; the alert to send is in rx->alert */
};

struct tls_rx {
    struct tls_half half;
    uint8_t alert;        /* enum tls_alert, see TLS_EVENT_ALERT and TLS_EVENT_FAULT */
    uint8_t idle_records; /* since the last content */
    bool closed;          /* nothing is opened any more */
    uint8_t message_len;  /* bytes of a KeyUpdate that came so far: it may be split over records */
    uint8_t message[TLS_KEY_UPDATE_SIZE];
    bool skips_tickets;   /* we are the client: tickets for later connections come unasked */
    uint32_t ticket_left; /* bytes of one that are still to come */
};

/* As tls_tx_init() and tls_tx_wipe(), for the other side's direction. */
int tls_rx_init(struct tls_rx *rx, const struct tls_suite *suite, const uint8_t *secret);
void tls_rx_wipe(struct tls_rx *rx);

/* The size of the record that begins here, header included; 0 when there is no whole header yet.
 * A negative alert (enum tls_alert) when no record may begin so. */
int tls_record_size(const uint8_t *bytes, size_t len) __attribute__((warn_unused_result));

/* Opens a whole record in place. *content is set to what it holds, for TLS_EVENT_DATA. Once the
 * stream is closed, by an alert or a fault, every record is a fault. */
enum tls_event tls_open(struct tls_ciphers *ciphers, struct tls_rx *rx, uint8_t *record,
                        size_t size, uint8_t **content, size_t *len)
    __attribute__((warn_unused_result));

/* Judges a record that somebody else has opened, the kernel (ktls.h), as tls_open() does those that
 * it opens. A key that follows is then in the half. */
enum tls_event tls_take(struct tls_rx *rx, uint8_t type, const uint8_t *content, size_t len)
    __attribute__((warn_unused_result));

#endif
