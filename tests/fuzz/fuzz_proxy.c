/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Headers of the PROXY protocol. What is taken is bounded, is taken the same with bytes behind it,
 * and not before it is whole; a line of version 1 says the same to the C library.
 */
#include <arpa/inet.h>
#include <errno.h>

#include "fuzz.h"
#include "wire/ip_text.h"
#include "wire/proxy.h"

static void require_line(const struct proxy_header *header, const uint8_t *bytes, size_t size)
{
    char line[PROXY_V1_MAX_HEADER + 1], from[64], to[64], family;
    unsigned port, destination_port;
    uint8_t expected[16], v4[4];

    REQUIRE(size <= PROXY_V1_MAX_HEADER && memcmp(bytes + size - 2, "\r\n", 2) == 0);
    memcpy(line, bytes, size);
    line[size] = '\0';
    if (!header->has_source) {
        REQUIRE(strncmp(line, "PROXY UNKNOWN", 13) == 0);
        return;
    }
    REQUIRE(strlen(line) == size);
    REQUIRE(sscanf(line, "PROXY TCP%c %63s %63s %5u %5u", &family, from, to, &port,
                   &destination_port) == 5);
    if (family == '4') {
        REQUIRE(inet_pton(AF_INET, to, v4) == 1 && inet_pton(AF_INET, from, v4) == 1);
        ip_map_v4(expected, v4);
    } else {
        REQUIRE(family == '6');
        REQUIRE(inet_pton(AF_INET6, to, expected) == 1 && inet_pton(AF_INET6, from, expected) == 1);
    }
    REQUIRE(memcmp(header->source, expected, 16) == 0);
    REQUIRE(header->port == port && destination_port <= 65535);
}

static void require_message(const struct proxy_header *header, const uint8_t *bytes, size_t size)
{
    REQUIRE(size >= PROXY_V2_MIN_HEADER && size <= PROXY_MAX_HEADER);
    REQUIRE((size_t)(bytes[14] * 256 + bytes[15]) + PROXY_V2_MIN_HEADER == size);
    REQUIRE(bytes[12] == 0x20 || bytes[12] == 0x21);
    if (!header->has_source)
        return;
    REQUIRE(bytes[12] == 0x21 && (bytes[13] == 0x11 || bytes[13] == 0x21));
    if (bytes[13] == 0x11)
        REQUIRE(ip_is_v4(header->source) && memcmp(header->source + 12, bytes + 16, 4) == 0);
    else
        REQUIRE(memcmp(header->source, bytes + 16, 16) == 0);
}

/* Texts of addresses are what inet_pton() says they are. */
static void require_same_text(const uint8_t *data, size_t size)
{
    char text[64];
    uint8_t out[16], v4[4], v6[16];

    if (size >= sizeof(text) || memchr(data, 0, size))
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    bool is_v4 = inet_pton(AF_INET, text, v4) == 1, is_v6 = inet_pton(AF_INET6, text, v6) == 1;
    REQUIRE(ip_text_v4(text, size, out) == is_v4);
    REQUIRE(!is_v4 || memcmp(out + 12, v4, 4) == 0);
    REQUIRE(ip_text_v6(text, size, out) == is_v6);
    REQUIRE(!is_v6 || memcmp(out, v6, 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header header, again;
    uint8_t *copy = fuzz_copy(data, size);
    int result = proxy_header_parse(&header, copy, size);

    REQUIRE(result >= 0 || result == -EBADMSG || result == -E2BIG);
    REQUIRE(result <= PROXY_MAX_HEADER && (size_t)(result < 0 ? 0 : result) <= size);
    if (result == 0)
        REQUIRE(size < PROXY_MAX_HEADER);
    for (int part = 0; part < result; part++)
        REQUIRE(proxy_header_parse(&again, copy, (size_t)part) == 0);
    if (result > 0) {
        REQUIRE(proxy_header_parse(&again, copy, (size_t)result) == result);
        REQUIRE(memcmp(header.source, again.source, 16) == 0 && header.port == again.port);
        if (header.version == 1)
            require_line(&header, copy, (size_t)result);
        else
            require_message(&header, copy, (size_t)result);
    }
    free(copy);
    require_same_text(data, size);
    return 0;
}
