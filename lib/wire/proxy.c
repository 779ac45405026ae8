/* SPDX-License-Identifier: BSD-3-Clause */
/* Two forms of one header. */
#include "wire/proxy.h"

#include <errno.h>
#include <string.h>

#include "wire/ip_text.h"

static const uint8_t v1_begin[6] = "PROXY ";
static const uint8_t v2_begin[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                     '\n', 'Q',  'U',  'I',  'T', '\n'};

/* ---- Version 1 ---- */

struct text {
    const char *at;
    size_t len;
};

/* Takes the next word of a line; words are parted by one space. */
static struct text next_word(struct text *line)
{
    const char *space = memchr(line->at, ' ', line->len);
    struct text word = {line->at, space ? (size_t)(space - line->at) : line->len};
    size_t used = word.len + (space ? 1 : 0);

    line->at += used;
    line->len -= used;
    return word;
}

static bool is_word(struct text word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.at, text, word.len) == 0;
}

static bool read_port(struct text word, uint16_t *out)
{
    unsigned value = 0;

    if (word.len < 1 || word.len > 5)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.at[i] < '0' || word.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(word.at[i] - '0');
    }
    *out = (uint16_t)value;
    return value <= 65535;
}

static bool read_line(struct proxy_header *out, struct text line)
{
    struct text family = next_word(&line);
    bool is_v4 = is_word(family, "TCP4");
    uint8_t destination[16];
    uint16_t destination_port;

    if (is_word(family, "UNKNOWN"))
        return true; /* whatever stands behind it */
    if (!is_v4 && !is_word(family, "TCP6"))
        return false;
    bool (*read_address)(const char *, size_t, uint8_t[16]) = is_v4 ? ip_text_v4 : ip_text_v6;
    struct text from = next_word(&line), to = next_word(&line);
    struct text from_port = next_word(&line);
    out->has_source = true;
    return read_address(from.at, from.len, out->source) &&
           read_address(to.at, to.len, destination) && read_port(from_port, &out->port) &&
           read_port(line, &destination_port);
}

static int parse_v1(struct proxy_header *out, const uint8_t *bytes, size_t len)
{
    size_t room = PROXY_V1_MAX_HEADER - 1; /* LF is the last byte */
    const uint8_t *cr = memchr(bytes, '\r', len < room ? len : room);

    if (!cr)
        return len >= room ? -EBADMSG : 0;
    size_t size = (size_t)(cr - bytes);
    if (size + 1 == len)
        return 0;
    const struct text line = {(const char *)bytes + sizeof(v1_begin), size - sizeof(v1_begin)};
    out->version = 1;
    if (bytes[size + 1] != '\n' || !read_line(out, line))
        return -EBADMSG;
    return (int)size + 2;
}

/* ---- Version 2 ---- */

enum command { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };

/* Address family and transport. That a stream comes from datagrams cannot be. */
enum family { UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX_STREAM = 0x31 };

#define FIELD_HEADER 3
#define FIELD_CRC32C 0x03

static unsigned get16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

static uint32_t get32(const uint8_t *bytes)
{
    return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

/* RFC 3720 appendix B.4, four bits at a time. */
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

/* The sum of the whole header, taken with zeros where the sum itself stands. */
static bool checksum_is_right(const uint8_t *header, size_t size, size_t at)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(0xffffffff, header, at);

    crc = crc32c(crc, zeros, sizeof(zeros));
    crc = crc32c(crc, header + at + 4, size - at - 4);
    return ~crc == get32(header + at);
}

static bool fields_are_right(const uint8_t *header, size_t size, size_t at)
{
    while (at < size) {
        if (size - at < FIELD_HEADER)
            return false;
        unsigned type = header[at];
        size_t len = get16(header + at + 1);
        at += FIELD_HEADER;
        if (len > size - at)
            return false;
        if (type == FIELD_CRC32C && (len != 4 || !checksum_is_right(header, size, at)))
            return false;
        at += len;
    }
    return true;
}

/* Reads the addresses and returns their size; -1 for a family that cannot be. Source and
 * destination stand first, then their ports. */
static int read_addresses(struct proxy_header *out, unsigned family, const uint8_t *bytes,
                          size_t len)
{
    switch (family) {
    case UNSPEC:
        return 0;
    case TCP4:
        if (len < 12)
            return -1;
        ip_map_v4(out->source, bytes);
        out->port = (uint16_t)get16(bytes + 8);
        out->has_source = true;
        return 12;
    case TCP6:
        if (len < 36)
            return -1;
        memcpy(out->source, bytes, 16);
        out->port = (uint16_t)get16(bytes + 32);
        out->has_source = true;
        return 36;
    case UNIX_STREAM:
        return len < 216 ? -1 : 216;
    default:
        return -1;
    }
}

static int parse_v2(struct proxy_header *out, const uint8_t *bytes, size_t len)
{
    if (len < PROXY_V2_MIN_HEADER)
        return 0;
    size_t size = PROXY_V2_MIN_HEADER + get16(bytes + 14);
    out->version = 2;
    if (bytes[12] != COMMAND_LOCAL && bytes[12] != COMMAND_PROXY)
        return -EBADMSG;
    if (size > PROXY_MAX_HEADER)
        return -E2BIG;
    if (len < size)
        return 0;
    if (bytes[12] == COMMAND_LOCAL)
        return (int)size;
    int addresses =
        read_addresses(out, bytes[13], bytes + PROXY_V2_MIN_HEADER, size - PROXY_V2_MIN_HEADER);
    if (addresses < 0)
        return -EBADMSG;
    /* Of UNSPEC nothing says where addresses end: what stands there is not looked at. */
    if (bytes[13] != UNSPEC &&
        !fields_are_right(bytes, size, PROXY_V2_MIN_HEADER + (size_t)addresses))
        return -EBADMSG;
    return (int)size;
}

/* Whether the bytes are, as far as they go, this beginning. */
static bool begins(const uint8_t *bytes, size_t len, const uint8_t *begin, size_t size)
{
    return memcmp(bytes, begin, len < size ? len : size) == 0;
}

int proxy_header_parse(struct proxy_header *out, const uint8_t *bytes, size_t len)
{
    *out = (struct proxy_header){0};
    if (len == 0)
        return 0;
    if (begins(bytes, len, v1_begin, sizeof(v1_begin)))
        return len > sizeof(v1_begin) ? parse_v1(out, bytes, len) : 0;
    if (begins(bytes, len, v2_begin, sizeof(v2_begin)))
        return parse_v2(out, bytes, len);
    return -EBADMSG;
}
