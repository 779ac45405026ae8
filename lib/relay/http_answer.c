/* SPDX-License-Identifier: BSD-3-Clause */
/* The pages of a DERP listener. */
#include "relay/http_answer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "memory/memory.h"
#include "wire/frame.h"
#include "wire/key.h"
#include "wire/websocket.h"

#define ANY_ORIGIN "Access-Control-Allow-Origin: *\r\n"

/* derper sends the same to browsers. */
#define POLICY                                                                                     \
    "Content-Security-Policy: default-src 'self'; frame-ancestors 'none'; form-action 'self'; "    \
    "base-uri 'self'; block-all-mixed-content; object-src 'none'\r\n"                              \
    "X-Frame-Options: DENY\r\n"
#define TLS_POLICY "Strict-Transport-Security: max-age=63072000; includeSubDomains\r\n"

/* Behind a captive portal an answer out of a cache would be taken for the relay's. */
#define NEVER_CACHED                                                                               \
    "Cache-Control: no-cache, no-store, must-revalidate, no-transform, max-age=0\r\n"

/* The characters that a challenge may have besides letters and digits, and their number. */
#define CHALLENGE_MARKS ".-_:"
#define MAX_CHALLENGE   64

struct page {
    unsigned status;
    const char *reason;
    const char *type;    /* NULL: there is no body, and none is announced */
    const char *headers; /* further ones, each with its line end */
    const char *body;
    bool browsed; /* people look at it: it carries the policy */
};

static const char home_body[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><head><meta charset=\"utf-8\"><title>DERP relay</title></head>\n"
    "<body><h1>DERP</h1>\n"
    "<p>This is a DERP relay. It passes encrypted packets between VPN peers that cannot reach\n"
    "each other directly, and sees nothing of what is in them.</p>\n"
    "</body></html>\n";

#define TEXT "text/plain; charset=utf-8"
#define HTML "text/html; charset=utf-8"

static const struct page page_home = {200, "OK", HTML, "", home_body, true};
static const struct page page_blank = {200, "OK", HTML, "", "", true};
static const struct page page_moved = {302, "Found", TEXT, "", "Found\n", true};
static const struct page page_robots = {200, "OK", TEXT, "", "User-agent: *\nDisallow: /\n", true};
static const struct page page_probe = {200, "OK", TEXT, ANY_ORIGIN, "", false};
static const struct page page_no_content = {204, "No Content", NULL, NEVER_CACHED, "", false};
static const struct page page_upgrade_required = {
    426,  "Upgrade Required", TEXT, "Upgrade: DERP\r\n", "DERP requires connection upgrade\n",
    false};
/* RFC 6455, section 4.4. */
static const struct page page_websocket_version = {
    426,
    "Upgrade Required",
    TEXT,
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "WebSocket version 13 is required\n",
    false};
static const struct page page_bad_request = {400, "Bad Request", TEXT, "", "Bad request\n", false};
static const struct page page_not_found = {404, "Not Found", TEXT, "", "Not found\n", true};
static const struct page page_bad_method = {
    405, "Method Not Allowed", TEXT, "Allow: GET, HEAD\r\n", "Method not allowed\n", false};
static const struct page page_too_large = {431, "Request Header Fields Too Large", TEXT,
                                           "",  "Request head too large\n",        false};
static const struct page page_bad_version = {505, "HTTP Version Not Supported",   TEXT,
                                             "",  "HTTP version not supported\n", false};

static bool is_url(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || (uint8_t)text[i] >= 0x7f)
            return false;
    return len <= HTTP_MAX_HOME &&
           (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0);
}

int http_answer_home(char **out, const char *option)
{
    *out = NULL;
    if (!option || strcmp(option, "default") == 0)
        return 0;
    if (strcmp(option, "blank") != 0 && !is_url(option))
        return -EINVAL;
    *out = memory_strdup(strcmp(option, "blank") == 0 ? "" : option);
    return *out ? 0 : -ENOMEM;
}

/* It may ask for another protocol at /derp. */
static bool may_upgrade(const struct http_request *request)
{
    return request->method == HTTP_GET && request->minor_version == 1 && !request->has_body &&
           http_text_is(request->path, "/derp");
}

/* Whether it means WebSocket by that: early clients of Tailscale wrote so and spoke plain DERP. */
static bool means_websocket(const struct http_request *request)
{
    return request->upgrade == HTTP_UPGRADE_WEBSOCKET && request->websocket_derp;
}

bool http_answer_is_upgrade(const struct http_request *request)
{
    return may_upgrade(request) &&
           (request->upgrade == HTTP_UPGRADE_DERP ||
            (request->upgrade == HTTP_UPGRADE_WEBSOCKET && !request->websocket_derp));
}

bool http_answer_is_websocket(const struct http_request *request)
{
    return may_upgrade(request) && means_websocket(request) && request->connection_upgrade &&
           request->websocket_13 && websocket_is_key(request->websocket_key);
}

