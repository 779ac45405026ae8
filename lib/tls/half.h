/* SPDX-License-Identifier: BSD-3-Clause */
/* What sealing and opening share: keys, sequence number, the cipher's context. For lib/tls alone.
 */
#ifndef TLS_HALF_H
#define TLS_HALF_H

#include "tls/record.h"

/* 0 or -EIO. */
int half_init(struct tls_half *half, const struct tls_suite *suite, const uint8_t *secret);
void half_wipe(struct tls_half *half);

/* Goes on to the next traffic secret (RFC 8446 section 7.2), from sequence number 0. 0 or -EIO. */
int half_update(struct tls_half *half) __attribute__((warn_unused_result));

/* Makes the thread's context ready for the half's next record: its key, its nonce (section 5.3),
 * the direction. 0, -ENOMEM, -EIO. */
int half_begin(struct tls_half *half, struct tls_ciphers *ciphers, bool seal,
               EVP_CIPHER_CTX **context) __attribute__((warn_unused_result));

/* What stands in an alert, and in a KeyUpdate. */
#define TLS_ALERT_SIZE 2
void half_write_alert(enum tls_alert alert, uint8_t out[TLS_ALERT_SIZE]);
void half_write_key_update(bool request, uint8_t out[TLS_KEY_UPDATE_SIZE]);

#endif
