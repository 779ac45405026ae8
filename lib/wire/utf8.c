/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/utf8.h"

#include <stdbool.h>
#include <string.h>

size_t utf8_size(const uint8_t *text, size_t len)
{
    uint8_t first = text[0];
    size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (size == 0 || size > len || first > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    /* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return size;
}

void utf8_copy_printable(char *out, size_t max, const char *text, size_t len)
{
    const uint8_t *in = (const uint8_t *)text;
    size_t used = 0;

    while (len > 0) {
        size_t size = utf8_size(in, len);
        bool control = size == 0 || in[0] < 0x20 || in[0] == 0x7f ||
                       (in[0] == 0xc2 && in[1] < 0xa0); /* C1: U+0080 to U+009F */
        size_t room = control ? 1 : size;

        if (used + room > max)
            break;
        if (control)
            out[used] = '?';
        else
            memcpy(out + used, in, size);
        used += room;
        in += size ? size : 1;
        len -= size ? size : 1;
    }
    out[used] = '\0';
}
