/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers of the PROXY protocol: both versions, byte by byte, and all that is not one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/ip_text.h"
#include "wire/proxy.h"

/* In memory of its own size, so that a read behind the end is found. */
static int parse(struct proxy_header *out, const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, bytes, len);
    int result = proxy_header_parse(out, copy, len);
    free(copy);
    return result;
}

/* A good header: of each beginning there may come more, and what follows is not looked at. */
static struct proxy_header parse_good(const void *bytes, size_t len)
{
    struct proxy_header header, with_more;
    uint8_t *longer = malloc(len + 3);

    assert_non_null(longer);
    for (size_t part = 0; part < len; part++)
        assert_int_equal(parse(&header, bytes, part), 0);
    assert_int_equal(parse(&header, bytes, len), len);
    memcpy(longer, bytes, len);
    memcpy(longer + len, "GET", 3);
    assert_int_equal(parse(&with_more, longer, len + 3), len);
    assert_memory_equal(header.source, with_more.source, 16);
    assert_int_equal(header.port, with_more.port);
    free(longer);
    return header;
}

static void expect_source(const struct proxy_header *header, const char *text, uint16_t port)
{
    uint8_t expected[16], v4[4];

    if (inet_pton(AF_INET, text, v4) == 1)
        ip_map_v4(expected, v4);
    else
        assert_int_equal(inet_pton(AF_INET6, text, expected), 1);
    assert_true(header->has_source);
    assert_memory_equal(header->source, expected, 16);
    assert_int_equal(header->port, port);
}

/* ---- Version 1 ---- */

static struct proxy_header good_line(const char *line)
{
    struct proxy_header header = parse_good(line, strlen(line));

    assert_int_equal(header.version, 1);
    return header;
}

static void lines(void **state)
{
    (void)state;
    struct proxy_header header = good_line("PROXY TCP4 192.0.2.1 198.51.100.2 4242 443\r\n");
    expect_source(&header, "192.0.2.1", 4242);
    header = good_line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n");
    expect_source(&header, "255.255.255.255", 65535);
    header = good_line("PROXY TCP6 2001:db8::1 2001:db8::2 0 443\r\n");
    expect_source(&header, "2001:db8::1", 0);
    header = good_line("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 443\r\n");
    expect_source(&header, "192.0.2.7", 1);
    header = good_line("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n");
    expect_source(&header, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
    assert_false(good_line("PROXY UNKNOWN\r\n").has_source);
    assert_false(good_line("PROXY UNKNOWN whatever 1 2 3\r\n").has_source);
}

/* The longest line that there may be, and one that is longer. */
static void longest_line(void **state)
{
    char line[PROXY_V1_MAX_HEADER + 2] = "PROXY UNKNOWN ";
    struct proxy_header header;

    (void)state;
    memset(line + strlen(line), 'x', PROXY_V1_MAX_HEADER - 2 - strlen(line));
    memcpy(line + PROXY_V1_MAX_HEADER - 2, "\r\n", 3);
    assert_int_equal(strlen(line), PROXY_V1_MAX_HEADER);
    assert_false(good_line(line).has_source);
    memcpy(line + PROXY_V1_MAX_HEADER - 2, "x\r\n", 4);
    assert_int_equal(parse(&header, line, PROXY_V1_MAX_HEADER - 2), 0);
    assert_int_equal(parse(&header, line, PROXY_V1_MAX_HEADER - 1), -EBADMSG);
    assert_int_equal(parse(&header, line, PROXY_V1_MAX_HEADER + 1), -EBADMSG);
}

static void bad_lines(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "proxy TCP4 192.0.2.1 198.51.100.2 4242 443\r\n",
        " PROXY TCP4 192.0.2.1 198.51.100.2 4242 443\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.2 4242 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 4242 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.2 4242 443\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 4242 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 4242  443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 4242 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 4242 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 4242\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2\r\n",
        "PROXY TCP4 192.0.2.1 4242 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 4242 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100 4242 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 4242 443\r\n",
        "PROXY TCP4 ::1 ::1 4242 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 4242 443\r\n",
        "PROXY TCP6 2001:db8::1 2001:db8:::2 4242 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 4242 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 0x10 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 000443 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 4242 443\r\r\n",
        "PROXY UNKNOWN\rX",
    };
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse(&header, bad[i], strlen(bad[i])), -EBADMSG);
    /* An LF alone ends no line. */
    const char *lf = "PROXY UNKNOWN\n";
    assert_int_equal(parse(&header, lf, strlen(lf)), 0);
}

