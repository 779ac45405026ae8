/* SPDX-License-Identifier: BSD-3-Clause */
/* What a listener answers: each page, well formed, as long as it says and never longer than its
 * buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/http_answer.h"
#include "wire/key.h"

struct answer {
    char bytes[HTTP_ANSWER_PAGE_SIZE + 1];
    size_t size, body; /* where the body begins */
    unsigned status;
};

static const struct http_scene last = {.last = true};

/* Answers a request text, or an error of the parser (parsed < 0); checks what holds for every
 * answer. */
static struct answer answer_in(const char *text, int parsed, const struct http_scene *scene)
{
    struct http_request request = {0};
    struct answer a = {0};
    uint8_t page[HTTP_ANSWER_PAGE_SIZE];
    size_t scanned = 0;
    char reason[64];

    if (text) {
        parsed = http_request_parse(&request, text, strlen(text), &scanned);
        assert_int_equal(parsed, strlen(text));
        assert_false(http_answer_is_upgrade(&request));
    }
    memset(page, 0xee, sizeof(page));
    a.size = http_answer_page(page, &request, parsed, scene);
    assert_in_range(a.size, 20, HTTP_ANSWER_PAGE_SIZE - 1);
    memcpy(a.bytes, page, a.size);
    assert_int_equal(sscanf(a.bytes, "HTTP/1.1 %u %63[^\r]\r\n", &a.status, reason), 2);
    const char *end = strstr(a.bytes, "\r\n\r\n");
    assert_non_null(end);
    a.body = (size_t)(end - a.bytes) + 4;
    assert_null(memchr(a.bytes, '\0', a.size));
    for (const char *at = a.bytes; at < end; at++)
        assert_int_equal(*at == '\n', at > a.bytes && at[-1] == '\r');
    const char *connection = strstr(a.bytes, "\r\nConnection: ");
    bool closes = connection && strstr(connection, "close") && strstr(connection, "close") < end;
    assert_int_equal(closes, scene->last);
    const char *length = strstr(a.bytes, "\r\nContent-Length: ");
    if (a.status == 204) { /* RFC 9110, section 8.6 */
        assert_null(length);
        assert_int_equal(a.size, a.body);
        return a;
    }
    assert_true(length && length < end);
    if (!text || strncmp(text, "HEAD ", 5) != 0)
        assert_int_equal(strtoul(length + 18, NULL, 10), a.size - a.body);
    return a;
}

static struct answer answer(const char *text, int parsed)
{
    return answer_in(text, parsed, &last);
}

static unsigned status(const char *text)
{
    return answer(text, 0).status;
}

static bool has(const struct answer *a, const char *text)
{
    return strstr(a->bytes, text) != NULL;
}

