/* SPDX-License-Identifier: BSD-3-Clause */
/* HMAC (RFC 2104) over OpenSSL's hashes, and HKDF-Expand-Label of TLS 1.3 for one block. For
 * lib/tls alone. */
#ifndef TLS_HKDF_H
#define TLS_HKDF_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

/* The longest block of a hash in TLS 1.3, SHA-384's. */
#define HMAC_MAX_BLOCK 128

/* Writes as many bytes as the hash has. The context is the caller's; one that is used again for the
 * same hash costs no allocation. 0; -EINVAL for a key longer than the hash's block; -EIO. */
int hmac_once(EVP_MD_CTX *context, const EVP_MD *hash, const uint8_t *key, size_t key_size,
              const uint8_t *text, size_t len, uint8_t *out) __attribute__((warn_unused_result));

struct octets {
    const uint8_t *bytes; /* or NULL */
    size_t len;
};

/* What a derivation is for: the label in two parts, of which the first is "tls13 ", and the
 * context. */
struct hkdf_label {
    struct octets prefix, name, data;
};

/*
 * HKDF-Expand-Label (RFC 8446 section 7.1), for at most as many bytes as the hash has: no secret or
 * key of TLS 1.3 is longer. The context as for hmac_once(). 0; -EINVAL without a secret, or for
 * what does not fit; -EIO.
 */
int hkdf_expand_label(EVP_MD_CTX *context, const EVP_MD *hash, struct octets secret,
                      const struct hkdf_label *label, uint8_t *out, size_t size)
    __attribute__((warn_unused_result));

#endif
