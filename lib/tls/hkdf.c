/* SPDX-License-Identifier: BSD-3-Clause */
/* HMAC and HKDF. OpenSSL's own HMAC looks two algorithms up by name and makes three objects each
 * time. */
#include "tls/hkdf.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

/* The hash of one padded block and a text behind it. */
static int hash_behind(EVP_MD_CTX *context, const EVP_MD *hash, const uint8_t *block, size_t size,
                       const uint8_t *text, size_t len, uint8_t *out)
{
    return EVP_DigestInit_ex(context, hash, NULL) == 1 &&
                   EVP_DigestUpdate(context, block, size) == 1 &&
                   EVP_DigestUpdate(context, text, len) == 1 &&
                   EVP_DigestFinal_ex(context, out, NULL) == 1
               ? 0
               : -EIO;
}

int hmac_once(EVP_MD_CTX *context, const EVP_MD *hash, const uint8_t *key, size_t key_size,
              const uint8_t *text, size_t len, uint8_t *out)
{
    uint8_t block[HMAC_MAX_BLOCK] = {0}, inner[EVP_MAX_MD_SIZE];

    if (!context || !hash)
        return -EIO;
    size_t size = (size_t)EVP_MD_get_block_size(hash);
    if (size > sizeof(block) || key_size > size)
        return -EINVAL;
    if (key_size > 0)
        memcpy(block, key, key_size);
    for (size_t i = 0; i < size; i++)
        block[i] ^= 0x36;
    int error = hash_behind(context, hash, block, size, text, len, inner);
    for (size_t i = 0; i < size; i++)
        block[i] ^= 0x36 ^ 0x5c;
    if (error == 0)
        error = hash_behind(context, hash, block, size, inner, (size_t)EVP_MD_get_size(hash), out);
    explicit_bzero(block, sizeof(block));
    explicit_bzero(inner, sizeof(inner));
    return error;
}

/* HkdfLabel (section 7.1), and the counter of HKDF-Expand (RFC 5869) behind it. */
#define MAX_INFO (2 + 1 + 255 + 1 + 255 + 1)

static size_t put(uint8_t *info, size_t at, struct octets octets)
{
    if (octets.len > 0)
        memcpy(info + at, octets.bytes, octets.len);
    return at + octets.len;
}

int hkdf_expand_label(EVP_MD_CTX *context, const EVP_MD *hash, struct octets secret,
                      const struct hkdf_label *label, uint8_t *out, size_t size)
{
    uint8_t info[MAX_INFO], block[EVP_MAX_MD_SIZE];
    size_t label_len = label->prefix.len + label->name.len, at = 0;

    if (!hash)
        return -EIO;
    if (!secret.bytes || size > (size_t)EVP_MD_get_size(hash) || label->prefix.len > 255 ||
        label_len > 255 || label->data.len > 255)
        return -EINVAL;
    info[at++] = (uint8_t)(size >> 8);
    info[at++] = (uint8_t)size;
    info[at++] = (uint8_t)label_len;
    at = put(info, at, label->prefix);
    at = put(info, at, label->name);
    info[at++] = (uint8_t)label->data.len;
    at = put(info, at, label->data);
    info[at++] = 1;
    int error = hmac_once(context, hash, secret.bytes, secret.len, info, at, block);
    if (error)
        return error;
    memcpy(out, block, size);
    explicit_bzero(block, sizeof(block));
    return 0;
}
