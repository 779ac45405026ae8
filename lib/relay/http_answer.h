/* SPDX-License-Identifier: BSD-3-Clause */
/* What a listener answers to HTTP requests. */
#ifndef RELAY_HTTP_ANSWER_H
#define RELAY_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hyperderp/key.h>

#include "wire/http.h"

#define HTTP_ANSWER_UPGRADE_SIZE 256
#define HTTP_ANSWER_PAGE_SIZE    4096

/* Longer URLs are none to send a browser to. */
#define HTTP_MAX_HOME 2048

/* What an answer depends on besides the request. */
struct http_scene {
    const char *home; /* of the page at /: NULL for a short text, "" for none, or a URL */
    bool tls;         /* the request came over TLS */
    bool last;        /* the connection is closed behind the answer */
};

/* Turns "default" (or NULL), "blank" or a URL into a scene's home, which the caller frees. 0;
 * -EINVAL for anything else; -ENOMEM. */
int http_answer_home(char **out, const char *option);

/* Tells whether a request asks to speak DERP. */
bool http_answer_is_upgrade(const struct http_request *request);

/* The same in WebSocket messages. */
bool http_answer_is_websocket(const struct http_request *request);

/* Writes the 101, at most HTTP_ANSWER_UPGRADE_SIZE bytes; returns its size. */
size_t http_answer_upgrade(uint8_t *out, const hyperderp_key *server);

/* The same for WebSocket; 0 without memory. */
size_t http_answer_websocket(uint8_t *out, const struct http_request *request);

/*
 * Tells whether another request may follow on the same connection: not behind a body, which nobody
 * reads, nor behind one whose sender means to speak something else by now. parsed is what
 * http_request_parse() returned: the size of the head, or its error.
 */
bool http_answer_lets_go_on(const struct http_request *request, int parsed);

/* Writes the answer to any other request, at most HTTP_ANSWER_PAGE_SIZE bytes; returns its size. */
size_t http_answer_page(uint8_t *out, const struct http_request *request, int parsed,
                        const struct http_scene *scene);

#endif
