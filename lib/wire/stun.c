/* SPDX-License-Identifier: BSD-3-Clause */
/* Binding requests and answers. */
#include "wire/stun.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define BINDING_REQUEST  0x0001
#define BINDING_ANSWER   0x0101
#define ATTRIBUTE_HEADER 4

/* RFC 8489 section 14.7: what the CRC is exclusive-ored with. */
#define FINGERPRINT_XOR 0x5354554eu

/* Below this, who does not understand an attribute must not act on the message. */
#define OPTIONAL_ATTRIBUTES 0x8000

enum attribute {
    MAPPED_ADDRESS = 0x0001,
    USERNAME = 0x0006,
    MESSAGE_INTEGRITY = 0x0008,
    ERROR_CODE = 0x0009,
    UNKNOWN_ATTRIBUTES = 0x000a,
    REALM = 0x0014,
    NONCE = 0x0015,
    MESSAGE_INTEGRITY_SHA256 = 0x001c,
    PASSWORD_ALGORITHM = 0x001d,
    USERHASH = 0x001e,
    XOR_MAPPED_ADDRESS = 0x0020,
    FINGERPRINT = 0x8028,
};

static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};

static unsigned get16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

static uint32_t get32(const uint8_t *bytes)
{
    return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

static void put16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

/* The CRC-32 of Ethernet, four bits at a time: a table that stays in two cache lines is enough for
 * some dozens of bytes. */
static uint32_t crc32(const uint8_t *bytes, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* Attributes of RFC 8489 are understood, in that none of them changes what is answered. */
static bool is_understood(unsigned type)
{
    switch (type) {
    case MAPPED_ADDRESS:
    case USERNAME:
    case MESSAGE_INTEGRITY:
    case ERROR_CODE:
    case UNKNOWN_ATTRIBUTES:
    case REALM:
    case NONCE:
    case MESSAGE_INTEGRITY_SHA256:
    case PASSWORD_ALGORITHM:
    case USERHASH:
    case XOR_MAPPED_ADDRESS:
        return true;
    default:
        return type >= OPTIONAL_ATTRIBUTES;
    }
}

/* FINGERPRINT is the last attribute and covers all that stands before it. */
static bool fingerprint_is_right(const uint8_t *message, size_t at, size_t len)
{
    return len == at + ATTRIBUTE_HEADER + 4 && get16(message + at + 2) == 4 &&
           get32(message + at + ATTRIBUTE_HEADER) == (crc32(message, at) ^ FINGERPRINT_XOR);
}

static int read_attributes(const uint8_t *message, size_t len)
{
    int result = 0;

    for (size_t at = STUN_HEADER_SIZE; at < len;) {
        /* What is left is a multiple of four, as the whole is: there is a header. */
        unsigned type = get16(message + at);
        size_t size = (get16(message + at + 2) + 3u) & ~3u;

        if (size > len - at - ATTRIBUTE_HEADER)
            return -EBADMSG;
        if (type == FINGERPRINT && !fingerprint_is_right(message, at, len))
            return -EBADMSG;
        if (!is_understood(type))
            result = -EOPNOTSUPP;
        at += ATTRIBUTE_HEADER + size;
    }
    return result;
}

int stun_request_parse(struct stun_request *out, const uint8_t *bytes, size_t len)
{
    /* The two bits at the top tell STUN from other protocols. */
    if (len < STUN_HEADER_SIZE || len > STUN_MAX_REQUEST || len % 4 != 0 || bytes[0] >= 0x40 ||
        get16(bytes + 2) != len - STUN_HEADER_SIZE || memcmp(bytes + 4, cookie, sizeof(cookie)))
        return -EBADMSG;
    int result = read_attributes(bytes, len);
    if (result)
        return result;
    if (get16(bytes) != BINDING_REQUEST)
        return -EOPNOTSUPP;
    memcpy(out->transaction, bytes + 8, sizeof(out->transaction));
    return 0;
}

size_t stun_answer(uint8_t out[STUN_MAX_ANSWER], const struct stun_request *request,
                   const struct stun_address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *bytes = address->bytes;
    unsigned size = address->size;

    if (size == 16 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        bytes += sizeof(mapped);
        size = 4;
    }
    put16(out, BINDING_ANSWER);
    put16(out + 2, ATTRIBUTE_HEADER + 4 + size);
    memcpy(out + 4, cookie, sizeof(cookie));
    memcpy(out + 8, request->transaction, sizeof(request->transaction));
    put16(out + STUN_HEADER_SIZE, XOR_MAPPED_ADDRESS);
    put16(out + STUN_HEADER_SIZE + 2, 4 + size);
    uint8_t *value = out + STUN_HEADER_SIZE + ATTRIBUTE_HEADER;
    value[0] = 0;
    value[1] = size == 4 ? 1 : 2;
    put16(value + 2, address->port ^ get16(cookie));
    /* Cookie and transaction stand in the header one behind the other, as they are used here. */
    for (unsigned i = 0; i < size; i++)
        value[4 + i] = bytes[i] ^ out[4 + i];
    return STUN_HEADER_SIZE + ATTRIBUTE_HEADER + 4 + size;
}
