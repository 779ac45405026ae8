/* SPDX-License-Identifier: BSD-3-Clause */
/* An address and how many of its bits count. */
#include "relay/network.h"

#include <stddef.h>
#include <string.h>

#include "wire/ip_text.h"

#define MAPPED_BITS 96

/* Reads what stands behind the slash, at most `most`; -1 when it is no such number. */
static int read_bits(const char *text, int most)
{
    int bits = 0;

    if (!*text || strlen(text) > 3)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        bits = bits * 10 + (*text - '0');
    }
    return bits <= most ? bits : -1;
}

bool network_parse(struct network *out, const char *text)
{
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    bool is_v4 = ip_text_v4(text, len, out->ip);

    if (!is_v4 && !ip_text_v6(text, len, out->ip))
        return false;
    int most = is_v4 ? 32 : 128, bits = slash ? read_bits(slash + 1, most) : most;
    if (bits < 0)
        return false;
    out->bits = (uint8_t)(bits + (is_v4 ? MAPPED_BITS : 0));
    return true;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

bool network_contains(const struct network *network, const uint8_t ip[16])
{
    bool is_v4 = network->bits >= MAPPED_BITS && ip_is_v4(network->ip);

    return is_v4 == ip_is_v4(ip) && same_bits(network->ip, ip, network->bits);
}
