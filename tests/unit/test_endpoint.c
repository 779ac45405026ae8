/* SPDX-License-Identifier: BSD-3-Clause */
/* Where connections come from, as text; and networks, which of them belong to these. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/endpoint.h"
#include "relay/network.h"

static void expect_text(const void *address, const char *expected)
{
    struct endpoint endpoint = endpoint_read(address);
    char text[ENDPOINT_TEXT_SIZE];

    endpoint_format(&endpoint, text);
    assert_string_equal(text, expected);
}

static void formats(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(443)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(65535)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr other = {.sa_family = AF_UNSPEC};

    (void)state;
    inet_pton(AF_INET, "192.0.2.255", &in.sin_addr);
    expect_text(&in, "192.0.2.255:443");
    inet_pton(AF_INET6, "2001:db8:1111:2222:3333:4444:5555:6666", &in6.sin6_addr);
    expect_text(&in6, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
    inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr);
    expect_text(&in6, "192.0.2.1:65535");
    expect_text(&un, "unix");
    expect_text(&other, "unknown");
}

static void of_a_peer(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(endpoint_of_peer(fds[0]).kind, ENDPOINT_UNIX);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(endpoint_of_peer(-1).kind, ENDPOINT_UNKNOWN);
}

/* Each connection keeps one. */
static void is_short(void **state)
{
    (void)state;
    assert_in_range(sizeof(struct endpoint), 1, 20);
}

/* ---- Networks ---------------------------------------------------------------------------------
 */

static bool contains(const char *network_text, const char *address)
{
    struct network network;
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct endpoint endpoint;

    assert_true(network_parse(&network, network_text));
    if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
        endpoint = endpoint_read((struct sockaddr *)&in);
    else if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1)
        endpoint = endpoint_read((struct sockaddr *)&in6);
    else
        fail_msg("%s is no address", address);
    return network_contains(&network, endpoint.ip);
}

static void networks_contain(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.255.255"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0"));
    assert_true(contains("10.1.2.3/8", "10.0.0.1")); /* bits behind the mask are let go */
    assert_true(contains("192.0.2.1", "192.0.2.1"));
    assert_false(contains("192.0.2.1", "192.0.2.0"));
    assert_true(contains("192.0.2.128/25", "192.0.2.255"));
    assert_false(contains("192.0.2.128/25", "192.0.2.127"));
    assert_true(contains("192.0.2.0/31", "192.0.2.1"));
    assert_false(contains("192.0.2.0/31", "192.0.2.2"));
    assert_true(contains("0.0.0.0/0", "255.255.255.255"));
    assert_true(contains("2001:db8::/32", "2001:db8:ffff::1"));
    assert_false(contains("2001:db8::/32", "2001:db9::1"));
    assert_true(contains("2001:db8::1", "2001:db8::1"));
    assert_false(contains("2001:db8::1/128", "2001:db8::2"));
    assert_true(contains("2001:db8:8000::/33", "2001:db8:8000::1"));
    assert_false(contains("2001:db8:8000::/33", "2001:db8:7fff::1"));
    assert_true(contains("::/0", "2001:db8::1"));
}

/* However an address of IPv4 is written or comes, it belongs to networks of IPv4 alone. */
static void families_are_apart(void **state)
{
    (void)state;
    assert_false(contains("::/0", "192.0.2.1"));
    assert_false(contains("::/64", "::ffff:192.0.2.1"));
    assert_false(contains("0.0.0.0/0", "::1"));
    assert_false(contains("0.0.0.0/0", "::"));
    assert_true(contains("192.0.2.0/24", "::ffff:192.0.2.1"));
    assert_true(contains("::ffff:192.0.2.0/120", "192.0.2.1"));
    assert_false(contains("::ffff:192.0.2.0/120", "192.0.3.1"));
    assert_false(contains("::/96", "192.0.2.1"));
}

static void what_is_no_network(void **state)
{
    static const char *const bad[] = {
        "",          "/",           "/8",          "10.0.0.0/",     "10.0.0.0/33",  "10.0.0.0/-1",
        "10.0.0/8",  "10.0.0.0/8 ", "10.0.0.0/+8", "10.0.0.0/0008", "10.0.0.0/8/8", "::/129",
        "localhost", "[::1]",       "::1/",        "10.0.0.0/a",    "fe80::1%eth0",
    };
    struct network network;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(network_parse(&network, bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(of_a_peer),
        cmocka_unit_test(is_short),
        cmocka_unit_test(networks_contain),
        cmocka_unit_test(families_are_apart),
        cmocka_unit_test(what_is_no_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
