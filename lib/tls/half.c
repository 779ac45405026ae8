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

void half_wipe(struct tls_half *half)
{
    explicit_bzero(half, sizeof(*half));
}

int half_update(struct tls_half *half)
{
    int error = tls_next_secret(half->suite, half->secret);
    if (error == 0)
        error = tls_traffic_keys(half->suite, half->secret, half->key, half->iv);
    half->sequence = 0;
    return error;
}

static void wipe_cipher(struct tls_cipher *cipher)
{
    EVP_CIPHER_CTX_free(cipher->context); /* which wipes the key in it */
    explicit_bzero(cipher, sizeof(*cipher));
}

void tls_ciphers_wipe(struct tls_ciphers *ciphers)
{
    for (unsigned suite = 0; suite < TLS_SUITES; suite++)
        for (unsigned seal = 0; seal < 2; seal++)
            if (ciphers->ciphers[suite][seal].context)
                wipe_cipher(&ciphers->ciphers[suite][seal]);
}

/* Gives the context another half's key; its first use also sets cipher and direction. */
static int set_key(struct tls_cipher *cipher, const struct tls_half *half, bool seal)
{
    const EVP_CIPHER *type = NULL;

    if (!cipher->context) {
        cipher->context = EVP_CIPHER_CTX_new();
        if (!cipher->context)
            return -ENOMEM;
        type = half->suite->cipher();
    }
    /* 12 bytes are the default size of an IV for all three ciphers. */
    if (EVP_CipherInit_ex(cipher->context, type, NULL, half->key, NULL, seal ? 1 : 0) != 1) {
        wipe_cipher(cipher);
        return -EIO;
    }
    memcpy(cipher->key, half->key, half->suite->key_size);
    return 0;
}

int half_begin(struct tls_half *half, struct tls_ciphers *ciphers, bool seal,
               EVP_CIPHER_CTX **context)
{
    struct tls_cipher *cipher = &ciphers->ciphers[half->suite->index][seal];
    uint8_t nonce[TLS_IV_SIZE];

    if (!cipher->context || memcmp(cipher->key, half->key, half->suite->key_size) != 0) {
        int error = set_key(cipher, half, seal);
        if (error)
            return error;
    }
    memcpy(nonce, half->iv, sizeof(nonce));
    for (unsigned i = 0; i < 8; i++)
        nonce[TLS_IV_SIZE - 1 - i] ^= (uint8_t)(half->sequence >> (8 * i));
    half->sequence++;
    *context = cipher->context;
    return EVP_CipherInit_ex(cipher->context, NULL, NULL, NULL, nonce, -1) == 1 ? 0 : -EIO;
}
