/* SPDX-License-Identifier: BSD-3-Clause */
/* Response heads, each parsed whole and byte by byte, in memory of its own size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/http.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define HEX64         "e52b940ad182cfed595624daaaa892f68f14d52c49ae9016b6ab870e080e8300"

static int response_whole(struct http_response *out, const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    size_t scanned = 0;

    assert_non_null(copy);
    memcpy(copy, text, len);
    int result = http_response_parse(out, copy, len, &scanned);
    free(copy);
    return result;
}

static int response(struct http_response *out, const char *text)
{
    size_t len = strlen(text);
    int result = response_whole(out, text, len);
    struct http_response bytewise;
    size_t scanned = 0;
    int step = 0;

    for (size_t n = 0; n <= len && step == 0; n++) {
        char *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, text, n);
        step = http_response_parse(&bytewise, copy, n, &scanned);
        free(copy);
        if (step == 0)
            assert_int_equal(scanned, n);
    }
    assert_int_equal(step, result);
    if (result > 0) {
        assert_int_equal(bytewise.status, out->status);
        assert_int_equal(bytewise.upgrade_derp, out->upgrade_derp);
        assert_int_equal(bytewise.derp_version, out->derp_version);
        assert_int_equal(bytewise.has_server_key, out->has_server_key);
        assert_memory_equal(&bytewise.server_key, &out->server_key, sizeof(hyperderp_key));
    }
    return result;
}

static void test_switching_protocols(void **state)
{
    (void)state;
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"
                               "Connection: Upgrade\r\nDerp-Version: 2\r\n"
                               "Derp-Public-Key: " HEX64 "\r\n\r\n";
    char longer[sizeof(head) + 5];
    struct http_response r;
    char text[HYPERDERP_KEY_TEXT_SIZE];

    assert_int_equal(response(&r, head), sizeof(head) - 1);
    assert_int_equal(r.status, 101);
    assert_true(r.upgrade_derp);
    assert_int_equal(r.derp_version, 2);
    assert_true(r.has_server_key);
    hyperderp_key_format(&r.server_key, text);
    assert_string_equal(text, "nodekey:" HEX64);

    snprintf(longer, sizeof(longer), "%s%s", head, "\x01zz");
    assert_int_equal(response(&r, longer), sizeof(head) - 1);
    for (size_t n = 0; n < sizeof(head) - 1; n++)
        assert_int_equal(response_whole(&r, head, n), 0);
}

static void test_other_responses(void **state)
{
    (void)state;
    struct http_response r;

    assert_true(response(&r, "HTTP/1.0 426 Upgrade Required\r\n\r\n") > 0);
    assert_int_equal(r.status, 426);
    assert_false(r.upgrade_derp);
    assert_false(r.has_server_key);
    assert_int_equal(r.derp_version, 0);
    assert_true(response(&r, "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n") > 0);
    assert_int_equal(r.status, 200);
    assert_true(response(&r, "HTTP/1.1 599 \t\x80 a\r\n\r\n") > 0);
    assert_int_equal(r.status, 599);
    assert_true(response(&r, "HTTP/1.1 101 x\r\nupgrade:derp\r\n\r\n") > 0);
    assert_true(r.upgrade_derp);
    assert_true(response(&r, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n") > 0);
    assert_false(r.upgrade_derp);
    assert_true(response(&r, "HTTP/1.1 101 x\r\nUpgrade: DERP\r\nUpgrade: DERP\r\n\r\n") > 0);
    assert_false(r.upgrade_derp);
    assert_true(response(&r, "HTTP/1.1 101 x\r\nDerp-Public-Key: nodekey:" HEX64 "\r\n\r\n") > 0);
    assert_false(r.has_server_key);
    assert_true(response(&r, "HTTP/1.1 101 x\r\nDerp-Public-Key: z" HEX64 "\r\n\r\n") > 0);
    assert_false(r.has_server_key);
    assert_true(response(&r, "HTTP/1.1 101 x\r\nDerp-Version: 999999999\r\n\r\n") > 0);
    assert_int_equal(r.derp_version, 999999999);
}

static void test_bad_responses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        "\n",
        "GET / HTTP/1.1\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 \r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 20 \r\n\r\n",
        "HTTP/1.1 2000 \r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 600 x\r\n\r\n",
        "HTTP/1.1 2x0 x\r\n\r\n",
        "HTTP/1.1 20x x\r\n\r\n",
        "HTTP/1.1  200 x\r\n\r\n",
        "HTTP/1.1 200 x\n\n",
        "HTTP/1.1 200 \x01\r\n\r\n",
        "HTTP/1.1 200 x\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 x\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 200 x\r\nDerp-Version:\r\n\r\n",
        "HTTP/1.1 200 x\r\nDerp-Version: 2a\r\n\r\n",
        "HTTP/1.1 200 x\r\nDerp-Version: 1000000000\r\n\r\n",
        "HTTP/1.1 200 x\r\nDerp-Version: 2\r\nDerp-Version: 2\r\n\r\n",
        "HTTP/1.1 200 x\r\nDerp-Public-Key: " HEX64 "\r\nDerp-Public-Key: " HEX64 "\r\n\r\n",
    };
    struct http_response r;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (response(&r, bad[i]) != -EBADMSG)
            fail_msg("not refused: %s", bad[i]);
    }
    assert_int_equal(response(&r, "HTTP/2.0 200 OK\r\n\r\n"), -EPROTONOSUPPORT);
    assert_int_equal(response(&r, "HTTP/1.2 200 OK\r\n\r\n"), -EPROTONOSUPPORT);
    assert_int_equal(response(&r, "S"), -EBADMSG);
    assert_int_equal(response(&r, "HTTP/"), 0);
}

/* A head of exactly `size` bytes, whose one long header makes up for the rest. */
static char *head_of_size(size_t size)
{
    static const char begin[] = "HTTP/1.0 200 x\r\nX: ";
    char *head = malloc(size);

    assert_non_null(head);
    memset(head, 'x', size);
    memcpy(head, begin, sizeof(begin) - 1);
    memcpy(head + size - 4, "\r\n\r\n", 4);
    return head;
}

static void test_bounds(void **state)
{
    (void)state;
    struct http_response r;
    char text[2048] = "HTTP/1.1 200 x\r\n";
    char longer[sizeof(text) + 16];

    char *head = head_of_size(HTTP_MAX_HEAD);
    assert_int_equal(response_whole(&r, head, HTTP_MAX_HEAD), HTTP_MAX_HEAD);
    free(head);
    head = head_of_size(HTTP_MAX_HEAD + 1);
    assert_int_equal(response_whole(&r, head, HTTP_MAX_HEAD - 1), 0);
    assert_int_equal(response_whole(&r, head, HTTP_MAX_HEAD), -E2BIG);
    assert_int_equal(response_whole(&r, head, HTTP_MAX_HEAD + 1), -E2BIG);
    free(head);

    for (int i = 0; i < HTTP_MAX_HEADERS; i++)
        strcat(text, "X: y\r\n");
    snprintf(longer, sizeof(longer), "%sX: y\r\n\r\n", text);
    assert_int_equal(response(&r, longer), -E2BIG);
    strcat(text, "\r\n");
    assert_int_equal(response(&r, text), strlen(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_switching_protocols),
        cmocka_unit_test(test_other_responses),
        cmocka_unit_test(test_bad_responses),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
