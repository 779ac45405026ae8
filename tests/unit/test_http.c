/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Request heads. Every head of these tests is parsed whole and then again byte by
 * byte, each prefix in memory of its own size: both must end alike.
 */
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

/* What a request said, in strings of its own. */
struct request {
    int result;
    size_t decided_at; /* bytes that were there when the result was no longer 0 */
    struct http_request fields;
    char path[HTTP_MAX_HEAD];
    char ideal_node[HTTP_MAX_HEAD];
};

static char *copy_exactly(const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    return copy;
}

static void keep(struct request *out, size_t len)
{
    out->decided_at = len;
    if (out->result <= 0)
        return;
    snprintf(out->path, sizeof(out->path), "%.*s", (int)out->fields.path.len, out->fields.path.at);
    if (out->fields.ideal_node.len > 0)
        snprintf(out->ideal_node, sizeof(out->ideal_node), "%.*s", (int)out->fields.ideal_node.len,
                 out->fields.ideal_node.at);
}

static void parse_bytewise(struct request *out, const char *bytes, size_t len)
{
    size_t scanned = 0;

    memset(out, 0, sizeof(*out));
    for (size_t n = 0; n <= len && out->result == 0; n++) {
        char *copy = copy_exactly(bytes, n);

        out->result = http_request_parse(&out->fields, copy, n, &scanned);
        keep(out, n);
        if (out->result == 0)
            assert_int_equal(scanned, n); /* so that nothing is looked at twice */
        else
            assert_in_range(scanned, 0, n);
        free(copy);
    }
}

static void parse(struct request *out, const char *bytes, size_t len)
{
    struct request bytewise;
    char *copy = copy_exactly(bytes, len);
    size_t scanned = 0;

    memset(out, 0, sizeof(*out));
    out->result = http_request_parse(&out->fields, copy, len, &scanned);
    keep(out, len);
    /* Asked again with what it has scanned, it says the same. */
    struct http_request again;
    assert_int_equal(http_request_parse(&again, copy, len, &scanned), out->result);
    free(copy);

    parse_bytewise(&bytewise, bytes, len);
    assert_int_equal(bytewise.result, out->result);
    out->decided_at = bytewise.decided_at;
    if (out->result > 0) {
        assert_int_equal(bytewise.fields.method, out->fields.method);
        assert_int_equal(bytewise.fields.minor_version, out->fields.minor_version);
        assert_int_equal(bytewise.fields.upgrade, out->fields.upgrade);
        assert_int_equal(bytewise.fields.fast_start, out->fields.fast_start);
        assert_int_equal(bytewise.fields.has_body, out->fields.has_body);
        assert_string_equal(bytewise.path, out->path);
        assert_string_equal(bytewise.ideal_node, out->ideal_node);
        assert_int_equal(bytewise.decided_at, out->result);
    }
}

static struct request accept_text(const char *text)
{
    struct request request;

    parse(&request, text, strlen(text));
    if (request.result != (int)strlen(text))
        fail_msg("%d for: %s", request.result, text);
    return request;
}

static void refuse(const char *text, int want)
{
    struct request request;

    parse(&request, text, strlen(text));
    if (request.result != want)
        fail_msg("%d, not %d, for: %s", request.result, want, text);
}

static void test_tailscale_request(void **state)
{
    (void)state;
    /* As net/http of Go writes it for derphttp. */
    struct request r = accept_text("GET /derp HTTP/1.1\r\nHost: derp1.tailscale.com\r\n"
                                   "User-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\n"
                                   "Derp-Fast-Start: 1\r\nIdeal-Node: 1f\r\nUpgrade: DERP\r\n\r\n");

    assert_int_equal(r.fields.method, HTTP_GET);
    assert_int_equal(r.fields.minor_version, 1);
    assert_int_equal(r.fields.upgrade, HTTP_UPGRADE_DERP);
    assert_true(r.fields.fast_start);
    assert_false(r.fields.has_body);
    assert_string_equal(r.path, "/derp");
    assert_string_equal(r.ideal_node, "1f");
}