/* What else comes to the port is seen at its first bytes. */
static void no_header(void **state)
{
    static const uint8_t client_hello[] = {0x16, 0x03, 0x01};
    struct proxy_header header;

    (void)state;
    assert_int_equal(parse(&header, "", 0), 0);
    assert_int_equal(parse(&header, client_hello, 1), -EBADMSG);
    assert_int_equal(parse(&header, "G", 1), -EBADMSG);
    assert_int_equal(parse(&header, "\r\n\r\n\0\r\nQUIX", 11), -EBADMSG);
    assert_int_equal(parse(&header, "\r\n\r\nG", 5), -EBADMSG);
}

/* ---- Version 2 ---- */

struct message {
    uint8_t bytes[PROXY_MAX_HEADER + 64];
    size_t len;
};

static struct message begin(uint8_t command, uint8_t family)
{
    struct message message = {.bytes = "\r\n\r\n\0\r\nQUIT\n", .len = PROXY_V2_MIN_HEADER};

    message.bytes[12] = command;
    message.bytes[13] = family;
    return message;
}

static void append(struct message *message, const void *bytes, size_t len)
{
    assert_true(message->len + len <= sizeof(message->bytes));
    memcpy(message->bytes + message->len, bytes, len);
    message->len += len;
    message->bytes[14] = (uint8_t)((message->len - PROXY_V2_MIN_HEADER) >> 8);
    message->bytes[15] = (uint8_t)(message->len - PROXY_V2_MIN_HEADER);
}

/* 192.0.2.1:4242 to 198.51.100.2:443 */
static const uint8_t tcp4[12] = {192, 0, 2, 1, 198, 51, 100, 2, 0x10, 0x92, 0x01, 0xbb};

static void append_field(struct message *message, uint8_t type, const void *value, size_t len)
{
    const uint8_t header[3] = {type, (uint8_t)(len >> 8), (uint8_t)len};

    append(message, header, sizeof(header));
    append(message, value, len);
}

static struct proxy_header good_message(const struct message *message)
{
    struct proxy_header header = parse_good(message->bytes, message->len);

    assert_int_equal(header.version, 2);
    return header;
}

static int parse_message(const struct message *message)
{
    struct proxy_header header;

    return parse(&header, message->bytes, message->len);
}

static void messages(void **state)
{
    uint8_t addresses[216] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1, [32] = 0xff, 0xfe, 0x01, 0xbb};
    struct message message = begin(0x21, 0x11);

    (void)state;
    append(&message, tcp4, sizeof(tcp4));
    struct proxy_header header = good_message(&message);
    expect_source(&header, "192.0.2.1", 4242);
    message = begin(0x21, 0x21);
    append(&message, addresses, 36);
    header = good_message(&message);
    expect_source(&header, "2001:db8::1", 0xfffe);
    message = begin(0x21, 0x31);
    append(&message, addresses, 216);
    assert_false(good_message(&message).has_source);
    message = begin(0x21, 0x00);
    assert_false(good_message(&message).has_source);
    append(&message, "whatever", 8);
    assert_false(good_message(&message).has_source);
}

/* The proxy's own connection: what else is said is not looked at. */
static void local(void **state)
{
    struct message message = begin(0x20, 0x00);

    (void)state;
    assert_false(good_message(&message).has_source);
    message = begin(0x20, 0x11);
    append(&message, tcp4, sizeof(tcp4));
    assert_false(good_message(&message).has_source);
    message = begin(0x20, 0xff);
    append(&message, "\x03\xff\xff", 3);
    assert_false(good_message(&message).has_source);
}

static void fields(void **state)
{
    struct message message = begin(0x21, 0x11);
    uint8_t filling[PROXY_MAX_HEADER] = {0};

    (void)state;
    append(&message, tcp4, sizeof(tcp4));
    append_field(&message, 0x02, "derp.example.com", 16); /* AUTHORITY */
    append_field(&message, 0x04, "", 0);                  /* NOOP */
    append_field(&message, 0xea, "\x01vpce-1", 7);        /* of AWS */
    struct proxy_header header = good_message(&message);
    expect_source(&header, "192.0.2.1", 4242);
    /* As long as may be, and longer. */
    append_field(&message, 0x04, filling, PROXY_MAX_HEADER - message.len - 3);
    assert_int_equal(message.len, PROXY_MAX_HEADER);
    assert_int_equal(parse_message(&message), PROXY_MAX_HEADER);
    append(&message, "\x04\0\0", 3);
    assert_int_equal(parse_message(&message), -E2BIG);
    message.bytes[14] = message.bytes[15] = 0xff;
    message.len = PROXY_V2_MIN_HEADER;
    assert_int_equal(parse_message(&message), -E2BIG);
}

