/* SPDX-License-Identifier: BSD-3-Clause */
/* The pages of a DERP listener. */
#include "relay/http_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "wire/frame.h"
#include "wire/key.h"

#define ANY_ORIGIN "Access-Control-Allow-Origin: *\r\n"

struct page {
    unsigned status;
    const char *reason;
    const char *type;
    const char *headers; /* further ones, each with its line end */
    const char *body;
};

static const char home_body[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><head><meta charset=\"utf-8\"><title>DERP relay</title></head>\n"
    "<body><h1>DERP</h1>\n"
    "<p>This is a DERP relay. It passes encrypted packets between VPN peers that cannot reach\n"
    "each other directly, and sees nothing of what is in them.</p>\n"
    "</body></html>\n";

#define TEXT "text/plain; charset=utf-8"

static const struct page page_home = {200, "OK", "text/html; charset=utf-8", "", home_body};
static const struct page page_probe = {200, "OK", TEXT, ANY_ORIGIN, ""};
static const struct page page_upgrade_required = {
    426, "Upgrade Required", TEXT, "Upgrade: DERP\r\n", "DERP requires connection upgrade\n"};
static const struct page page_bad_request = {400, "Bad Request", TEXT, "", "Bad request\n"};
static const struct page page_not_found = {404, "Not Found", TEXT, "", "Not found\n"};
static const struct page page_bad_method = {405, "Method Not Allowed", TEXT, "Allow: GET, HEAD\r\n",
                                            "Method not allowed\n"};
static const struct page page_too_large = {431, "Request Header Fields Too Large", TEXT, "",
                                           "Request head too large\n"};
static const struct page page_bad_version = {505, "HTTP Version Not Supported", TEXT, "",
                                             "HTTP version not supported\n"};

bool http_answer_is_upgrade(const struct http_request *request)
{
    return request->method == HTTP_GET && request->minor_version == 1 && !request->has_body &&
           request->upgrade == HTTP_UPGRADE_DERP && http_text_is(request->path, "/derp");
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

static const struct page *page_for_path(const struct http_request *request)
{
    bool reads = request->method == HTTP_GET || request->method == HTTP_HEAD;
    const struct page *page = &page_not_found;

    if (http_text_is(request->path, "/derp"))
        page = request->has_body ? &page_bad_request : &page_upgrade_required;
    else if (http_text_is(request->path, "/derp/probe") ||
             http_text_is(request->path, "/derp/latency-check"))
        page = &page_probe;
    else if (http_text_is(request->path, "/"))
        page = &page_home;
    return page == &page_not_found || reads ? page : &page_bad_method;
}

static const struct page *page_for(const struct http_request *request, int parsed)
{
    switch (parsed) {
    case -E2BIG:
        return &page_too_large;
    case -EPROTONOSUPPORT:
        return &page_bad_version;
    default:
        return parsed < 0 ? &page_bad_request : page_for_path(request);
    }
}

size_t http_answer_page(uint8_t *out, const struct http_request *request, int parsed)
{
    const struct page *page = page_for(request, parsed);
    bool bare = parsed > 0 && request->method == HTTP_HEAD;
    int size = snprintf((char *)out, HTTP_ANSWER_PAGE_SIZE,
                        "HTTP/1.1 %u %s\r\n"
                        "Content-Type: %s\r\n"
                        "Content-Length: %zu\r\n"
                        "X-Content-Type-Options: nosniff\r\n"
                        "Connection: %s\r\n"
                        "%s"
                        "\r\n%s",
                        page->status, page->reason, page->type, strlen(page->body),
                        page == &page_upgrade_required ? "Upgrade, close" : "close", page->headers,
                        bare ? "" : page->body);
    return (size_t)size;
}