static void test_what_follows_the_head_stays(void **state)
{
    (void)state;
    static const char head[] = "GET /derp HTTP/1.1\r\nHost: a\r\nUpgrade: DERP\r\n\r\n";
    static const char *const tails[] = {"\x02", "\r\n\r\n", "\n", "GET / HTTP/1.1\r\n\r\n"};

    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        char bytes[128];
        struct request r;

        snprintf(bytes, sizeof(bytes), "%s%s", head, tails[i]);
        parse(&r, bytes, strlen(bytes));
        assert_int_equal(r.result, sizeof(head) - 1);
    }
    /* Whatever the bytes are, 0 among them. */
    char bytes[sizeof(head) - 1 + 256];
    struct request r;
    memcpy(bytes, head, sizeof(head) - 1);
    for (unsigned i = 0; i < 256; i++)
        bytes[sizeof(head) - 1 + i] = (char)i;
    parse(&r, bytes, sizeof(bytes));
    assert_int_equal(r.result, sizeof(head) - 1);
}

static void test_methods(void **state)
{
    (void)state;
    assert_int_equal(accept_text("GET / HTTP/1.0\r\n\r\n").fields.method, HTTP_GET);
    assert_int_equal(accept_text("HEAD / HTTP/1.0\r\n\r\n").fields.method, HTTP_HEAD);
    assert_int_equal(accept_text("POST / HTTP/1.0\r\n\r\n").fields.method, HTTP_OTHER_METHOD);
    assert_int_equal(accept_text("get / HTTP/1.0\r\n\r\n").fields.method, HTTP_OTHER_METHOD);
    assert_int_equal(accept_text("GETS / HTTP/1.0\r\n\r\n").fields.method, HTTP_OTHER_METHOD);
    accept_text("!#$%&'*+-.^_`|~azAZ09 / HTTP/1.0\r\n\r\n");
    accept_text("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / HTTP/1.0\r\n\r\n");       /* 32 bytes */
    refuse("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456 / HTTP/1.0\r\n\r\n", -EBADMSG); /* 33 */
}

static void test_targets(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"/", "/"},
        {"/derp", "/derp"},
        {"/derp?", "/derp"},
        {"/derp?a=b?c/d", "/derp"},
        {"//derp", "//derp"},
        {"/a:b", "/a:b"},
        {"/%64erp", "/%64erp"},
        {"http://a/derp", "/derp"},
        {"HTTPS://a.example:443/derp?x", "/derp"},
        {"http://[::1]:80/x", "/x"},
        {"http://a", "/"},
        {"http://a?b/c", "/"},
        {"http://a/", "/"},
    };
    static const char *const bad[] = {
        "*",       "a:443",        "derp",       "?",         "?/derp",       "/a#b",
        "http://", "http:///derp", "http:/derp", "http:a",    "ftp://a/b",    "http://u@a/derp",
        "/\x80",   "/\xc3\xa9",    "://a/",      "http://a#", "http://a\\b/", "https:",
    };
    char text[128];

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", good[i][0]);
        assert_string_equal(accept_text(text).path, good[i][1]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", bad[i]);
        refuse(text, -EBADMSG);
    }
}

