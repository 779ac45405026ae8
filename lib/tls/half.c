/* SPDX-License-Identifier: BSD-3-Clause */
/* One direction's keys. */
#include "tls/half.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

int half_init(struct tls_half *half, const struct tls_suite *suite, const uint8_t *secret)
{
    *half = (struct tls_half){.suite = suite};
    memcpy(half->secret, secret, suite->secret_size);
    return tls_traffic_keys(suite, secret, half->key, half->iv);
}

void half_rest(struct tls_half *half)
{
    EVP_CIPHER_CTX_free(half->context); /* which wipes the key in it */
    half->context = NULL;
}

void half_wipe(struct tls_half *half)
{
    half_rest(half);
    explicit_bzero(half, sizeof(*half));
}

int half_update(struct tls_half *half)
{
    int error = tls_next_secret(half->suite, half->secret);
    if (error == 0)
        error = tls_traffic_keys(half->suite, half->secret, half->key, half->iv);
    half->sequence = 0;
    half_rest(half);
    return error;
}

static int make_context(struct tls_half *half, bool seal)
{
    half->context = EVP_CIPHER_CTX_new();
    if (!half->context)
        return -ENOMEM;
    /* 12 bytes are the default size of an IV for all three ciphers. */
    if (EVP_CipherInit_ex(half->context, half->suite->cipher(), NULL, half->key, NULL,
                          seal ? 1 : 0) == 1)
        return 0;
    half_rest(half);
    return -EIO;
}

int half_begin(struct tls_half *half, bool seal)
{
    uint8_t nonce[TLS_IV_SIZE];

    if (!half->context) {
        int error = make_context(half, seal);
        if (error)
            return error;
    }
    memcpy(nonce, half->iv, sizeof(nonce));
    for (unsigned i = 0; i < 8; i++)
        nonce[TLS_IV_SIZE - 1 - i] ^= (uint8_t)(half->sequence >> (8 * i));
    half->sequence++;
    return EVP_CipherInit_ex(half->context, NULL, NULL, NULL, nonce, -1) == 1 ? 0 : -EIO;
}
