/* SPDX-License-Identifier: BSD-3-Clause */
/* ClientInfo and ServerInfo as JSON: what is read, what is refused, what is written, no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "wire/frame.h"
#include "wire/info.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MESH_HEX      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ZERO_HEX      "0000000000000000000000000000000000000000000000000000000000000000"

/* Both parse from memory of the exact size, and must leave *out alone when they refuse. */

static int client_bytes(struct client_info *out, const void *json, size_t len)
{
    struct client_info before;
    uint8_t *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, json, len);
    memset(out, 0x5c, sizeof(*out));
    before = *out;
    int err = client_info_parse(out, copy, len);
    if (err < 0)
        assert_memory_equal(out, &before, sizeof(before));
    free(copy);
    return err;
}

static int client(struct client_info *out, const char *json)
{
    return client_bytes(out, json, strlen(json));
}

static int server(struct server_info *out, const char *json)
{
    struct server_info before;
    size_t len = strlen(json);
    uint8_t *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, json, len);
    memset(out, 0x5c, sizeof(*out));
    before = *out;
    int err = server_info_parse(out, copy, len);
    if (err < 0)
        assert_memory_equal(out, &before, sizeof(before));
    free(copy);
    return err;
}

static void test_client_members(void **state)
{
    (void)state;
    struct client_info info;

    assert_int_equal(client(&info, "{}"), 0);
    assert_int_equal(info.version, 0);
    assert_false(info.can_ack_pings);
    assert_false(info.is_prober);
    assert_false(info.has_mesh_key);
    assert_string_equal(info.app_name, "");

    /* As encoding/json of Go writes it. */
    assert_int_equal(client(&info,
                            "{\"meshKey\":\"" MESH_HEX "\",\"version\":2,\"CanAckPings\":true,"
                            "\"IsProber\":true,\"AppName\":\"prober \xc3\xa9 "
                            "\\u003c1\\u003e\"}"),
                     0);
    assert_int_equal(info.version, 2);
    assert_true(info.can_ack_pings);
    assert_true(info.is_prober);
    assert_true(info.has_mesh_key);
    for (size_t i = 0; i < INFO_MESH_KEY_SIZE; i++)
        assert_int_equal(info.mesh_key[i], ((i * 2) % 16) << 4 | (i * 2 + 1) % 16);
    assert_string_equal(info.app_name, "prober \xc3\xa9 <1>");

    assert_int_equal(
        client(&info, " \t\r\n{\"version\" : 2 , \"Else\": [1, {\"a\": null}, 2.5e3]}\n "), 0);
    assert_int_equal(info.version, 2);
    assert_int_equal(client(&info, "{\"version\":1,\"version\":2}"), 0);
    assert_int_equal(info.version, 2);
    assert_int_equal(client(&info, "{\"version\":-2147483648}"), 0);
    assert_int_equal(info.version, INT_MIN);
    assert_int_equal(client(&info, "{\"version\":2147483647}"), 0);
    assert_int_equal(info.version, INT_MAX);
}

static void test_null_counts_as_absent(void **state)
{
    (void)state;
    struct client_info info;
    struct server_info answer;

    assert_int_equal(client(&info, "{\"meshKey\":null,\"version\":null,\"CanAckPings\":null,"
                                   "\"IsProber\":null,\"AppName\":null}"),
                     0);
    assert_int_equal(info.version, 0);
    assert_false(info.can_ack_pings);
    assert_false(info.is_prober);
    assert_false(info.has_mesh_key);
    assert_string_equal(info.app_name, "");
    assert_int_equal(server(&answer, "{\"version\":null,\"TokenBucketBytesPerSecond\":null,"
                                     "\"TokenBucketBytesBurst\":null}"),
                     0);
    assert_int_equal(answer.version, 0);
    assert_int_equal(answer.token_bucket_bytes_per_second, 0);
    assert_int_equal(answer.token_bucket_bytes_burst, 0);
}

