/* SPDX-License-Identifier: BSD-3-Clause */
/* Sealing records (RFC 8446 section 5.2), alerts and KeyUpdates. */
#include <errno.h>
#include <string.h>

#include "tls/cipher.h"
#include "tls/half.h"

#define KEY_UPDATE 24 /* the handshake message's type, section 4 */

int tls_tx_init(struct tls_tx *tx, const struct tls_suite *suite, const uint8_t *secret)
{
    return half_init(&tx->half, suite, secret);
}

void tls_tx_wipe(struct tls_tx *tx)
{
    half_wipe(&tx->half);
}

bool tls_tx_wants_update(const struct tls_tx *tx)
{
    return tx->half.sequence >= tx->half.suite->record_limit;
}

static size_t sum(const struct iovec *pieces, unsigned count)
{
    size_t len = 0;

    for (unsigned i = 0; i < count && len <= TLS_MAX_PLAINTEXT; i++)
        len += pieces[i].iov_len;
    return len;
}

ssize_t tls_seal(struct tls_ciphers *ciphers, struct tls_tx *tx, enum tls_content type,
                 const struct iovec *pieces, unsigned count, uint8_t *out)
{
    size_t len = sum(pieces, count), body = len + 1 + TLS_TAG_SIZE;

    if (len > TLS_MAX_PLAINTEXT)
        return -EINVAL;
    const uint8_t header[TLS_HEADER_SIZE] = {TLS_CONTENT_DATA, 3, 3, (uint8_t)(body >> 8),
                                             (uint8_t)body};
    /* The header goes out last: it may lie in front of the piece, but never in it. */
    int error =
        cipher_seal(ciphers, &tx->half, header, pieces, count, (uint8_t)type, out + sizeof(header));
    if (error)
        return error;
    memcpy(out, header, sizeof(header));
    return (ssize_t)(sizeof(header) + body);
}

void half_write_alert(enum tls_alert alert, uint8_t out[TLS_ALERT_SIZE])
{
    /* The level means nothing in TLS 1.3; by convention the two that end nothing are warnings. */
    bool warning = alert == TLS_ALERT_CLOSE_NOTIFY || alert == TLS_ALERT_USER_CANCELED;

    out[0] = warning ? 1 : 2;
    out[1] = (uint8_t)alert;
}

ssize_t tls_seal_alert(struct tls_ciphers *ciphers, struct tls_tx *tx, enum tls_alert alert,
                       uint8_t *out)
{
    uint8_t bytes[TLS_ALERT_SIZE];
    const struct iovec piece = {.iov_base = bytes, .iov_len = sizeof(bytes)};

    half_write_alert(alert, bytes);
    return tls_seal(ciphers, tx, TLS_CONTENT_ALERT, &piece, 1, out);
}

void half_write_key_update(bool request, uint8_t out[TLS_KEY_UPDATE_SIZE])
{
    const uint8_t message[TLS_KEY_UPDATE_SIZE] = {KEY_UPDATE, 0, 0, 1, request ? 1 : 0};

    memcpy(out, message, sizeof(message));
}

ssize_t tls_seal_key_update(struct tls_ciphers *ciphers, struct tls_tx *tx, bool request,
                            uint8_t *out)
{
    uint8_t message[TLS_KEY_UPDATE_SIZE];
    const struct iovec piece = {.iov_base = message, .iov_len = sizeof(message)};

    half_write_key_update(request, message);
    ssize_t size = tls_seal(ciphers, tx, TLS_CONTENT_HANDSHAKE, &piece, 1, out);
    if (size < 0)
        return size;
    int error = half_update(&tx->half);
    return error ? error : size;
}
