/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The head of the HTTP/1.1 message that opens a DERP connection (RFC 9112), and nothing more of
 * HTTP: no bodies. Pure; strict: what two parsers could read differently (bare CR or
 * LF, white space before a colon, folded lines, NUL, a repeated Host) is refused.
 */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hyperderp/key.h>

#define HTTP_MAX_HEAD    8192 /* bytes of request or status line and headers */
#define HTTP_MAX_HEADERS 100

/* A piece of the buffer that was parsed; not terminated; valid as long as that buffer is. */
struct http_text {
    const char *at;
    size_t len;
};

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER_METHOD };

enum http_upgrade {
    HTTP_UPGRADE_NONE,
    HTTP_UPGRADE_DERP,
    HTTP_UPGRADE_WEBSOCKET,
    HTTP_UPGRADE_OTHER
};

struct http_request {
    enum http_method method;
    struct http_text path;       /* of an origin-form or absolute-form target, without its query */
    unsigned minor_version;      /* 0 or 1 */
    enum http_upgrade upgrade;   /* what the Upgrade header asks for (compared without case) */
    bool fast_start;             /* Derp-Fast-Start: 1 */
    bool has_body;               /* Content-Length above 0, or any Transfer-Encoding */
    bool closes;                 /* the client wants no other answer on this connection */
    struct http_text ideal_node; /* Ideal-Node, empty when absent */
    struct http_text challenge;  /* X-Tailscale-Challenge, empty when absent */

    /* Of a WebSocket handshake (RFC 6455, section 4.2.1). */
    bool connection_upgrade;        /* Connection names Upgrade */
    bool websocket_derp;            /* Sec-WebSocket-Protocol offers derp */
    bool websocket_13;              /* Sec-WebSocket-Version: 13 */
    struct http_text websocket_key; /* Sec-WebSocket-Key, empty when absent */
};

struct http_response {
    unsigned status;
    bool upgrade_derp;   /* Upgrade: DERP */
    bool has_server_key; /* Derp-Public-Key was there and well formed */
    hyperderp_key server_key;
    unsigned derp_version; /* Derp-Version, 0 when absent */
};

/*
 * Reads a request head. Call it again with the same buffer and more bytes behind while it returns
 * 0; *scanned, 0 at first, remembers how far it has looked, so that bytes that trickle in one by
 * one cost no more than bytes that come together.
 *
 * Returns the size of the head (what follows it belongs to DERP), 0 when the head is not complete,
 * -E2BIG when it exceeds HTTP_MAX_HEAD or HTTP_MAX_HEADERS, -EPROTONOSUPPORT for a version other
 * than HTTP/1.0 and 1.1, -EBADMSG when it is malformed in any other way. Bytes that cannot begin a
 * request (a TLS ClientHello on a plain port, for one) are refused at once, not only when the head
 * is complete. *out means something only when the size of the head was returned.
 */
int http_request_parse(struct http_request *out, const char *buf, size_t len, size_t *scanned)
    __attribute__((warn_unused_result));

/* Reads the head of a response, for clients; the same contract. */
int http_response_parse(struct http_response *out, const char *buf, size_t len, size_t *scanned)
    __attribute__((warn_unused_result));

/* Tells whether a piece of text is the same as a string, case included. */
bool http_text_is(struct http_text text, const char *string);

#endif
