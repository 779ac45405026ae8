/* SPDX-License-Identifier: BSD-3-Clause */
/* Characters of UTF-8, and what only looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "wire/utf8.h"

/* In memory of its own size, so that a read behind the end is found. */
static size_t size_of(const char *text, size_t len)
{
    uint8_t *copy = malloc(len);

    assert_non_null(copy);
    memcpy(copy, text, len);
    size_t size = utf8_size(copy, len);
    free(copy);
    return size;
}

#define SIZE_OF(text) size_of(text, sizeof(text) - 1)

static void characters(void **state)
{
    (void)state;
    assert_int_equal(size_of("\0", 1), 1);
    assert_int_equal(SIZE_OF("a"), 1);
    assert_int_equal(SIZE_OF("\x7f"), 1);
    assert_int_equal(SIZE_OF("\xc2\x80"), 2);
    assert_int_equal(SIZE_OF("\xdf\xbf and more"), 2);
    assert_int_equal(SIZE_OF("\xe0\xa0\x80"), 3);
    assert_int_equal(SIZE_OF("\xed\x9f\xbf"), 3); /* in front of the surrogates */
    assert_int_equal(SIZE_OF("\xee\x80\x80"), 3); /* behind them */
    assert_int_equal(SIZE_OF("\xef\xbf\xbf"), 3);
    assert_int_equal(SIZE_OF("\xf0\x90\x80\x80"), 4);
    assert_int_equal(SIZE_OF("\xf4\x8f\xbf\xbf"), 4); /* U+10FFFF */
}

static void others(void **state)
{
    (void)state;
    assert_int_equal(SIZE_OF("\x80"), 0);
    assert_int_equal(SIZE_OF("\xbf\xbf"), 0);
    assert_int_equal(SIZE_OF("\xc0\x80"), 0); /* overlong */
    assert_int_equal(SIZE_OF("\xc1\xbf"), 0);
    assert_int_equal(SIZE_OF("\xe0\x9f\xbf"), 0);
    assert_int_equal(SIZE_OF("\xf0\x8f\xbf\xbf"), 0);
    assert_int_equal(SIZE_OF("\xed\xa0\x80"), 0); /* surrogates */
    assert_int_equal(SIZE_OF("\xed\xbf\xbf"), 0);
    assert_int_equal(SIZE_OF("\xf4\x90\x80\x80"), 0); /* above U+10FFFF */
    assert_int_equal(SIZE_OF("\xf5\x80\x80\x80"), 0);
    assert_int_equal(SIZE_OF("\xff"), 0);
    assert_int_equal(SIZE_OF("\xc2"), 0); /* cut off */
    assert_int_equal(SIZE_OF("\xe2\x82"), 0);
    assert_int_equal(SIZE_OF("\xf0\x9f\x98"), 0);
    assert_int_equal(SIZE_OF("\xc3("), 0); /* broken off */
    assert_int_equal(SIZE_OF("\xe2\x82("), 0);
    assert_int_equal(SIZE_OF("\xf0\x9f\x98("), 0);
}

static void check_printable(size_t max, const char *text, const char *expected)
{
    char out[32];

    memset(out, 0x55, sizeof(out));
    utf8_copy_printable(out, max, text, strlen(text));
    assert_string_equal(out, expected);
    assert_int_equal(out[max + 1], 0x55);
}

static void printable(void **state)
{
    (void)state;
    check_printable(20, "", "");
    check_printable(20, "as it is \xc3\xa9", "as it is \xc3\xa9");
    check_printable(20, "a\nb\x1b\x7f\xc2\x9f", "a?b???");
    check_printable(20, "\xff, \xc3(", "?, ?(");
    check_printable(4, "abcdef", "abcd");
    check_printable(4, "abc\xc3\xa9", "abc"); /* not cut in a character */
    check_printable(5, "abc\xc3\xa9", "abc\xc3\xa9");
    check_printable(0, "abc", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters),
        cmocka_unit_test(others),
        cmocka_unit_test(printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
