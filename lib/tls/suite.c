/* SPDX-License-Identifier: BSD-3-Clause */
/* Cipher suites and the part of the key schedule behind a traffic secret. */
#include "tls/suite.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "tls/hkdf.h"
#include "tls/library.h"

/* RFC 8446 section 5.5 allows 2^24.5 full-sized records under one AES-GCM key: we stop at 2^24. No
 * limit but the sequence number's is known for ChaCha20-Poly1305; 2^48 keeps far from that. */
static const struct tls_suite suites[TLS_SUITES] = {
    {.id = TLS_AES_128_GCM,
     .index = 0,
     .name = "TLS_AES_128_GCM_SHA256",
     .key_size = 16,
     .secret_size = 32,
     .record_limit = UINT64_C(1) << 24,
     .cipher = EVP_aes_128_gcm,
     .hash = tls_library_sha256},
    {.id = TLS_AES_256_GCM,
     .index = 1,
     .name = "TLS_AES_256_GCM_SHA384",
     .key_size = 32,
     .secret_size = 48,
     .record_limit = UINT64_C(1) << 24,
     .cipher = EVP_aes_256_gcm,
     .hash = tls_library_sha384},
    {.id = TLS_CHACHA20_POLY1305,
     .index = 2,
     .name = "TLS_CHACHA20_POLY1305_SHA256",
     .key_size = 32,
     .secret_size = 32,
     .record_limit = UINT64_C(1) << 48,
     .cipher = EVP_chacha20_poly1305,
     .hash = tls_library_sha256},
};

const struct tls_suite *tls_suite_find(uint16_t id)
{
    for (size_t i = 0; i < TLS_SUITES; i++)
        if (suites[i].id == id)
            return &suites[i];
    return NULL;
}

#define LABEL_PREFIX "tls13 "
#define MAX_LABEL    12

static struct octets octets(const char *text)
{
    return (struct octets){(const uint8_t *)text, strlen(text)};
}

int tls_expand_label(const struct tls_suite *suite, const uint8_t *secret, const char *label,
                     uint8_t *out, size_t size)
{
    const struct hkdf_label full = {.prefix = octets(LABEL_PREFIX), .name = octets(label)};

    if (full.name.len > MAX_LABEL)
        return -EINVAL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int error = hkdf_expand_label(context, suite->hash(),
                                  (struct octets){secret, suite->secret_size}, &full, out, size);
    EVP_MD_CTX_free(context);
    return error;
}

int tls_traffic_keys(const struct tls_suite *suite, const uint8_t *secret, uint8_t *key,
                     uint8_t iv[TLS_IV_SIZE])
{
    int error = tls_expand_label(suite, secret, "key", key, suite->key_size);
    return error ? error : tls_expand_label(suite, secret, "iv", iv, TLS_IV_SIZE);
}

int tls_next_secret(const struct tls_suite *suite, uint8_t *secret)
{
    return tls_expand_label(suite, secret, "traffic upd", secret, suite->secret_size);
}
