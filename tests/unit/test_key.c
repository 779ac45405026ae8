/* SPDX-License-Identifier: BSD-3-Clause */
/* Node keys: text forms, comparison, generation, also without random bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "wire/key.h"

/* Made with the Go module tailscale.com, types/key. */
#define PRIVATE_HEX "10181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce36a"
#define PUBLIC_HEX  "e52b940ad182cfed595624daaaa892f68f14d52c49ae9016b6ab870e080e8300"

/* Stands in for the function of the C library, so that random bytes can be made to fail. */
static bool entropy_fails;

int getentropy(void *buffer, size_t length)
{
    if (entropy_fails) {
        errno = ENOSYS;
        return -1;
    }
    return getrandom(buffer, length, 0) == (ssize_t)length ? 0 : -1;
}

static void test_public_text(void **state)
{
    (void)state;
    hyperderp_key key;
    hyperderp_key again;
    char text[HYPERDERP_KEY_TEXT_SIZE];
    char hex[65];
    char small[KEY_SHORT_SIZE];

    assert_int_equal(hyperderp_key_parse(&key, "nodekey:" PUBLIC_HEX), 0);
    assert_int_equal(key.bytes[0], 0xe5);
    assert_int_equal(key.bytes[30], 0x83);
    assert_int_equal(key.bytes[31], 0x00);
    hyperderp_key_format(&key, text);
    assert_string_equal(text, "nodekey:" PUBLIC_HEX);
    key_format_hex(&key, hex);
    assert_string_equal(hex, PUBLIC_HEX);
    key_format_short(&key, small);
    assert_string_equal(small, "[5SuUC]");

    assert_int_equal(hyperderp_key_parse(&again, PUBLIC_HEX), 0);
    assert_true(hyperderp_key_equal(&key, &again));
    for (char *c = hex; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    memset(&again, 0, sizeof(again));
    assert_int_equal(hyperderp_key_parse(&again, hex), 0);
    assert_true(hyperderp_key_equal(&key, &again));
}

static void test_short_form(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[4];
        const char *text;
    } cases[] = {
        {{0xb7, 0x09, 0x00, 0x1c}, "[twkAH]"},
        {{0x00, 0x00, 0x00, 0x00}, "[AAAAA]"},
        {{0xff, 0xff, 0xff, 0xff}, "[/////]"},
        {{0xfb, 0xef, 0xbe, 0xfb}, "[+++++]"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hyperderp_key key = {{0}};
        char text[KEY_SHORT_SIZE];

        memcpy(key.bytes, cases[i].bytes, 4);
        key_format_short(&key, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_private_text(void **state)
{
    (void)state;
    hyperderp_private_key key;
    char text[HYPERDERP_PRIVATE_KEY_TEXT_SIZE];

    assert_int_equal(hyperderp_private_key_parse(&key, "privkey:" PRIVATE_HEX), 0);
    hyperderp_private_key_format(&key, text);
    assert_string_equal(text, "privkey:" PRIVATE_HEX);
    memset(&key, 0, sizeof(key));
    assert_int_equal(hyperderp_private_key_parse(&key, PRIVATE_HEX), 0);
    hyperderp_private_key_format(&key, text);
    assert_string_equal(text, "privkey:" PRIVATE_HEX);
}

static void refuse(const char *text)
{
    hyperderp_key key;
    hyperderp_key before;
    hyperderp_private_key private_key;

    memset(&before, 0x5c, sizeof(before));
    memset(&key, 0x5c, sizeof(key));
    memset(&private_key, 0x5c, sizeof(private_key));
    assert_int_equal(hyperderp_key_parse(&key, text), -EINVAL);
    assert_memory_equal(&key, &before, sizeof(key));
    assert_int_equal(hyperderp_private_key_parse(&private_key, text), -EINVAL);
    assert_memory_equal(private_key.bytes, before.bytes, sizeof(before.bytes));
}

static void test_bad_text(void **state)
{
    (void)state;
    hyperderp_key key;
    hyperderp_private_key private_key;

    refuse(NULL);
    refuse("");
    refuse("nodekey:");
    refuse("privkey:");
    refuse("nodekey");
    refuse(PUBLIC_HEX "0");
    refuse(PUBLIC_HEX "\n");
    refuse(" " PUBLIC_HEX);
    refuse("NODEKEY:" PUBLIC_HEX);
    refuse("discokey:" PUBLIC_HEX);
    refuse("nodekey:nodekey:" PUBLIC_HEX);
    refuse("nodekey:" PUBLIC_HEX "0");
    refuse("privkey:" PUBLIC_HEX " ");
    assert_int_equal(hyperderp_key_parse(&key, "privkey:" PUBLIC_HEX), -EINVAL);
    assert_int_equal(hyperderp_private_key_parse(&private_key, "nodekey:" PUBLIC_HEX), -EINVAL);
    assert_int_equal(hyperderp_key_parse(NULL, PUBLIC_HEX), -EINVAL);
    assert_int_equal(hyperderp_private_key_parse(NULL, PUBLIC_HEX), -EINVAL);

    /* Every shorter text, in memory of its own size, and every digit spoiled. */
    for (size_t n = 0; n < strlen(PUBLIC_HEX); n++) {
        char *text = strndup(PUBLIC_HEX, n);
        assert_non_null(text);
        refuse(text);
        free(text);

        char spoiled[] = PUBLIC_HEX;
        spoiled[n] = n % 2 ? 'g' : (char)0xb1;
        refuse(spoiled);
    }
}

static void test_equal_looks_at_every_bit(void **state)
{
    (void)state;
    hyperderp_key a;

    assert_int_equal(hyperderp_key_parse(&a, PUBLIC_HEX), 0);
    hyperderp_key b = a;
    assert_true(hyperderp_key_equal(&a, &b));
    assert_true(key_same(&a, b.bytes));
    for (size_t bit = 0; bit < 256; bit++) {
        b.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(hyperderp_key_equal(&a, &b));
        assert_false(key_same(&a, b.bytes));
        b.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

static void test_is_zero_looks_at_every_bit(void **state)
{
    (void)state;
    hyperderp_key key = {{0}};

    assert_true(hyperderp_key_is_zero(&key));
    for (size_t bit = 0; bit < 256; bit++) {
        key.bytes[bit / 8] = (uint8_t)(1U << bit % 8);
        assert_false(hyperderp_key_is_zero(&key));
        key.bytes[bit / 8] = 0;
    }
}

static void test_public_of_private(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {PRIVATE_HEX, PUBLIC_HEX},
        /* RFC 7748, section 6.1: Alice and Bob, whose private keys are not clamped. */
        {"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
         "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"},
        {"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
         "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        hyperderp_private_key private_key;
        hyperderp_key key;
        char hex[65];

        assert_int_equal(hyperderp_private_key_parse(&private_key, pairs[i][0]), 0);
        hyperderp_private_key_public(&private_key, &key);
        key_format_hex(&key, hex);
        assert_string_equal(hex, pairs[i][1]);
    }
}

static void test_generate(void **state)
{
    (void)state;
    uint8_t ones[HYPERDERP_KEY_SIZE] = {0};
    uint8_t zeros[HYPERDERP_KEY_SIZE] = {0};
    hyperderp_private_key last = {{0}};

    for (int n = 0; n < 64; n++) {
        hyperderp_private_key key;

        assert_int_equal(hyperderp_private_key_generate(&key), 0);
        assert_int_equal(key.bytes[0] & 7, 0);
        assert_int_equal(key.bytes[31] & 0xc0, 0x40);
        assert_memory_not_equal(key.bytes, last.bytes, sizeof(key.bytes));
        for (size_t i = 0; i < sizeof(key.bytes); i++) {
            ones[i] |= key.bytes[i];
            zeros[i] |= (uint8_t)~key.bytes[i];
        }
        last = key;
    }
    /* Every bit that is not fixed was seen both ways; by chance that fails once in 2^55 runs. */
    for (size_t i = 0; i < HYPERDERP_KEY_SIZE; i++) {
        assert_int_equal(ones[i], i == 0 ? 0xf8 : i == 31 ? 0x7f : 0xff);
        assert_int_equal(zeros[i], i == 31 ? 0xbf : 0xff);
    }
}

static void test_generate_fails(void **state)
{
    (void)state;
    const hyperderp_private_key zero = {{0}};
    hyperderp_private_key key;

    assert_int_equal(hyperderp_private_key_generate(NULL), -EINVAL);
    memset(&key, 0x5c, sizeof(key));
    entropy_fails = true;
    int err = hyperderp_private_key_generate(&key);
    entropy_fails = false;
    assert_int_equal(err, -EIO);
    assert_memory_equal(&key, &zero, sizeof(key));
}

static void test_wipe(void **state)
{
    (void)state;
    const hyperderp_private_key zero = {{0}};
    hyperderp_private_key key;

    assert_int_equal(hyperderp_private_key_generate(&key), 0);
    hyperderp_private_key_wipe(&key);
    assert_memory_equal(&key, &zero, sizeof(key));
    hyperderp_private_key_wipe(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_text),
        cmocka_unit_test(test_short_form),
        cmocka_unit_test(test_private_text),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_equal_looks_at_every_bit),
        cmocka_unit_test(test_is_zero_looks_at_every_bit),
        cmocka_unit_test(test_public_of_private),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_generate_fails),
        cmocka_unit_test(test_wipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