static void test_request_lines(void **state)
{
    (void)state;
    refuse("GET /\r\n\r\n", -EBADMSG);
    refuse("GET\r\n\r\n", -EBADMSG);
    refuse("GET \r\n\r\n", -EBADMSG);
    refuse("GET  / HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("GET /  HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1 \r\n\r\n", -EBADMSG);
    refuse("GET /a b HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("GET\t/ HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("GET /\tHTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1\t\r\n\r\n", -EBADMSG);
    refuse(" GET / HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("\r\nGET / HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("\nGET / HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("G(T / HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("G\x80T / HTTP/1.1\r\n\r\n", -EBADMSG);
}

static void test_versions(void **state)
{
    (void)state;
    assert_int_equal(accept_text("GET / HTTP/1.0\r\n\r\n").fields.minor_version, 0);
    assert_int_equal(accept_text("GET / HTTP/1.1\r\nHost:\r\n\r\n").fields.minor_version, 1);
    refuse("GET / HTTP/1.2\r\n\r\n", -EPROTONOSUPPORT);
    refuse("GET / HTTP/2.0\r\n\r\n", -EPROTONOSUPPORT);
    refuse("GET / HTTP/0.9\r\n\r\n", -EPROTONOSUPPORT);
    refuse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", -EPROTONOSUPPORT);
    refuse("GET / HTTP/1.\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.10\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1,1\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/a.1\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.a\r\n\r\n", -EBADMSG);
    refuse("GET / http/1.1\r\n\r\n", -EBADMSG);
    refuse("GET / HTTPS/1.1\r\n\r\n", -EBADMSG);
    refuse("GET / DERP/1.1\r\n\r\n", -EBADMSG);
}

/* A request of HTTP/1.1 with these lines behind its Host. */
static const char *with(const char *lines)
{
    static char text[512];

    snprintf(text, sizeof(text), "GET /derp HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    return text;
}

static void test_line_ends_and_header_syntax(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "X: a\n",         "X: a\r",          "X: a\rb\r\n", "X: a\r\r\n",   " X: a\r\n",
        "X: a\r\n b\r\n", "X: a\r\n\tb\r\n", "X : a\r\n",   "X\t: a\r\n",   ": a\r\n",
        "X\r\n",          "X a\r\n",         "X(: a\r\n",   "X\x80: a\r\n", "X: \x01\r\n",
        "X: \x7f\r\n",    "X: \x1f\r\n",     "X: \x0b\r\n", "\"X\": a\r\n", "X: \x08\r\n",
        "X y: a\r\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        refuse(with(bad[i]), -EBADMSG);
    refuse("GET / HTTP/1.0\n\n", -EBADMSG);
    refuse("GET / HTTP/1.0\r\n\n", -EBADMSG);
    refuse("GET / HTTP/1.0\r\rX", -EBADMSG);

    accept_text(with("X:\r\n"));
    accept_text(with("X: \t \r\n"));
    accept_text(with("X: a\tb \x80\xff c\r\n"));
    accept_text(with("X: a: b\r\n"));
    accept_text(with("!#$%&'*+-.^_`|~09azAZ: a\r\n"));
    assert_string_equal(accept_text(with("Ideal-Node: \t a b\t \r\n")).ideal_node, "a b");
    assert_string_equal(accept_text(with("IDEAL-node:x\r\n")).ideal_node, "x");
    assert_string_equal(accept_text(with("Ideal-Node:\r\n")).ideal_node, "");
    refuse(with("Ideal-Node: a\r\nIdeal-Node: a\r\n"), -EBADMSG);

    /* A NUL cannot stand in the strings above. */
    static const char nul[] = "GET / HTTP/1.0\r\nX: a\0b\r\n\r\n";
    static const char nul_in_name[] = "GET / HTTP/1.0\r\nX\0: a\r\n\r\n";
    static const char nul_in_host[] = "GET http://a\0/ HTTP/1.0\r\n\r\n";
    struct request r;
    parse(&r, nul, sizeof(nul) - 1);
    assert_int_equal(r.result, -EBADMSG);
    parse(&r, nul_in_name, sizeof(nul_in_name) - 1);
    assert_int_equal(r.result, -EBADMSG);
    parse(&r, nul_in_host, sizeof(nul_in_host) - 1);
    assert_int_equal(r.result, -EBADMSG);
}

static void test_host(void **state)
{
    (void)state;
    accept_text("GET / HTTP/1.1\r\nhOST: a.example:3340\r\n\r\n");
    accept_text("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n");
    accept_text("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    accept_text("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    accept_text("GET / HTTP/1.0\r\n\r\n");
    refuse("GET / HTTP/1.1\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1\r\nHosts: a\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", -EBADMSG);
    refuse("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", -EBADMSG);
}

static void test_upgrade(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        enum http_upgrade upgrade;
    } cases[] = {
        {"", HTTP_UPGRADE_NONE},
        {"Upgrade:\r\n", HTTP_UPGRADE_NONE},
        {"Upgrade: DERP\r\n", HTTP_UPGRADE_DERP},
        {"upgrade:derp\t\r\n", HTTP_UPGRADE_DERP},
        {"UPGRADE: dErP\r\n", HTTP_UPGRADE_DERP},
        {"Upgrade: WebSocket\r\n", HTTP_UPGRADE_WEBSOCKET},
        {"Upgrade: websocket\r\n", HTTP_UPGRADE_WEBSOCKET},
        {"Upgrade: h2c\r\n", HTTP_UPGRADE_OTHER},
        {"Upgrade: DER\r\n", HTTP_UPGRADE_OTHER},
        {"Upgrade: DERPS\r\n", HTTP_UPGRADE_OTHER},
        {"Upgrade: DERP, websocket\r\n", HTTP_UPGRADE_OTHER},
        {"Upgrade: DERP\r\nUpgrade: DERP\r\n", HTTP_UPGRADE_OTHER},
        {"Upgrade: h2c\r\nUpgrade: DERP\r\n", HTTP_UPGRADE_OTHER},
        {"X-Upgrade: DERP\r\n", HTTP_UPGRADE_NONE},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(accept_text(with(cases[i].lines)).fields.upgrade, cases[i].upgrade);
}

static void test_fast_start(void **state)
{
    (void)state;
    assert_true(accept_text(with("derp-fast-start:1\r\n")).fields.fast_start);
    assert_false(accept_text(with("Derp-Fast-Start: 0\r\n")).fields.fast_start);
    assert_false(accept_text(with("Derp-Fast-Start: 11\r\n")).fields.fast_start);
    assert_false(accept_text(with("Derp-Fast-Start: true\r\n")).fields.fast_start);
    assert_false(accept_text(with("Derp-Fast-Start:\r\n")).fields.fast_start);
    assert_false(accept_text(with("")).fields.fast_start);
    refuse(with("Derp-Fast-Start: 1\r\nDerp-Fast-Start: 0\r\n"), -EBADMSG);
}

/* Whether the client wants another answer on the connection. */
static void test_closes(void **state)
{
    (void)state;
    assert_false(accept_text(with("")).fields.closes);
    assert_false(accept_text(with("Connection: keep-alive\r\n")).fields.closes);
    assert_false(accept_text(with("Connection: closed, xclose\r\n")).fields.closes);
    assert_true(accept_text(with("Connection: close\r\n")).fields.closes);
    assert_true(accept_text(with("connection: a,\t CLOSE ,\r\n")).fields.closes);
    assert_true(accept_text(with("Connection: Upgrade\r\nConnection: close\r\n")).fields.closes);
    assert_true(accept_text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").fields.closes);
}

/* What a WebSocket handshake says (RFC 6455, section 4.2.1). */
static void test_websocket(void **state)
{
    static const struct {
        const char *headers;
        bool upgrade, derp, version_13;
    } cases[] = {
        {"", false, false, false},
        {"Connection: keep-alive, Upgrade\r\n", true, false, false},
        {"Connection: a\r\nConnection: upgrade\r\n", true, false, false},
        {"Connection: Upgrades\r\n", false, false, false},
        {"Sec-WebSocket-Protocol: derp\r\n", false, true, false},
        {"Sec-WebSocket-Protocol: chat , derp\r\n", false, true, false},
        {"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: derp\r\n", false, true, false},
        {"Sec-WebSocket-Protocol: derp\r\nSec-WebSocket-Protocol: a\r\n", false, true, false},
        {"Sec-WebSocket-Protocol: derper, xderp, \r\n", false, false, false},
        {"sec-websocket-version: 13\r\n", false, false, true},
        {"Sec-WebSocket-Version: 8\r\n", false, false, false},
        {"Sec-WebSocket-Version: 13, 8\r\n", false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct http_request request = accept_text(with(cases[i].headers)).fields;
        assert_int_equal(request.connection_upgrade, cases[i].upgrade);
        assert_int_equal(request.websocket_derp, cases[i].derp);
        assert_int_equal(request.websocket_13, cases[i].version_13);
        assert_int_equal(request.websocket_key.len, 0);
    }
    const char *text = with("Sec-WebSocket-Key:  dGhlIHNhbXBsZSBub25jZQ== \r\n");
    struct http_request request;
    size_t scanned = 0;
    assert_true(http_request_parse(&request, text, strlen(text), &scanned) > 0);
    assert_true(http_text_is(request.websocket_key, "dGhlIHNhbXBsZSBub25jZQ=="));
    refuse(with("Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n"), -EBADMSG);
    refuse(with("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n"), -EBADMSG);
}

static void test_bodies(void **state)
{
    (void)state;
    assert_false(accept_text(with("Content-Length: 0\r\n")).fields.has_body);
    assert_false(accept_text(with("Content-Length: 000\r\n")).fields.has_body);
    assert_true(accept_text(with("content-length: 1\r\n")).fields.has_body);
    assert_true(accept_text(with("Content-Length: 10\r\n")).fields.has_body);
    assert_true(accept_text(with("Content-Length: 99999999999999999999999\r\n")).fields.has_body);
    assert_true(accept_text(with("Transfer-Encoding: chunked\r\n")).fields.has_body);
    refuse(with("Content-Length:\r\n"), -EBADMSG);
    refuse(with("Content-Length: -1\r\n"), -EBADMSG);
    refuse(with("Content-Length: +1\r\n"), -EBADMSG);
    refuse(with("Content-Length: 0x1\r\n"), -EBADMSG);
    refuse(with("Content-Length: 1 1\r\n"), -EBADMSG);
    refuse(with("Content-Length: 5, 5\r\n"), -EBADMSG);
    refuse(with("Content-Length: 5\r\nContent-Length: 5\r\n"), -EBADMSG);
    refuse(with("Content-Length: 5\r\nContent-Length: 6\r\n"), -EBADMSG);
    refuse(with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), -EBADMSG);
    refuse(with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), -EBADMSG);
    refuse("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", -EBADMSG);
}

/* A head of exactly `size` bytes, whose one long header makes up for the rest. */
static char *head_of_size(size_t size)
{
    static const char begin[] = "GET / HTTP/1.0\r\nX: ";
    static const char end[] = "\r\n\r\n";
    char *head = malloc(size);

    assert_non_null(head);
    memset(head, 'x', size);
    memcpy(head, begin, sizeof(begin) - 1);
    memcpy(head + size - (sizeof(end) - 1), end, sizeof(end) - 1);
    return head;
}

static void test_longest_head(void **state)
{
    (void)state;
    char *head = head_of_size(HTTP_MAX_HEAD);
    struct request r;

    parse(&r, head, HTTP_MAX_HEAD);
    assert_int_equal(r.result, HTTP_MAX_HEAD);
    free(head);

    for (size_t more = 1; more < 4; more++) {
        head = head_of_size(HTTP_MAX_HEAD + more);
        parse(&r, head, HTTP_MAX_HEAD + more);
        assert_int_equal(r.result, -E2BIG);
        assert_int_equal(r.decided_at, HTTP_MAX_HEAD);
        parse(&r, head, HTTP_MAX_HEAD - 1);
        assert_int_equal(r.result, 0);
        free(head);
    }

    /* One line that never ends: the target of the first one. */
    char endless[HTTP_MAX_HEAD + 100];
    memset(endless, '/', sizeof(endless));
    memcpy(endless, "GET ", 4);
    parse(&r, endless, sizeof(endless));
    assert_int_equal(r.result, -E2BIG);
    assert_int_equal(r.decided_at, HTTP_MAX_HEAD);
}

static void test_most_headers(void **state)
{
    (void)state;
    char text[2048] = "GET / HTTP/1.0\r\n";
    char longer[sizeof(text) + 16];

    for (int i = 0; i < HTTP_MAX_HEADERS; i++)
        strcat(text, "X: y\r\n");
    snprintf(longer, sizeof(longer), "%sX: y\r\n\r\n", text);
    refuse(longer, -E2BIG);
    strcat(text, "\r\n");
    accept_text(text);
}

/* Wrong bytes are found when they come. */
static void test_refused_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len; /* all of these but the last are not wrong yet */
    } cases[] = {
        {"\x16", 1}, /* TLS handshake record */
        {"\x80", 1}, /* SSL 2 */
        {"\0", 1},
        {" ", 1},
        {"\r", 1},
        {"\n", 1},
        {"\x02", 1}, /* a ClientInfo frame without its HTTP request */
        {"GET\n", 4},
        {"GET\r", 4},
        {"GET\0", 4},
        {"SSH-2.0-OpenSSH_9.2p1\r", 22},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456", 33},
        {"GET /\x01", 6},
        {"GET /\n", 6},
        {"GET / HTTP/1.1\n", 15},
        {"GET / HTTP/1.1\rX", 16},
        {"GET / HTTP/1.3\r\n", 16},
        {"GET * HTTP/1.1\r\n", 16},
        {"GET / HTTP/1.1\r\n ", 17},
        {"GET / HTTP/1.1\r\n:", 17},
        {"GET / HTTP/1.1\r\nHost a\r\n", 24},
        {"GET / HTTP/1.1\r\nHo(st: a\r\n", 26},
        {"GET / HTTP/1.1\r\nX: \0", 20},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct request r;

        parse(&r, cases[i].bytes, cases[i].len);
        assert_in_range(-r.result, 1, 4095);
        assert_int_equal(r.decided_at, cases[i].len);
    }
    struct request r;
    parse(&r, "SSH-2.0-OpenSSH_9.2p1", 21);
    assert_int_equal(r.result, 0);
    parse(&r, "", 0);
    assert_int_equal(r.result, 0);
}

/* Every cut into two pieces, and every single byte changed to each of some others. */
static void test_cuts_and_changes(void **state)
{
    (void)state;
    static const char head[] = "GET /derp?x HTTP/1.1\r\nHost: a.b:1\r\nUpgrade: DERP\r\n"
                               "Content-Length: 0\r\nIdeal-Node: 1f\r\n\r\nrest";
    static const char others[] = {'\0', '\t', '\n', '\r', ' ', ':', '/', 'A', '0', '\x7f', '\x80'};
    const size_t len = sizeof(head) - 1;

    for (size_t cut = 0; cut <= len; cut++) {
        struct http_request request;
        size_t scanned = 0;
        int first = http_request_parse(&request, head, cut, &scanned);

        assert_int_equal(first, cut < len - 4 ? 0 : (int)len - 4);
        assert_int_equal(http_request_parse(&request, head, len, &scanned), (int)len - 4);
        assert_true(http_text_is(request.path, "/derp"));
        assert_ptr_equal(request.path.at, head + 4);
        assert_true(http_text_is(request.ideal_node, "1f"));
        assert_int_equal(request.upgrade, HTTP_UPGRADE_DERP);
    }
    for (size_t at = 0; at < len; at++) {
        for (size_t i = 0; i < sizeof(others); i++) {
            char changed[sizeof(head)];
            struct request r;

            memcpy(changed, head, sizeof(head));
            changed[at] = others[i];
            parse(&r, changed, len); /* compares whole with bytewise */
            assert_true(r.result <= (int)len - 4);
        }
    }
}

static void test_text_is(void **state)
{
    (void)state;
    struct http_text text = {"/derp/probe", 5};

    assert_true(http_text_is(text, "/derp"));
    assert_false(http_text_is(text, "/der"));
    assert_false(http_text_is(text, "/derp/"));
    assert_false(http_text_is(text, "/DERP"));
    assert_true(http_text_is((struct http_text){"", 0}, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tailscale_request),
        cmocka_unit_test(test_what_follows_the_head_stays),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_line_ends_and_header_syntax),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_fast_start),
        cmocka_unit_test(test_closes),
        cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_longest_head),
        cmocka_unit_test(test_most_headers),
        cmocka_unit_test(test_refused_at_once),
        cmocka_unit_test(test_cuts_and_changes),
        cmocka_unit_test(test_text_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