size_t http_answer_upgrade(uint8_t *out, const hyperderp_key *server)
{
    char hex[65];
    key_format_hex(server, hex);
    int size = snprintf((char *)out, HTTP_ANSWER_UPGRADE_SIZE,
                        "HTTP/1.1 101 Switching Protocols\r\n"
                        "Upgrade: DERP\r\n"
                        "Connection: Upgrade\r\n"
                        "Derp-Version: %d\r\n"
                        "Derp-Public-Key: %s\r\n\r\n",
                        DERP_PROTOCOL_VERSION, hex);
    return (size_t)size;
}

size_t http_answer_websocket(uint8_t *out, const struct http_request *request)
{
    char accept[WEBSOCKET_ACCEPT_SIZE];

    if (!websocket_accept(request->websocket_key, accept))
        return 0;
    int size = snprintf((char *)out, HTTP_ANSWER_UPGRADE_SIZE,
                        "HTTP/1.1 101 Switching Protocols\r\n"
                        "Upgrade: websocket\r\n"
                        "Connection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n"
                        "Sec-WebSocket-Protocol: derp\r\n\r\n",
                        accept);
    return (size_t)size;
}

static const struct page *home_page(const char *home)
{
    if (!home)
        return &page_home;
    return *home ? &page_moved : &page_blank;
}

/* Why a request for /derp is not answered by an upgrade. */
static const struct page *page_for_derp(const struct http_request *request)
{
    if (request->has_body)
        return &page_bad_request;
    if (!means_websocket(request) || !request->connection_upgrade)
        return &page_upgrade_required;
    return request->websocket_13 ? &page_bad_request : &page_websocket_version;
}

static const struct page *page_for_path(const struct http_request *request, const char *home)
{
    bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;
    const struct page *page = &page_not_found;

    if (http_text_is(request->path, "/derp"))
        page = page_for_derp(request);
    else if (http_text_is(request->path, "/derp/probe") ||
             http_text_is(request->path, "/derp/latency-check"))
        page = &page_probe;
    else if (http_text_is(request->path, "/generate_204"))
        page = &page_no_content;
    else if (http_text_is(request->path, "/robots.txt"))
        page = &page_robots;
    else if (http_text_is(request->path, "/"))
        page = home_page(home);
    return page == &page_not_found || reads ? page : &page_bad_method;
}

static const struct page *page_for(const struct http_request *request, int parsed, const char *home)
{
    switch (parsed) {
    case -E2BIG:
        return &page_too_large;
    case -EPROTONOSUPPORT:
        return &page_bad_version;
    default:
        return parsed < 0 ? &page_bad_request : page_for_path(request, home);
    }
}

bool http_answer_lets_go_on(const struct http_request *request, int parsed)
{
    return parsed > 0 && !request->closes && !request->has_body &&
           request->upgrade == HTTP_UPGRADE_NONE;
}

/* A challenge that is sent back as it is: what a page or a header could hold besides is no part of
 * it. */
static bool is_challenge(struct http_text text)
{
    if (text.len == 0 || text.len > MAX_CHALLENGE)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(CHALLENGE_MARKS, c) == NULL))
            return false;
    }
    return true;
}

struct writer {
    char *at;
    size_t room, size;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *out, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int size = vsnprintf(out->at + out->size, out->room - out->size, format, args);
    va_end(args);
    out->size += (size_t)size;
}

/* The headers that depend on more than the page. */
static void put_headers(struct writer *out, const struct page *page,
                        const struct http_request *request, const struct http_scene *scene)
{
    if (page->type)
        put(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", page->type, strlen(page->body));
    if (page->browsed)
        put(out, "%s%s", POLICY, scene->tls ? TLS_POLICY : "");
    if (page == &page_moved)
        put(out, "Location: %s\r\n", scene->home);
    if (page == &page_no_content && is_challenge(request->challenge))
        put(out, "X-Tailscale-Response: response %.*s\r\n", (int)request->challenge.len,
            request->challenge.at);
    bool upgrades = page->status == 426;
    if (scene->last || upgrades)
        put(out, "Connection: %s%s%s\r\n", upgrades ? "Upgrade" : "",
            upgrades && scene->last ? ", " : "", scene->last ? "close" : "");
}

size_t http_answer_page(uint8_t *out, const struct http_request *request, int parsed,
                        const struct http_scene *scene)
{
    const struct page *page = page_for(request, parsed, scene->home);
    bool bare = parsed > 0 && request->method == HTTP_HEAD;
    struct writer writer = {.at = (char *)out, .room = HTTP_ANSWER_PAGE_SIZE};

    put(&writer, "HTTP/1.1 %u %s\r\nX-Content-Type-Options: nosniff\r\n%s", page->status,
        page->reason, page->headers);
    put_headers(&writer, page, request, scene);
    put(&writer, "\r\n%s", bare ? "" : page->body);
    return writer.size;
}
