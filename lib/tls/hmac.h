/* SPDX-License-Identifier: BSD-3-Clause */
/* HMAC (RFC 2104) over OpenSSL's hashes, and HKDF-Expand for one block. For lib/tls alone. */
#ifndef TLS_HMAC_H
#define TLS_HMAC_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

/* The longest block of a hash in TLS 1.3, SHA-384's. */
#define HMAC_MAX_BLOCK 128

/* Writes as many bytes as the hash has. The context is the caller's; one that is used again for the
 * same hash costs no allocation. 0; -EINVAL for a key longer than the hash's block; -EIO. */
int hmac_once(EVP_MD_CTX *context, const EVP_MD *hash, const uint8_t *key, size_t key_size,
              const uint8_t *text, size_t len, uint8_t *out) __attribute__((warn_unused_result));

#endif
