/* SPDX-License-Identifier: BSD-3-Clause */
/* STUN messages: the vectors of RFC 5769, requests as clients send them, and all that is not one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/stun.h"

/* RFC 5769 section 2.1. PRIORITY (0x0024) is of ICE, and must be understood. */
static const uint8_t sample_request[] = {
    0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73,
    0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
    0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09,
    0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14,
    0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49,
    0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
};

/* What net/stun of Tailscale sends: SOFTWARE "tailnode" and FINGERPRINT; the transaction is that of
 * RFC 5769. */
static const uint8_t tailscale_request[] = {
    0x00, 0x01, 0x00, 0x14, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
    0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x08, 't',  'a',  'i',  'l',
    'n',  'o',  'd',  'e',  0x80, 0x28, 0x00, 0x04, 0x9e, 0x8d, 0xf0, 0xce,
};
#define FINGERPRINT_AT 32

/* In memory of its own size, so that a read behind the end is found. */
static int parse(struct stun_request *out, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, bytes, len);
    int result = stun_request_parse(out, copy, len);
    free(copy);
    return result;
}

static int parse_only(const uint8_t *bytes, size_t len)
{
    struct stun_request request;

    return parse(&request, bytes, len);
}

/* Corrects the length in the header. */
static void set_length(uint8_t *message, size_t len)
{
    message[2] = (uint8_t)((len - STUN_HEADER_SIZE) >> 8);
    message[3] = (uint8_t)(len - STUN_HEADER_SIZE);
}

static void requests(void **state)
{
    struct stun_request request;
    uint8_t message[sizeof(tailscale_request)];

    (void)state;
    assert_int_equal(parse(&request, tailscale_request, sizeof(tailscale_request)), 0);
    assert_memory_equal(request.transaction, tailscale_request + 8, STUN_TRANSACTION_SIZE);

    /* FINGERPRINT may be left out, and so may everything. */
    memcpy(message, tailscale_request, sizeof(message));
    set_length(message, FINGERPRINT_AT);
    assert_int_equal(parse(&request, message, FINGERPRINT_AT), 0);
    set_length(message, STUN_HEADER_SIZE);
    assert_int_equal(parse(&request, message, STUN_HEADER_SIZE), 0);
    assert_memory_equal(request.transaction, tailscale_request + 8, STUN_TRANSACTION_SIZE);
}

/* The header of an attribute of the sample. */
static bool is_attribute_header(size_t at)
{
    static const size_t headers[] = {20, 40, 48, 60, 76, 100};

    for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        if (at >= headers[i] && at < headers[i] + 4)
            return true;
    return false;
}

/* Its FINGERPRINT is right, so only PRIORITY keeps it from being answered; with any bit changed it
 * is no message, or by another length of an attribute one without FINGERPRINT. */
static void sample_of_the_rfc(void **state)
{
    uint8_t message[sizeof(sample_request)];

    (void)state;
    assert_int_equal(parse_only(sample_request, sizeof(sample_request)), -EOPNOTSUPP);
    for (size_t i = 0; i < sizeof(message); i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(message, sample_request, sizeof(message));
            message[i] ^= (uint8_t)(1u << bit);
            int result = parse_only(message, sizeof(message));
            assert_true(result == -EBADMSG || (is_attribute_header(i) && result == -EOPNOTSUPP));
        }
    }
}

static void cut_and_prolonged(void **state)
{
    uint8_t message[STUN_MAX_REQUEST + 8] = {0};

    (void)state;
    memcpy(message, tailscale_request, sizeof(tailscale_request));
    for (size_t len = 0; len <= sizeof(message); len++)
        assert_int_equal(parse_only(message, len), len == sizeof(tailscale_request) ? 0 : -EBADMSG);
    /* The longest, filled by one attribute that need not be understood, and one beyond. */
    message[20] = 0xc0;
    message[21] = 0x01;
    for (size_t len = STUN_MAX_REQUEST; len <= STUN_MAX_REQUEST + 4; len += 4) {
        set_length(message, len);
        message[22] = (uint8_t)((len - 24) >> 8);
        message[23] = (uint8_t)(len - 24);
        assert_int_equal(parse_only(message, len), len == STUN_MAX_REQUEST ? 0 : -EBADMSG);
    }
}

static void not_requests(void **state)
{
    static const uint8_t types[][2] = {
        {0x01, 0x01}, /* a success response: answering it could go on for ever */
        {0x01, 0x11}, /* an error response */
        {0x00, 0x11}, /* an indication */
        {0x00, 0x03}, /* a request of TURN */
    };
    uint8_t message[STUN_HEADER_SIZE];

    (void)state;
    memcpy(message, tailscale_request, sizeof(message));
    set_length(message, sizeof(message));
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        memcpy(message, types[i], 2);
        assert_int_equal(parse_only(message, sizeof(message)), -EOPNOTSUPP);
    }
    message[0] = 0x40; /* the first two bits are another protocol's */
    message[1] = 0x01;
    assert_int_equal(parse_only(message, sizeof(message)), -EBADMSG);
    message[0] = 0x80;
    assert_int_equal(parse_only(message, sizeof(message)), -EBADMSG);
}

