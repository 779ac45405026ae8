/* SPDX-License-Identifier: BSD-3-Clause */
/* Hexadecimal digits. */
#include "tls/hex.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t tls_read_hex(const char *hex, size_t digits, uint8_t *out, size_t room)
{
    if (digits % 2 != 0 || digits / 2 > room)
        return 0;
    for (size_t i = 0; i < digits / 2; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return digits / 2;
}
