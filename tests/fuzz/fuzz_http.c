/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Heads of requests and responses. However the bytes are cut up, the outcome is that of the bytes
 * all at once; and what is accepted is held against the grammar once more, in another way.
 */
#include <errno.h>

#include "fuzz.h"
#include "wire/http.h"

/* Inputs up to this size are cut at every place, longer ones at about fifty, which is faster. */
#define MAX_ALL_CUTS 300

struct outcome {
    int result;
    struct http_request request;
    struct http_response response;
};

/* Parses as a request or as a response. */
static struct outcome parse(bool request, const char *buf, size_t len, size_t *scanned)
{
    struct outcome out;

    memset(&out, 0, sizeof(out));
    if (request)
        out.result = http_request_parse(&out.request, buf, len, scanned);
    else
        out.result = http_response_parse(&out.response, buf, len, scanned);
    REQUIRE(*scanned <= len);
    REQUIRE(out.result != 0 || *scanned == len);
    REQUIRE(out.result <= (int)HTTP_MAX_HEAD);
    REQUIRE(out.result <= 0 || (size_t)out.result <= len);
    REQUIRE(out.result >= 0 || out.result == -EBADMSG || out.result == -E2BIG ||
            out.result == -EPROTONOSUPPORT);
    return out;
}

static bool same_text(struct http_text a, struct http_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static void require_same(const struct outcome *a, const struct outcome *b)
{
    REQUIRE(a->result == b->result);
    if (a->result <= 0)
        return;
    REQUIRE(a->request.method == b->request.method);
    REQUIRE(same_text(a->request.path, b->request.path));
    REQUIRE(a->request.minor_version == b->request.minor_version);
    REQUIRE(a->request.upgrade == b->request.upgrade);
    REQUIRE(a->request.fast_start == b->request.fast_start);
    REQUIRE(a->request.has_body == b->request.has_body);
    REQUIRE(same_text(a->request.ideal_node, b->request.ideal_node));
    REQUIRE(same_text(a->request.challenge, b->request.challenge));
    REQUIRE(same_text(a->request.websocket_key, b->request.websocket_key));
    REQUIRE(a->request.closes == b->request.closes);
    REQUIRE(a->request.connection_upgrade == b->request.connection_upgrade);
    REQUIRE(a->request.websocket_derp == b->request.websocket_derp);
    REQUIRE(a->request.websocket_13 == b->request.websocket_13);
    REQUIRE(a->response.status == b->response.status);
    REQUIRE(a->response.upgrade_derp == b->response.upgrade_derp);
    REQUIRE(a->response.derp_version == b->response.derp_version);
    REQUIRE(a->response.has_server_key == b->response.has_server_key);
    REQUIRE(memcmp(&a->response.server_key, &b->response.server_key, sizeof(hyperderp_key)) == 0);
}

/* Rules of a head that hold for every one that is accepted. */
static void require_head(const char *buf, size_t size)
{
    const char *end = memmem(buf, size, "\r\n\r\n", 4);
    size_t lines = 0;

    REQUIRE(end && (size_t)(end - buf) + 4 == size);
    for (size_t i = 0; i < size; i++) {
        uint8_t c = (uint8_t)buf[i];

        REQUIRE(c >= 0x20 || c == '\r' || c == '\n' || c == '\t');
        REQUIRE(c != 0x7f);
        if (c == '\r')
            REQUIRE(buf[i + 1] == '\n');
        if (c == '\n') {
            REQUIRE(i > 0 && buf[i - 1] == '\r');
            REQUIRE(i + 1 == size || (buf[i + 1] != ' ' && buf[i + 1] != '\t'));
            lines++;
        }
    }
    REQUIRE(lines >= 2 && lines - 2 <= HTTP_MAX_HEADERS);

    /* Every line but the first has a name of token characters in front of its colon. */
    const char *line = (const char *)memchr(buf, '\n', size) + 1;
    while (line < end) {
        size_t name = strcspn(line, ":\r");
        REQUIRE(name > 0 && line[name] == ':');
        REQUIRE(strcspn(line, " \t\"(),/;<=>?@[\\]{}") >= name);
        line = strchr(line, '\n') + 1;
    }
}

/* Counts headers of this name; the head ends with a NUL here. */
static unsigned headers_named(const char *head, const char *name)
{
    unsigned count = 0;

    for (const char *line = strchr(head, '\n'); line; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            count++;
    }
    return count;
}

static void require_request(const char *head, const struct http_request *r)
{
    unsigned lengths = headers_named(head, "Content-Length");
    unsigned encodings = headers_named(head, "Transfer-Encoding");

    REQUIRE(r->path.len >= 1 && r->path.at[0] == '/');
    for (size_t i = 0; i < r->path.len; i++)
        REQUIRE(r->path.at[i] > ' ' && r->path.at[i] < 0x7f && !strchr("?#", r->path.at[i]));
    REQUIRE(r->minor_version <= 1);
    REQUIRE((r->method == HTTP_GET) == (strncmp(head, "GET ", 4) == 0));
    REQUIRE((r->method == HTTP_HEAD) == (strncmp(head, "HEAD ", 5) == 0));
    REQUIRE(headers_named(head, "Host") == 1 || r->minor_version == 0);
    REQUIRE(headers_named(head, "Host") <= 1);
    REQUIRE(lengths + (encodings > 0) <= 1);
    REQUIRE(!r->has_body || lengths + encodings > 0);
    REQUIRE(r->has_body || encodings == 0);
    REQUIRE(r->upgrade == HTTP_UPGRADE_NONE || headers_named(head, "Upgrade") > 0);
    REQUIRE(r->upgrade == HTTP_UPGRADE_OTHER || headers_named(head, "Upgrade") <= 1);
    REQUIRE(!r->fast_start || headers_named(head, "Derp-Fast-Start") == 1);
    REQUIRE(r->ideal_node.len == 0 || headers_named(head, "Ideal-Node") == 1);
    if (r->ideal_node.len > 0) {
        REQUIRE(!strchr(" \t", r->ideal_node.at[0]));
        REQUIRE(!strchr(" \t\r\n", r->ideal_node.at[r->ideal_node.len - 1]));
    }
}

static void require_response(const char *head, const struct http_response *r)
{
    REQUIRE(strncmp(head, "HTTP/1.", 7) == 0 && strchr("01", head[7]) && head[8] == ' ');
    REQUIRE(r->status >= 100 && r->status <= 599 && (unsigned)atoi(head + 9) == r->status);
    REQUIRE(!r->upgrade_derp || headers_named(head, "Upgrade") == 1);
    REQUIRE(!r->has_server_key || headers_named(head, "Derp-Public-Key") == 1);
    REQUIRE(r->derp_version == 0 || headers_named(head, "Derp-Version") == 1);
}

static void check(bool request, const char *data, size_t size)
{
    char *whole = fuzz_copy(data, size);
    size_t scanned = 0;
    struct outcome want = parse(request, whole, size, &scanned);
    struct outcome got = {0};

    got = parse(request, whole, size, &scanned);
    require_same(&want, &got); /* asked again with what it has scanned */

    /* Byte by byte; bytes behind those that decide do not count. */
    scanned = 0;
    got.result = 0;
    size_t fed = 0;
    while (got.result == 0 && fed < size) {
        fed++;
        got = parse(request, whole, fed, &scanned);
    }
    require_same(&want, &got);

    /* In two pieces, the first in memory of its own size. */
    size_t step = size <= MAX_ALL_CUTS ? 1 : size / 50;
    for (size_t cut = 0; cut < size; cut += step) {
        char *first = fuzz_copy(data, cut);
        scanned = 0;
        got = parse(request, first, cut, &scanned);
        REQUIRE(got.result == 0 || got.result == want.result);
        REQUIRE((got.result == 0) == (cut < fed || want.result == 0));
        free(first);
        got = parse(request, whole, size, &scanned);
        require_same(&want, &got);
    }

    if (want.result > 0) {
        REQUIRE(fed == (size_t)want.result);
        char *head = strndup(whole, (size_t)want.result);
        REQUIRE(head);
        require_head(head, (size_t)want.result);
        if (request)
            require_request(head, &want.request);
        else
            require_response(head, &want.response);
        free(head);
    } else if (want.result == 0) {
        REQUIRE(size < HTTP_MAX_HEAD && !memmem(whole, size, "\r\n\r\n", 4));
    }
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(true, (const char *)data, size);
    check(false, (const char *)data, size);
    return 0;
}