static int parse_attribute(unsigned type, unsigned len, unsigned room)
{
    uint8_t message[STUN_HEADER_SIZE + 4 + 64] = {0};

    memcpy(message, tailscale_request, STUN_HEADER_SIZE);
    set_length(message, STUN_HEADER_SIZE + 4 + room);
    message[20] = (uint8_t)(type >> 8);
    message[21] = (uint8_t)type;
    message[22] = (uint8_t)(len >> 8);
    message[23] = (uint8_t)len;
    return parse_only(message, STUN_HEADER_SIZE + 4 + room);
}

static void attributes(void **state)
{
    static const unsigned known[] = {0x01, 0x06, 0x08, 0x09, 0x0a,   0x14,   0x15,
                                     0x1c, 0x1d, 0x1e, 0x20, 0x8022, 0x8023, 0xffff};
    static const unsigned unknown[] = {0x00, 0x02, 0x03, 0x24, 0x25, 0x28, 0x7fff};

    (void)state;
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal(parse_attribute(known[i], 5, 8), 0);
    for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_int_equal(parse_attribute(unknown[i], 5, 8), -EOPNOTSUPP);
    /* A length that leads out of the message, also with its padding. */
    assert_int_equal(parse_attribute(0x8022, 8, 8), 0);
    assert_int_equal(parse_attribute(0x8022, 9, 8), -EBADMSG);
    assert_int_equal(parse_attribute(0x8022, 0xffff, 8), -EBADMSG);
    assert_int_equal(parse_attribute(0x8022, 4, 0), -EBADMSG);
    assert_int_equal(parse_attribute(0x8022, 0, 0), 0);
    /* A FINGERPRINT of another length, and one that is not last. */
    assert_int_equal(parse_attribute(0x8028, 3, 4), -EBADMSG);
    assert_int_equal(parse_attribute(0x8028, 8, 8), -EBADMSG);

    uint8_t message[sizeof(tailscale_request) + 4] = {0};
    memcpy(message, tailscale_request, sizeof(tailscale_request));
    message[sizeof(tailscale_request)] = 0x80;
    set_length(message, sizeof(message));
    assert_int_equal(parse_only(message, sizeof(message)), -EBADMSG);
}

/* The addresses of RFC 5769 sections 2.2 and 2.3. */
static void answers(void **state)
{
    static const uint8_t ipv4[] = {
        0x01, 0x01, 0x00, 0x0c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7,
        0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x00, 0x20,
        0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
    };
    static const uint8_t ipv6[] = {
        0x01, 0x01, 0x00, 0x18, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
        0x86, 0xfa, 0x87, 0xdf, 0xae, 0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13,
        0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
    };
    struct stun_address four = {.bytes = {192, 0, 2, 1}, .size = 4, .port = 32853};
    struct stun_address mapped = {
        .bytes = {[10] = 0xff, 0xff, 192, 0, 2, 1}, .size = 16, .port = 32853};
    struct stun_address six = {.bytes = {0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78, 0x00, 0x11,
                                         0x22, 0x33, 0x44, 0x55, 0x66, 0x77},
                               .size = 16,
                               .port = 32853};
    struct stun_request request;
    uint8_t out[STUN_MAX_ANSWER];

    (void)state;
    assert_int_equal(parse(&request, tailscale_request, sizeof(tailscale_request)), 0);
    assert_int_equal(stun_answer(out, &request, &four), sizeof(ipv4));
    assert_memory_equal(out, ipv4, sizeof(ipv4));
    assert_int_equal(stun_answer(out, &request, &mapped), sizeof(ipv4));
    assert_memory_equal(out, ipv4, sizeof(ipv4));
    assert_int_equal(stun_answer(out, &request, &six), sizeof(ipv6));
    assert_memory_equal(out, ipv6, sizeof(ipv6));
    /* Not to be used to flood others: no larger than what Tailscale's clients send, or hardly. */
    assert_true(sizeof(ipv4) < sizeof(tailscale_request));
    assert_true(sizeof(ipv6) <= sizeof(tailscale_request) + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),          cmocka_unit_test(sample_of_the_rfc),
        cmocka_unit_test(cut_and_prolonged), cmocka_unit_test(not_requests),
        cmocka_unit_test(attributes),        cmocka_unit_test(answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
