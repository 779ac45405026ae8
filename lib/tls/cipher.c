/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts of a thread, which take the key of one half after another. */
#include "tls/cipher.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "tls/gcm.h"
#include "tls/half.h"

static void wipe_cipher(struct tls_cipher *cipher)
{
    EVP_CIPHER_CTX_free(cipher->context); /* which wipes the key in it */
    gcm_free(cipher->gcm);                /* so does this */
    explicit_bzero(cipher, sizeof(*cipher));
}

void tls_ciphers_wipe(struct tls_ciphers *ciphers)
{
    for (unsigned suite = 0; suite < TLS_SUITES; suite++)
        for (unsigned seal = 0; seal < 2; seal++)
            if (ciphers->ciphers[suite][seal].context || ciphers->ciphers[suite][seal].gcm)
                wipe_cipher(&ciphers->ciphers[suite][seal]);
    ciphers->made = 0;
}

/* ---- By OpenSSL ---- */

/* Gives the context a key; its first use also sets cipher and direction. 0, -ENOMEM, -EIO. */
static int openssl_set_key(struct tls_cipher *cipher, const struct tls_half *half, bool seal)
{
    const EVP_CIPHER *type = NULL;

    if (!cipher->context) {
        cipher->context = EVP_CIPHER_CTX_new();
        if (!cipher->context)
            return -ENOMEM;
        type = half->suite->cipher();
    }
    /* 12 bytes are the default size of an IV for all three ciphers. */
    return EVP_CipherInit_ex(cipher->context, type, NULL, half->key, NULL, seal ? 1 : 0) == 1
               ? 0
               : -EIO;
}

/* Encrypts some bytes to where they belong. */
static bool encrypt(EVP_CIPHER_CTX *context, uint8_t **out, const uint8_t *in, size_t len)
{
    int done = 0;

    if (EVP_EncryptUpdate(context, *out, &done, in, (int)len) != 1 || done != (int)len)
        return false;
    *out += len;
    return true;
}

static bool openssl_seal(EVP_CIPHER_CTX *context, const uint8_t nonce[TLS_IV_SIZE],
                         const uint8_t header[TLS_HEADER_SIZE], const struct iovec *pieces,
                         unsigned count, uint8_t type, uint8_t *out)
{
    int done = 0;

    if (EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) != 1 ||
        EVP_EncryptUpdate(context, NULL, &done, header, TLS_HEADER_SIZE) != 1)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!encrypt(context, &out, pieces[i].iov_base, pieces[i].iov_len))
            return false;
    return encrypt(context, &out, &type, 1) && EVP_EncryptFinal_ex(context, out, &done) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TLS_TAG_SIZE, out) == 1;
}

/* As cipher_open(). */
static int openssl_open(EVP_CIPHER_CTX *context, const uint8_t nonce[TLS_IV_SIZE], uint8_t *record,
                        size_t len)
{
    uint8_t *body = record + TLS_HEADER_SIZE;
    int done = 0;

    if (EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) != 1 ||
        EVP_DecryptUpdate(context, NULL, &done, record, TLS_HEADER_SIZE) != 1 ||
        EVP_DecryptUpdate(context, body, &done, body, (int)len) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TLS_TAG_SIZE, body + len) != 1)
        return -EIO;
    return EVP_DecryptFinal_ex(context, body + len, &done) == 1 ? 0 : -EBADMSG;
}

/* ---- By whichever there is ---- */

/* The thread's context for a half, with its key. NULL with *error set: -ENOMEM, -EIO. */
static struct tls_cipher *keyed(struct tls_ciphers *ciphers, const struct tls_half *half, bool seal,
                                int *error)
{
    struct tls_cipher *cipher = &ciphers->ciphers[half->suite->index][seal];
    bool made = cipher->context || cipher->gcm;

    if (made && memcmp(cipher->key, half->key, half->suite->key_size) == 0)
        return cipher;
    ciphers->made += !made;
    if (!made && !ciphers->openssl_alone)
        cipher->gcm = gcm_new(half->suite);
    if (cipher->gcm) {
        gcm_set_key(cipher->gcm, half->key);
    } else if ((*error = openssl_set_key(cipher, half, seal)) != 0) {
        wipe_cipher(cipher);
        return NULL;
    }
    memcpy(cipher->key, half->key, half->suite->key_size);
    return cipher;
}

int cipher_seal(struct tls_ciphers *ciphers, struct tls_half *half,
                const uint8_t header[TLS_HEADER_SIZE], const struct iovec *pieces, unsigned count,
                uint8_t type, uint8_t *out)
{
    uint8_t nonce[TLS_IV_SIZE];
    int error = 0;
    struct tls_cipher *cipher = keyed(ciphers, half, true, &error);

    if (!cipher)
        return error;
    half_next_nonce(half, nonce);
    if (!cipher->gcm)
        return openssl_seal(cipher->context, nonce, header, pieces, count, type, out) ? 0 : -EIO;
    gcm_seal(cipher->gcm, nonce, header, pieces, count, type, out);
    return 0;
}

int cipher_open(struct tls_ciphers *ciphers, struct tls_half *half, uint8_t *record, size_t len)
{
    uint8_t nonce[TLS_IV_SIZE];
    int error = 0;
    struct tls_cipher *cipher = keyed(ciphers, half, false, &error);

    if (!cipher)
        return error;
    half_next_nonce(half, nonce);
    if (!cipher->gcm)
        return openssl_open(cipher->context, nonce, record, len);
    return gcm_open(cipher->gcm, nonce, record, len) ? 0 : -EBADMSG;
}
