/* SPDX-License-Identifier: BSD-3-Clause */
/* Dotted quads and groups of hexadecimal digits. */
#include "wire/ip_text.h"

#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

void ip_map_v4(uint8_t out[16], const uint8_t bytes[4])
{
    memcpy(out, mapped, sizeof(mapped));
    memcpy(out + sizeof(mapped), bytes, 4);
}

bool ip_is_v4(const uint8_t bytes[16])
{
    return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

/* A number from 0 to 255 without leading zeros, which some would read as octal. Returns the digits
 * it has, or 0. */
static size_t octet(const char *text, size_t len, uint8_t *out)
{
    unsigned value = 0;
    size_t digits = 0;

    while (digits < len && digits < 3 && text[digits] >= '0' && text[digits] <= '9')
        value = value * 10 + (unsigned)(text[digits++] - '0');
    if (value > 255 || (digits > 1 && text[0] == '0'))
        return 0;
    *out = (uint8_t)value;
    return digits;
}

static bool dotted_quad(const char *text, size_t len, uint8_t out[4])
{
    size_t at = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (i > 0 && (at == len || text[at++] != '.'))
            return false;
        size_t digits = octet(text + at, len - at, &out[i]);
        if (digits == 0)
            return false;
        at += digits;
    }
    return at == len;
}

bool ip_text_v4(const char *text, size_t len, uint8_t out[16])
{
    uint8_t bytes[4];

    if (!dotted_quad(text, len, bytes))
        return false;
    ip_map_v4(out, bytes);
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_group(const char *text, size_t len, uint8_t out[2])
{
    unsigned value = 0;

    if (len < 1 || len > 4)
        return false;
    for (size_t i = 0; i < len; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (unsigned)digit;
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return true;
}

#define NO_GAP 17

/* Reads groups, the last two perhaps as a dotted quad, to the end of the text. Sets the bytes they
 * make, and behind how many of these "::" stands, or NO_GAP. */
static bool groups(const char *text, size_t len, uint8_t out[16], size_t *size, size_t *gap)
{
    size_t at = 0;

    *size = 0;
    *gap = NO_GAP;
    if (len >= 2 && text[0] == ':' && text[1] == ':') {
        *gap = 0;
        at = 2;
    }
    while (at < len) {
        const char *colon = memchr(text + at, ':', len - at);
        size_t end = colon ? (size_t)(colon - text) : len;
        if (!colon && memchr(text + at, '.', len - at)) {
            bool good = *size <= 12 && dotted_quad(text + at, len - at, out + *size);
            *size += 4;
            return good;
        }
        if (*size > 14 || !hex_group(text + at, end - at, out + *size))
            return false;
        *size += 2;
        if (!colon)
            return true;
        at = end + 1;
        if (at == len)
            return false; /* one colon at the end */
        if (text[at] != ':')
            continue;
        if (*gap != NO_GAP)
            return false;
        *gap = *size;
        at++;
    }
    return true;
}

bool ip_text_v6(const char *text, size_t len, uint8_t out[16])
{
    uint8_t bytes[16];
    size_t size, gap;

    if (!groups(text, len, bytes, &size, &gap) || (gap == NO_GAP ? size < 16 : size > 14))
        return false;
    if (gap > size)
        gap = size;
    memset(out, 0, 16);
    memcpy(out, bytes, gap);
    memcpy(out + 16 - (size - gap), bytes + gap, size - gap);
    return true;
}