static void home(void **state)
{
    (void)state;
    struct answer a = answer("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    assert_int_equal(a.status, 200);
    assert_true(has(&a, "Content-Type: text/html"));
    assert_true(has(&a, "<h1>DERP</h1>"));
    assert_int_equal(status("GET /?x=/derp HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_int_equal(status("GET / HTTP/1.0\r\n\r\n"), 200);
}

static void probes(void **state)
{
    static const char *const requests[] = {
        "GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n",
        "HEAD /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /derp/latency-check HTTP/1.1\r\nHost: x\r\n\r\n",
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct answer a = answer(requests[i], 0);
        assert_int_equal(a.status, 200);
        assert_true(has(&a, "Access-Control-Allow-Origin: *\r\n"));
        assert_int_equal(a.size, a.body);
    }
}

static void derp_without_upgrade(void **state)
{
    static const char *const requests[] = {
        "GET /derp HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        "GET /derp HTTP/1.0\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n",
    };

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct answer a = answer(requests[i], 0);
        assert_int_equal(a.status, 426);
        assert_true(has(&a, "\r\nUpgrade: DERP\r\n"));
    }
    assert_int_equal(status("GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                            "Upgrade: DERP\r\nContent-Length: 5\r\n\r\n"),
                     400);
}

static void not_found_and_not_allowed(void **state)
{
    (void)state;
    assert_int_equal(status("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    assert_int_equal(status("GET /derp/ HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    assert_int_equal(status("GET /Derp HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    assert_int_equal(status("POST /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    struct answer a = answer("POST / HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    assert_int_equal(a.status, 405);
    assert_true(has(&a, "\r\nAllow: GET, HEAD\r\n"));
    assert_int_equal(status("DELETE /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
}

static void parser_errors(void **state)
{
    (void)state;
    assert_int_equal(answer(NULL, -EBADMSG).status, 400);
    assert_int_equal(answer(NULL, -E2BIG).status, 431);
    assert_int_equal(answer(NULL, -EPROTONOSUPPORT).status, 505);
    assert_int_equal(answer(NULL, -EIO).status, 400);
}

/* The same head as for GET, its Content-Length too (RFC 9110, section 9.3.2), and nothing behind.
 */
static void head_has_no_body(void **state)
{
    static const char *const paths[] = {"/",        "/derp",       "/derp/probe",
                                        "/nowhere", "/robots.txt", "/generate_204"};
    char request[100];

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
        struct answer get = answer(request, 0);
        snprintf(request, sizeof(request), "HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
        struct answer head = answer(request, 0);
        assert_int_equal(head.size, head.body);
        assert_int_equal(head.body, get.body);
        assert_memory_equal(head.bytes, get.bytes, head.size);
    }
}

/* Each of the three homes; a URL is never longer than its answer has room for. */
static void other_homes(void **state)
{
    static const char *const wrong[] = {"",
                                        "Default",
                                        "ftp://x",
                                        "http//x",
                                        "https://a b",
                                        "http://x\r\nSet-Cookie: y",
                                        "http://x\x80"};
    char url[HTTP_MAX_HOME + 2], *home;
    struct http_scene scene = {.last = true, .tls = true};

    (void)state;
    assert_int_equal(http_answer_home(&home, NULL), 0);
    assert_null(home);
    assert_int_equal(http_answer_home(&home, "default"), 0);
    assert_null(home);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(http_answer_home(&home, wrong[i]), -EINVAL);

    assert_int_equal(http_answer_home(&home, "blank"), 0);
    scene.home = home;
    struct answer a = answer_in("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0, &scene);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.size, a.body);
    free(home);

    memset(url, 'a', sizeof(url) - 1);
    memcpy(url, "https://", 8);
    url[HTTP_MAX_HOME + 1] = '\0';
    assert_int_equal(http_answer_home(&home, url), -EINVAL);
    url[HTTP_MAX_HOME] = '\0';
    assert_int_equal(http_answer_home(&home, url), 0);
    scene.home = home;
    a = answer_in("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0, &scene);
    assert_int_equal(a.status, 302);
    const char *location = strstr(a.bytes, "\r\nLocation: ");
    assert_non_null(location);
    assert_memory_equal(location + 12, url, HTTP_MAX_HOME);
    assert_memory_equal(location + 12 + HTTP_MAX_HOME, "\r\n", 2);
    free(home);
}

/* What pages for people carry; the one header for HTTPS only where it is true. */
static void policy(void **state)
{
    static const char *const browsed[] = {"/", "/robots.txt", "/nowhere"};
    struct http_scene scene = {.last = true, .tls = true};
    char request[100];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", browsed[i]);
        struct answer a = answer(request, 0);
        assert_true(has(&a, "\r\nContent-Security-Policy: default-src 'self'; "));
        assert_true(has(&a, "\r\nX-Frame-Options: DENY\r\n"));
        assert_true(has(&a, "\r\nX-Content-Type-Options: nosniff\r\n"));
        assert_false(has(&a, "Strict-Transport-Security"));
        a = answer_in(request, 0, &scene);
        assert_true(
            has(&a, "\r\nStrict-Transport-Security: max-age=63072000; includeSubDomains\r\n"));
    }
    struct answer a = answer("GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    assert_string_equal(a.bytes + a.body, "User-agent: *\nDisallow: /\n");
    assert_int_equal(status("GET /bootstrap-dns HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
}

/* The answer to a challenge of these characters; NULL when there is none. */
static const char *challenge(const char *text)
{
    static struct answer a;
    char request[400];

    snprintf(request, sizeof(request),
             "GET /generate_204 HTTP/1.1\r\nHost: x\r\nX-Tailscale-Challenge: %s\r\n\r\n", text);
    a = answer(request, 0);
    assert_int_equal(a.status, 204);
    assert_true(has(&a, "\r\nCache-Control: no-cache, no-store, "));
    const char *response = strstr(a.bytes, "\r\nX-Tailscale-Response: response ");
    if (!response)
        return NULL;
    response += sizeof("\r\nX-Tailscale-Response: response ") - 1;
    a.bytes[strcspn(response, "\r") + (size_t)(response - a.bytes)] = '\0';
    return response;
}

static void challenges(void **state)
{
    static const char longest[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    char longer[66];

    (void)state;
    assert_string_equal(challenge("ts_derp-1.example:443"), "ts_derp-1.example:443");
    assert_string_equal(challenge(longest), longest);
    snprintf(longer, sizeof(longer), "%s4", longest);
    assert_null(challenge(longer));
    assert_null(challenge(""));
    static const char *const bad[] = {"a b", "<script>", "a/b", "a,b", "a;b", "a%20", "\xc3\xa4"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(challenge(bad[i]));
    struct answer a = answer("GET /generate_204 HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    assert_int_equal(a.status, 204);
    assert_false(has(&a, "X-Tailscale-Response"));
}

static bool goes_on(const char *text)
{
    struct http_request request = {0};
    size_t scanned = 0;
    int parsed = http_request_parse(&request, text, strlen(text), &scanned);

    return http_answer_lets_go_on(&request, parsed);
}

/* After which requests the connection stays, and that the answer says which. */
static void another_request(void **state)
{
    (void)state;
    assert_true(goes_on("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_true(goes_on("GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"));
    assert_true(goes_on("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
    assert_false(goes_on("GET / HTTP/1.0\r\n\r\n"));
    assert_false(goes_on("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_false(goes_on("GET / HTTP/1.1\r\nHost: x\r\nConnection: a , CLOSE,b\r\n\r\n"));
    assert_false(
        goes_on("GET / HTTP/1.1\r\nHost: x\r\nConnection: a\r\nConnection: close\r\n\r\n"));
    assert_false(goes_on("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"));
    assert_false(goes_on("GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n"));
    assert_false(goes_on("bad\r\n\r\n"));
    struct http_scene more = {.last = false};
    struct answer a = answer_in("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0, &more);
    assert_false(has(&a, "\r\nConnection:"));
    a = answer_in("GET /derp HTTP/1.1\r\nHost: x\r\n\r\n", 0, &more);
    assert_true(has(&a, "\r\nConnection: Upgrade\r\n"));
    a = answer("GET /derp HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    assert_true(has(&a, "\r\nConnection: Upgrade, close\r\n"));
}

static bool is_upgrade(const char *text)
{
    struct http_request request = {0};
    size_t scanned = 0;

    assert_int_equal(http_request_parse(&request, text, strlen(text), &scanned), strlen(text));
    return http_answer_is_upgrade(&request);
}

static void upgrades(void **state)
{
    hyperderp_key key, got;
    uint8_t bytes[HTTP_ANSWER_UPGRADE_SIZE];
    struct http_response response;
    size_t scanned = 0;

    (void)state;
    assert_true(is_upgrade(
        "GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: derp\r\nConnection: Upgrade\r\n\r\n"));
    assert_true(is_upgrade(
        "GET /derp?x HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"));
    assert_false(is_upgrade(
        "POST /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"));
    assert_false(is_upgrade(
        "GET /other HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"));

    for (size_t i = 0; i < sizeof(key.bytes); i++)
        key.bytes[i] = (uint8_t)(i * 7);
    size_t size = http_answer_upgrade(bytes, &key);
    assert_in_range(size, 100, HTTP_ANSWER_UPGRADE_SIZE - 1);
    assert_int_equal(http_response_parse(&response, (char *)bytes, size, &scanned), size);
    assert_int_equal(response.status, 101);
    assert_true(response.upgrade_derp && response.has_server_key);
    got = response.server_key;
    assert_true(hyperderp_key_equal(&got, &key));
    assert_int_equal(response.derp_version, 2);
}

/* Whether it asks for DERP: 0, 1, or 2 for DERP in WebSocket messages. */
static int protocol(const char *text)
{
    struct http_request request = {0};
    size_t scanned = 0;

    assert_int_equal(http_request_parse(&request, text, strlen(text), &scanned), strlen(text));
    bool derp = http_answer_is_upgrade(&request), websocket = http_answer_is_websocket(&request);
    assert_false(derp && websocket);
    return derp ? 1 : websocket ? 2 : 0;
}

static void websocket_upgrades(void **state)
{
#define BEGIN "GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n"
#define KEY   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define REST  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
#define DERP  "Sec-WebSocket-Protocol: derp\r\n"
    (void)state;
    assert_int_equal(protocol(BEGIN REST KEY DERP "\r\n"), 2);
    assert_int_equal(protocol(BEGIN REST KEY "Sec-WebSocket-Protocol: a, derp\r\n\r\n"), 2);
    assert_int_equal(protocol(BEGIN REST KEY "Sec-WebSocket-Protocol: a\r\n\r\n"), 1);
    assert_int_equal(protocol(BEGIN REST KEY "\r\n"), 1);
    assert_int_equal(protocol(BEGIN "\r\n"), 1);
    assert_int_equal(protocol(BEGIN DERP "\r\n"), 0);
    assert_int_equal(protocol(BEGIN REST DERP "\r\n"), 0);
    assert_int_equal(protocol(BEGIN KEY DERP "Connection: Upgrade\r\n\r\n"), 0);
    assert_int_equal(protocol(BEGIN KEY DERP "Sec-WebSocket-Version: 13\r\n\r\n"), 0);
    assert_int_equal(protocol(BEGIN REST KEY DERP "Content-Length: 1\r\n\r\n"), 0);

    static const char request[] = BEGIN REST KEY DERP "\r\n";
    struct http_request parsed;
    size_t scanned = 0;
    uint8_t bytes[HTTP_ANSWER_UPGRADE_SIZE];
    assert_true(http_request_parse(&parsed, request, sizeof(request) - 1, &scanned) > 0);
    size_t size = http_answer_websocket(bytes, &parsed);
    assert_in_range(size, 100, HTTP_ANSWER_UPGRADE_SIZE - 1);
    bytes[size] = '\0';
    assert_non_null(
        strstr((char *)bytes, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    /* What is wrong with a handshake is told. */
    struct answer a = answer(BEGIN KEY DERP "Connection: Upgrade\r\n\r\n", 0);
    assert_int_equal(a.status, 426);
    assert_true(has(&a, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_int_equal(status(BEGIN REST DERP "\r\n"), 400);
    assert_int_equal(status(BEGIN KEY DERP "Sec-WebSocket-Version: 13\r\n\r\n"), 426);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(home),
        cmocka_unit_test(probes),
        cmocka_unit_test(derp_without_upgrade),
        cmocka_unit_test(not_found_and_not_allowed),
        cmocka_unit_test(parser_errors),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(other_homes),
        cmocka_unit_test(policy),
        cmocka_unit_test(challenges),
        cmocka_unit_test(another_request),
        cmocka_unit_test(upgrades),
        cmocka_unit_test(websocket_upgrades),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
