/* SPDX-License-Identifier: BSD-3-Clause */
/* What lib/ needs of keys beyond the public hyperderp/key.h. */
#ifndef WIRE_KEY_H
#define WIRE_KEY_H

#include <string.h>

#include <hyperderp/key.h>

/* Room for the short form of a key: "[", five base64 digits, "]", NUL. */
#define KEY_SHORT_SIZE 8

/* Writes Tailscale's short form of a public key, "[AbCd3]", which log lines use. */
void key_format_short(const hyperderp_key *key, char out[KEY_SHORT_SIZE]);

/* Writes 64 lower-case hexadecimal digits and a NUL. */
void key_format_hex(const hyperderp_key *key, char out[65]);

/* Compares where time tells nobody anything: routing keys are public. */
static inline bool key_same(const hyperderp_key *a, const uint8_t *b)
{
    return memcmp(a->bytes, b, HYPERDERP_KEY_SIZE) == 0;
}

#endif
