/* SPDX-License-Identifier: BSD-3-Clause */
/* What sealing and opening share: keys and sequence number. For lib/tls alone. */
#ifndef TLS_HALF_H
#define TLS_HALF_H

#include "tls/record.h"

/* 0 or -EIO. */
int half_init(struct tls_half *half, const struct tls_suite *suite, const uint8_t *secret);
void half_wipe(struct tls_half *half);

/* Goes on to the next traffic secret (RFC 8446 section 7.2), from sequence number 0. 0 or -EIO. */
int half_update(struct tls_half *half) __attribute__((warn_unused_result));

/* Makes the nonce of the half's next record (section 5.3), and goes on to the one behind it. */
void half_next_nonce(struct tls_half *half, uint8_t nonce[TLS_IV_SIZE]);

/* What stands in an alert, and in a KeyUpdate. */
#define TLS_ALERT_SIZE 2
void half_write_alert(enum tls_alert alert, uint8_t out[TLS_ALERT_SIZE]);
void half_write_key_update(bool request, uint8_t out[TLS_KEY_UPDATE_SIZE]);

#endif
