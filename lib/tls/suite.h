/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cipher suites of TLS 1.3 that we speak, and what is derived from a traffic secret (RFC 8446
 * sections 5.5, 7.1 to 7.3, B.4). No I/O, no state.
 */
#ifndef TLS_SUITE_H
#define TLS_SUITE_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#define TLS_MAX_SECRET 48 /* a SHA-384 hash */
#define TLS_MAX_KEY    32
#define TLS_IV_SIZE    12
#define TLS_TAG_SIZE   16
#define TLS_SUITES     3

/* Their numbers in the handshake (RFC 8446 section B.4). */
enum tls_suite_id {
    TLS_AES_128_GCM = 0x1301,
    TLS_AES_256_GCM = 0x1302,
    TLS_CHACHA20_POLY1305 = 0x1303,
};

struct tls_suite {
    uint16_t id;   /* enum tls_suite_id */
    uint8_t index; /* below TLS_SUITES */
    const char *name;
    uint8_t key_size;
    uint8_t secret_size;   /* of the suite's hash */
    uint64_t record_limit; /* full-sized records under one key (RFC 8446 section 5.5) */
    const EVP_CIPHER *(*cipher)(void);
    const EVP_MD *(*hash)(void);
};

/* The suite with this number, or NULL. */
const struct tls_suite *tls_suite_find(uint16_t id);

/* HKDF-Expand-Label(secret, label, "", size) (RFC 8446 section 7.1). 0, or -EINVAL, -EIO. */
int tls_expand_label(const struct tls_suite *suite, const uint8_t *secret, const char *label,
                     uint8_t *out, size_t size) __attribute__((warn_unused_result));

/* The key and the IV of a traffic secret (section 7.3). 0 or -EIO. */
int tls_traffic_keys(const struct tls_suite *suite, const uint8_t *secret, uint8_t *key,
                     uint8_t iv[TLS_IV_SIZE]) __attribute__((warn_unused_result));

/* The traffic secret that follows, in place (section 7.2). 0 or -EIO. */
int tls_next_secret(const struct tls_suite *suite, uint8_t *secret)
    __attribute__((warn_unused_result));

#endif
