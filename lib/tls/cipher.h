/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cipher of a record (RFC 8446 section 5.2): OpenSSL's, or for AES-GCM that of gcm.h where the
 * build and the processor have it. For lib/tls alone.
 */
#ifndef TLS_CIPHER_H
#define TLS_CIPHER_H

#include "tls/record.h"

/* Encrypts pieces and the content type behind them to out, and puts the tag behind that. out may be
 * the only piece itself. 0, -ENOMEM, -EIO. */
int cipher_seal(struct tls_ciphers *ciphers, struct tls_half *half,
                const uint8_t header[TLS_HEADER_SIZE], const struct iovec *pieces, unsigned count,
                uint8_t type, uint8_t *out) __attribute__((warn_unused_result));

/* Decrypts in place the len bytes behind a record's header, which the tag follows. 0, -EBADMSG when
 * they are not authentic: then nothing may be done with what stands there now; -ENOMEM, -EIO. */
int cipher_open(struct tls_ciphers *ciphers, struct tls_half *half, uint8_t *record, size_t len)
    __attribute__((warn_unused_result));

#endif
