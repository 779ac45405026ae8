/* SPDX-License-Identifier: BSD-3-Clause */
/* IP addresses as text: the forms there are, and all that is not one, against inet_pton(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "wire/ip_text.h"

typedef bool read_fn(const char *text, size_t len, uint8_t out[16]);

/* In memory of its own size and without a NUL, so that a read behind the end is found. */
static bool read_copy(read_fn *read, const char *text, uint8_t out[16])
{
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    bool good = read(copy, len, out);
    free(copy);
    return good;
}

static void v4(void **state)
{
    static const char *const good[] = {"0.0.0.0", "192.0.2.1", "255.255.255.255", "10.20.30.40"};
    static const char *const bad[] = {
        "",           "1",         "1.2.3",     "1.2.3.4.5",  "1.2.3.",     ".1.2.3",
        "1..2.3",     "256.1.1.1", "1.1.1.256", "01.2.3.4",   "1.2.3.00",   "1.2.3.4 ",
        " 1.2.3.4",   "1.2.3.4.",  "1.2.3.-4",  "0x1.2.3.4",  "1000.2.3.4", "a.b.c.d",
        "1.2.3.4/24", "1,2,3,4",   "::1",       "4294967296",
    };
    uint8_t out[16], expected[4];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(inet_pton(AF_INET, good[i], expected), 1);
        assert_true(read_copy(ip_text_v4, good[i], out));
        assert_true(ip_is_v4(out));
        assert_memory_equal(out + 12, expected, 4);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(inet_pton(AF_INET, bad[i], expected), 0);
        assert_false(read_copy(ip_text_v4, bad[i], out));
    }
}

static void v6(void **state)
{
    static const char *const good[] = {
        "::",
        "::1",
        "1::",
        "2001:db8::1",
        "2001:DB8:0:0:0:0:0:1",
        "1:2:3:4:5:6:7:8",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "1::8",
        "1:2:3:4:5:6::8",
        "::2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::ffff:192.0.2.1",
        "1:2:3:4:5:6:192.0.2.1",
        "64:ff9b::192.0.2.33",
        "0001:0002::",
    };
    static const char *const bad[] = {
        "",
        ":",
        ":::",
        "1",
        "1:",
        ":1",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8:",
        ":1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "1::2::3",
        "1:::2",
        "12345::",
        "g::",
        "::1%lo",
        "[::1]",
        "::1 ",
        "1:2:3:4:5:6:7:192.0.2.1",
        "192.0.2.1",
        "::192.0.2",
        "::192.0.2.256",
        "::192.0.2.1:1",
    };
    uint8_t out[16], expected[16];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(inet_pton(AF_INET6, good[i], expected), 1);
        assert_true(read_copy(ip_text_v6, good[i], out));
        assert_memory_equal(out, expected, 16);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(inet_pton(AF_INET6, bad[i], expected), 0);
        assert_false(read_copy(ip_text_v6, bad[i], out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(v4), cmocka_unit_test(v6)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
