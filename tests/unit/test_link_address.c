/* SPDX-License-Identifier: BSD-3-Clause */
/* The address of another node, as operators type it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "relay/link_address.h"

static void forms_are_read(void **state)
{
    static const struct {
        const char *text, *host, *dial, *authority;
        unsigned port;
        bool tls;
    } cases[] = {
        {"derp1b.example.com", "derp1b.example.com", "derp1b.example.com", "derp1b.example.com",
         443, true},
        {"derp1b:8443", "derp1b", "derp1b", "derp1b:8443", 8443, true},
        {"derp1b/10.0.0.2", "derp1b", "10.0.0.2", "derp1b", 443, true},
        {"derp1b:8443/10.0.0.2", "derp1b", "10.0.0.2", "derp1b:8443", 8443, true},
        {"derp1b/::1", "derp1b", "::1", "derp1b", 443, true},
        {"derp1b/[fd00::2]", "derp1b", "fd00::2", "derp1b", 443, true},
        {"[::1]:8443", "::1", "::1", "[::1]:8443", 8443, true},
        {"192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.7", 443, true},
        {"https://derp1b", "derp1b", "derp1b", "derp1b", 443, true},
        {"https://derp1b/derp", "derp1b", "derp1b", "derp1b", 443, true},
        {"https://[::1]:443/", "::1", "::1", "[::1]", 443, true},
        {"http://10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.2", 80, false},
        {"http://10.0.0.2:3340/derp", "10.0.0.2", "10.0.0.2", "10.0.0.2:3340", 3340, false},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct link_address address;
        assert_int_equal(link_address_parse(&address, cases[i].text), 0);
        assert_string_equal(address.host, cases[i].host);
        assert_string_equal(address.dial, cases[i].dial);
        assert_string_equal(address.authority, cases[i].authority);
        assert_int_equal(address.port, cases[i].port);
        assert_int_equal(address.tls, cases[i].tls);
    }
}

static void others_are_refused(void **state)
{
    static const char *const cases[] = {
        "",
        ":443",
        "derp1b:",
        "derp1b:0",
        "derp1b:65536",
        "derp1b:443x",
        "derp1b:000443",
        "a b",
        "derp1b/",
        "derp1b/a/b",
        "derp1b/a:443",
        "::1",
        "[::1",
        "[]",
        "[derp1b]:443",
        "ftp://derp1b",
        "https://",
        "https:///derp",
        "https://derp1b/other",
        "https://a@b",
        "derp1b\r\nX: y",
        "derp1b/a\r\nb",
        "http://derp1b/derp\r\n",
    };
    char longest[LINK_HOST_SIZE + 1];

    (void)state;
    struct link_address address = {.port = 1};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(link_address_parse(&address, cases[i]), -EINVAL);
    memset(longest, 'a', sizeof(longest));
    longest[LINK_HOST_SIZE] = '\0';
    assert_int_equal(link_address_parse(&address, longest), -EINVAL);
    assert_int_equal(address.port, 1);
    assert_int_equal(link_address_parse(&address, longest + 1), 0);
    assert_int_equal(strlen(address.host), LINK_HOST_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_read),
        cmocka_unit_test(others_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
