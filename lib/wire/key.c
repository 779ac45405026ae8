/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Node keys: text forms, comparison, the public key of a private one. Private keys are read and
 * written with libsodium's hexadecimal functions, whose time does not depend on the digits.
 */
#include "wire/key.h"

#include <errno.h>
#include <stddef.h>

#include <sodium.h>

#define KEY_PREFIX_SIZE 8
#define KEY_HEX_DIGITS  (2 * HYPERDERP_KEY_SIZE)

static const char public_prefix[] = "nodekey:";
static const char private_prefix[] = "privkey:";

_Static_assert(sizeof(public_prefix) == KEY_PREFIX_SIZE + 1, "prefix of a public key");
_Static_assert(sizeof(private_prefix) == KEY_PREFIX_SIZE + 1, "prefix of a private key");
_Static_assert(HYPERDERP_KEY_TEXT_SIZE == KEY_PREFIX_SIZE + KEY_HEX_DIGITS + 1, "public text");
_Static_assert(HYPERDERP_PRIVATE_KEY_TEXT_SIZE == KEY_PREFIX_SIZE + KEY_HEX_DIGITS + 1,
               "private text");
_Static_assert(HYPERDERP_KEY_SIZE == crypto_box_PUBLICKEYBYTES, "public key");
_Static_assert(HYPERDERP_KEY_SIZE == crypto_box_SECRETKEYBYTES, "private key");

static int parse_text(uint8_t out[HYPERDERP_KEY_SIZE], const char *prefix, const char *text)
{
    uint8_t bytes[HYPERDERP_KEY_SIZE];
    size_t size = 0;

    if (strncmp(text, prefix, KEY_PREFIX_SIZE) == 0)
        text += KEY_PREFIX_SIZE;
    if (strnlen(text, KEY_HEX_DIGITS + 1) != KEY_HEX_DIGITS)
        return -EINVAL;

    int err = -EINVAL;
    if (sodium_hex2bin(bytes, sizeof(bytes), text, KEY_HEX_DIGITS, NULL, &size, NULL) == 0 &&
        size == sizeof(bytes)) {
        memcpy(out, bytes, sizeof(bytes));
        err = 0;
    }
    sodium_memzero(bytes, sizeof(bytes));
    return err;
}

static void format_text(const uint8_t key[HYPERDERP_KEY_SIZE], const char *prefix, char *text)
{
    memcpy(text, prefix, KEY_PREFIX_SIZE);
    sodium_bin2hex(text + KEY_PREFIX_SIZE, KEY_HEX_DIGITS + 1, key, HYPERDERP_KEY_SIZE);
}

int hyperderp_key_parse(hyperderp_key *out, const char *text)
{
    if (!out || !text)
        return -EINVAL;
    return parse_text(out->bytes, public_prefix, text);
}

void hyperderp_key_format(const hyperderp_key *key, char text[HYPERDERP_KEY_TEXT_SIZE])
{
    if (key && text)
        format_text(key->bytes, public_prefix, text);
    else if (text)
        text[0] = '\0';
}

bool hyperderp_key_equal(const hyperderp_key *a, const hyperderp_key *b)
{
    return a && b && sodium_memcmp(a->bytes, b->bytes, HYPERDERP_KEY_SIZE) == 0;
}

bool hyperderp_key_is_zero(const hyperderp_key *key)
{
    return !key || sodium_is_zero(key->bytes, HYPERDERP_KEY_SIZE) == 1;
}

int hyperderp_private_key_parse(hyperderp_private_key *out, const char *text)
{
    if (!out || !text)
        return -EINVAL;
    return parse_text(out->bytes, private_prefix, text);
}

void hyperderp_private_key_format(const hyperderp_private_key *key,
                                  char text[HYPERDERP_PRIVATE_KEY_TEXT_SIZE])
{
    if (key && text)
        format_text(key->bytes, private_prefix, text);
    else if (text)
        text[0] = '\0';
}

void hyperderp_private_key_public(const hyperderp_private_key *key, hyperderp_key *out)
{
    if (!out)
        return;
    if (!key) {
        memset(out, 0, sizeof(*out));
        return;
    }
    /* Cannot fail: the base point has no small order, and the scalar is clamped inside. */
    (void)crypto_scalarmult_base(out->bytes, key->bytes);
}

void hyperderp_private_key_wipe(hyperderp_private_key *key)
{
    if (key)
        sodium_memzero(key->bytes, HYPERDERP_KEY_SIZE);
}

void key_format_short(const hyperderp_key *key, char out[KEY_SHORT_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *b = key->bytes;
    uint32_t bits = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];

    out[0] = '[';
    for (int i = 0; i < 5; i++)
        out[1 + i] = digits[bits >> (26 - 6 * i) & 63];
    out[6] = ']';
    out[7] = '\0';
}

void key_format_hex(const hyperderp_key *key, char out[65])
{
    sodium_bin2hex(out, KEY_HEX_DIGITS + 1, key->bytes, HYPERDERP_KEY_SIZE);
}