static void test_mesh_key(void **state)
{
    (void)state;
    struct client_info info;
    char text[128];

    assert_int_equal(client(&info, "{\"meshKey\":\"\"}"), 0);
    assert_false(info.has_mesh_key);
    /* A relay without a mesh key has zeros there: nobody may match them. */
    assert_int_equal(client(&info, "{\"meshKey\":\"" ZERO_HEX "\"}"), 0);
    assert_false(info.has_mesh_key);
    assert_int_equal(client(&info, "{\"meshKey\":\"0000000000000000000000000000000000000000000000"
                                   "0000000000000000AF\"}"),
                     0);
    assert_true(info.has_mesh_key);
    assert_int_equal(info.mesh_key[31], 0xaf);

    for (int n = 1; n < 64; n++) {
        snprintf(text, sizeof(text), "{\"meshKey\":\"%.*s\"}", n, MESH_HEX);
        assert_int_equal(client(&info, text), -EBADMSG);
    }
    assert_int_equal(client(&info, "{\"meshKey\":\"" MESH_HEX "0\"}"), -EBADMSG);
    assert_int_equal(client(&info, "{\"meshKey\":\"" MESH_HEX "00\"}"), -EBADMSG);
    assert_int_equal(client(&info, "{\"meshKey\":\"" MESH_HEX "\\u0000\"}"), -EBADMSG);
    for (size_t i = 0; i < 64; i++) {
        char hex[] = MESH_HEX;
        hex[i] = i % 3 == 0 ? 'g' : i % 3 == 1 ? ' ' : ':';
        snprintf(text, sizeof(text), "{\"meshKey\":\"%s\"}", hex);
        assert_int_equal(client(&info, text), -EBADMSG);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const both[] = {
        "",
        " ",
        "null",
        "true",
        "2",
        "\"a\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{}}",
        "{}{}",
        "{} x",
        "{}\x01",
        "{\"version\":}",
        "{\"version\":2,}",
        "{version:2}",
        "{'version':2}",
        "{\"version\":\"2\"}",
        "{\"version\":2.0}",
        "{\"version\":1e2}",
        "{\"version\":true}",
        "{\"version\":[2]}",
        "{\"version\":2147483648}",
        "{\"version\":-2147483649}",
        "{\"version\":99999999999999999999}",
        "{\"x\":\"\xff\"}",
        "{\"x\":\"\n\"}",
        "{\"x\":\"\\ud800\"}",
    };
    static const char *const client_only[] = {
        "{\"CanAckPings\":1}", "{\"CanAckPings\":\"true\"}",
        "{\"IsProber\":0}",    "{\"IsProber\":{}}",
        "{\"AppName\":1}",     "{\"AppName\":[]}",
        "{\"AppName\":false}", "{\"meshKey\":1}",
        "{\"meshKey\":{}}",
    };
    static const char *const server_only[] = {
        "{\"TokenBucketBytesPerSecond\":-1}",  "{\"TokenBucketBytesBurst\":-1}",
        "{\"TokenBucketBytesPerSecond\":1.5}", "{\"TokenBucketBytesBurst\":\"1\"}",
        "{\"TokenBucketBytesBurst\":true}",    "{\"TokenBucketBytesBurst\":9223372036854775808}",
    };
    struct client_info info;
    struct server_info answer;

    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        if (client(&info, both[i]) != -EBADMSG || server(&answer, both[i]) != -EBADMSG)
            fail_msg("not refused: %s", both[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(client_only); i++) {
        if (client(&info, client_only[i]) != -EBADMSG)
            fail_msg("not refused: %s", client_only[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(server_only); i++) {
        if (server(&answer, server_only[i]) != -EBADMSG)
            fail_msg("not refused: %s", server_only[i]);
    }
    assert_int_equal(client_bytes(&info, "{}\0", 3), -EBADMSG);
    assert_int_equal(client_bytes(&info, "{\"a\0b\":1}", 9), -EBADMSG);
}

static void test_size_is_bounded(void **state)
{
    (void)state;
    struct client_info info;
    char *json = malloc(FRAME_MAX_CLIENT_INFO + 1);

    assert_non_null(json);
    memset(json, ' ', FRAME_MAX_CLIENT_INFO + 1);
    memcpy(json, "{}", 2);
    assert_int_equal(client_bytes(&info, json, FRAME_MAX_CLIENT_INFO), 0);
    assert_int_equal(client_bytes(&info, json, FRAME_MAX_CLIENT_INFO + 1), -EBADMSG);
    /* As deep as it can get: refused, and not at the cost of the stack. */
    memset(json, '[', FRAME_MAX_CLIENT_INFO);
    memcpy(json, "{\"x\":", 5);
    assert_int_equal(client_bytes(&info, json, FRAME_MAX_CLIENT_INFO), -EBADMSG);
    free(json);
}

static void test_app_name(void **state)
{
    (void)state;
#define FORTY "0123456789012345678901234567890123456789"
    static const char *const names[][2] = {
        {"derper", "derper"},
        {"a\\u0000b\\n\\t\\u001f\\u007f", "a?b????"},
        {"\\u0080\\u009f\\u00a0", "??\xc2\xa0"},
        {"\\\"\\\\", "\"\\"},
        {"\xf0\x9f\x94\x91", "\xf0\x9f\x94\x91"},
        /* 64 bytes fit, 65 do not, and a character is never cut in two. */
        {FORTY "012345678901234567890123", FORTY "012345678901234567890123"},
        {FORTY "0123456789012345678901234", FORTY "012345678901234567890123"},
        {FORTY "01234567890123456789012\xc3\xa9", FORTY "01234567890123456789012"},
        {FORTY "0123456789012345678901\xc3\xa9x", FORTY "0123456789012345678901\xc3\xa9"},
        {FORTY "0123456789012345678901\xe2\x82\xacx", FORTY "0123456789012345678901"},
        {FORTY "0123456789012345678901234\\n", FORTY "012345678901234567890123"},
    };
    struct client_info info;
    char text[256];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(text, sizeof(text), "{\"AppName\":\"%s\"}", names[i][0]);
        assert_int_equal(client(&info, text), 0);
        assert_string_equal(info.app_name, names[i][1]);
    }
}

static void test_server_members(void **state)
{
    (void)state;
    struct server_info info;

    assert_int_equal(server(&info, "{}"), 0);
    assert_int_equal(info.version, 0);
    assert_int_equal(info.token_bucket_bytes_per_second, 0);
    assert_int_equal(info.token_bucket_bytes_burst, 0);
    assert_int_equal(server(&info, "{\"version\":2,\"TokenBucketBytesPerSecond\":1000000,"
                                   "\"TokenBucketBytesBurst\":65536,\"New\":\"x\"}"),
                     0);
    assert_int_equal(info.version, 2);
    assert_int_equal(info.token_bucket_bytes_per_second, 1000000);
    assert_int_equal(info.token_bucket_bytes_burst, 65536);
    assert_int_equal(server(&info, "{\"TokenBucketBytesBurst\":9223372036854775807}"), 0);
    assert_true(info.token_bucket_bytes_burst == INT64_MAX);
}

/* Writes into memory of every size up to the one that is needed. */
static void assert_client_format(const struct client_info *info, const char *want)
{
    size_t len = strlen(want);

    for (size_t room = 0; room <= len + 1; room++) {
        uint8_t *out = malloc(room ? room : 1);
        assert_non_null(out);
        ssize_t size = client_info_format(info, out, room);
        if (room < len) {
            assert_int_equal(size, -ENOSPC);
        } else {
            assert_int_equal(size, len);
            assert_memory_equal(out, want, len);
        }
        free(out);
    }
}

static void assert_server_format(const struct server_info *info, const char *want)
{
    size_t len = strlen(want);

    for (size_t room = 0; room <= len + 1; room++) {
        uint8_t *out = malloc(room ? room : 1);
        assert_non_null(out);
        ssize_t size = server_info_format(info, out, room);
        if (room < len) {
            assert_int_equal(size, -ENOSPC);
        } else {
            assert_int_equal(size, len);
            assert_memory_equal(out, want, len);
        }
        free(out);
    }
}

static void test_client_format(void **state)
{
    (void)state;
    struct client_info info = {0};

    assert_client_format(&info, "{\"CanAckPings\":false}");
    info.version = 2;
    info.can_ack_pings = true;
    assert_client_format(&info, "{\"version\":2,\"CanAckPings\":true}");
    info.is_prober = true;
    info.has_mesh_key = true;
    for (size_t i = 0; i < INFO_MESH_KEY_SIZE; i++)
        info.mesh_key[i] = (uint8_t)(((i * 2) % 16) << 4 | (i * 2 + 1) % 16);
    strcpy(info.app_name, "a\"b\\\xc3\xa9\x01\xff\xc3");
    assert_client_format(&info, "{\"meshKey\":\"" MESH_HEX "\",\"version\":2,\"CanAckPings\":true,"
                                "\"IsProber\":true,\"AppName\":\"a\\\"b\\\\\xc3\xa9???\"}");

    /* A name that fills its array without a NUL is read no further. */
    struct client_info full = {0};
    memset(full.app_name, 'n', sizeof(full.app_name));
    assert_client_format(&full,
                         "{\"CanAckPings\":false,\"AppName\":\"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                         "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\"}");
}

/* What is no UTF-8 is replaced, byte by byte; the edges of each form. */
static void test_names_that_are_not_utf8(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"\x80", "?"},
        {"\xbf", "?"},
        {"\xc0\x80", "??"},
        {"\xc1\xbf", "??"},
        {"\xc2\xa0", "\xc2\xa0"},
        {"\xc2", "?"},
        {"\xc3x", "?x"},
        {"\xe0\x9f\xbf", "???"},
        {"\xe0\xa0\x80", "\xe0\xa0\x80"},
        {"\xe2\x82", "??"},
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},
        {"\xed\xa0\x80", "???"},
        {"\xef\xbf\xbf", "\xef\xbf\xbf"},
        {"\xf0\x8f\xbf\xbf", "????"},
        {"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"\xf4\x90\x80\x80", "????"},
        {"\xf5\x80\x80\x80", "????"},
        {"\xff", "?"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct client_info info = {0};
        char want[128];

        strcpy(info.app_name, names[i][0]);
        snprintf(want, sizeof(want), "{\"CanAckPings\":false,\"AppName\":\"%s\"}", names[i][1]);
        assert_client_format(&info, want);
    }
}

static void test_server_format(void **state)
{
    (void)state;
    struct server_info info = {0};
    uint8_t out[128];

    assert_server_format(&info, "{}");
    info.version = 2;
    assert_server_format(&info, "{\"version\":2}");
    info.token_bucket_bytes_per_second = 1000000;
    info.token_bucket_bytes_burst = INT64_MAX;
    assert_server_format(&info, "{\"version\":2,\"TokenBucketBytesPerSecond\":1000000,"
                                "\"TokenBucketBytesBurst\":9223372036854775807}");
    info.token_bucket_bytes_burst = -1;
    assert_int_equal(server_info_format(&info, out, sizeof(out)), -EBADMSG);
    info.token_bucket_bytes_burst = 0;
    info.token_bucket_bytes_per_second = -1;
    assert_int_equal(server_info_format(&info, out, sizeof(out)), -EBADMSG);
}

/* Memory that runs out: every allocation of jansson fails in turn. */

static long allocations_left;

static void *failing_malloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char json[] = "{\"meshKey\":\"" MESH_HEX "\",\"version\":2,\"CanAckPings\":true,"
                               "\"AppName\":\"a\",\"b\":[1,2,3,4,5,6,7,8,9,2.5]}";
    struct client_info info = {0};
    struct server_info answer = {2, 3, 4};
    uint8_t out[512];

    assert_int_equal(client_info_parse(&info, (const uint8_t *)json, sizeof(json) - 1), 0);
    for (int what = 0; what < 4; what++) {
        bool parses = what % 2 == 0;
        long failed = 0;
        long told = 0;
        ssize_t result;

        do {
            allocations_left = failed;
            json_set_alloc_funcs(failing_malloc, free);
            if (what == 0)
                result = client_info_parse(&info, (const uint8_t *)json, sizeof(json) - 1);
            else if (what == 1)
                result = client_info_format(&info, out, sizeof(out));
            else if (what == 2)
                result = server_info_parse(&answer, (const uint8_t *)json, sizeof(json) - 1);
            else
                result = server_info_format(&answer, out, sizeof(out));
            json_set_alloc_funcs(malloc, free);
            if (result < 0) {
                failed++;
                told += result == -ENOMEM;
                assert_true(result == -ENOMEM || (parses && result == -EBADMSG));
            }
        } while (result < 0);
        assert_in_range(failed, 2, 1000);
        assert_true(parses ? told > failed / 2 : told == failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_members),
        cmocka_unit_test(test_null_counts_as_absent),
        cmocka_unit_test(test_mesh_key),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_size_is_bounded),
        cmocka_unit_test(test_app_name),
        cmocka_unit_test(test_server_members),
        cmocka_unit_test(test_client_format),
        cmocka_unit_test(test_names_that_are_not_utf8),
        cmocka_unit_test(test_server_format),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