static void bad_fields(void **state)
{
    static const char *const bad[] = {"\x04", "\x04\0", "\x04\0\1", "\x04\0\2x", "\x04\xff\xffx"};
    static const size_t sizes[] = {1, 2, 3, 4, 4};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct message message = begin(0x21, 0x11);
        append(&message, tcp4, sizeof(tcp4));
        append(&message, bad[i], sizes[i]);
        assert_int_equal(parse_message(&message), -EBADMSG);
    }
}

/* CRC-32C bit by bit. */
static uint32_t checksum(const uint8_t *bytes, size_t len)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < len * 8; i++) {
        uint32_t bit = ((uint32_t)bytes[i / 8] >> i % 8 ^ crc) & 1u;
        crc = crc >> 1 ^ (bit ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void checksums(void **state)
{
    struct message message = begin(0x21, 0x11);

    (void)state;
    assert_int_equal(checksum((const uint8_t *)"123456789", 9), 0xe3069283); /* the known one */
    append(&message, tcp4, sizeof(tcp4));
    append_field(&message, 0x03, "\0\0\0\0", 4);
    size_t at = message.len - 4;
    append_field(&message, 0x02, "derp.example.com", 16);
    uint32_t crc = checksum(message.bytes, message.len);
    for (unsigned i = 0; i < 4; i++)
        message.bytes[at + i] = (uint8_t)(crc >> (24 - 8 * i));
    struct proxy_header header = good_message(&message);
    expect_source(&header, "192.0.2.1", 4242);
    /* Any bit that has changed shows, but where it makes another field of the sum. */
    for (size_t i = PROXY_V2_MIN_HEADER; i < message.len; i++) {
        if (i == at - 3)
            continue;
        message.bytes[i] ^= 0x10;
        assert_int_equal(parse_message(&message), -EBADMSG);
        message.bytes[i] ^= 0x10;
    }
    message = begin(0x21, 0x11);
    append(&message, tcp4, sizeof(tcp4));
    append_field(&message, 0x03, "\0\0\0", 3);
    assert_int_equal(parse_message(&message), -EBADMSG);
}

static void bad_messages(void **state)
{
    static const uint8_t commands[] = {0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xff};
    static const uint8_t families[] = {0x01, 0x10, 0x12, 0x20, 0x22, 0x30, 0x32, 0x13, 0x41, 0xff};
    const uint8_t bytes[216] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(commands); i++) {
        struct message message = begin(commands[i], 0x11);
        append(&message, tcp4, sizeof(tcp4));
        assert_int_equal(parse_message(&message), -EBADMSG);
        /* Seen before the rest has come. */
        message.len = PROXY_V2_MIN_HEADER;
        assert_int_equal(parse_message(&message), -EBADMSG);
    }
    for (size_t i = 0; i < sizeof(families); i++) {
        struct message message = begin(0x21, families[i]);
        append(&message, bytes, sizeof(bytes));
        assert_int_equal(parse_message(&message), -EBADMSG);
    }
    /* Too short for their addresses. */
    static const struct {
        uint8_t family;
        size_t len;
    } shorts[] = {{0x11, 0}, {0x11, 11}, {0x21, 12}, {0x21, 35}, {0x31, 215}};
    for (size_t i = 0; i < sizeof(shorts) / sizeof(shorts[0]); i++) {
        struct message message = begin(0x21, shorts[i].family);
        append(&message, bytes, shorts[i].len);
        assert_int_equal(parse_message(&message), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),        cmocka_unit_test(longest_line), cmocka_unit_test(bad_lines),
        cmocka_unit_test(no_header),    cmocka_unit_test(messages),     cmocka_unit_test(local),
        cmocka_unit_test(fields),       cmocka_unit_test(bad_fields),   cmocka_unit_test(checksums),
        cmocka_unit_test(bad_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
