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
#define HTTP_ANSWER_PAGE_SIZE    1536

/* Tells whether a request asks to speak DERP. */
bool http_answer_is_upgrade(const struct http_request *request);

/* Writes the 101, at most HTTP_ANSWER_UPGRADE_SIZE bytes; returns its size. */
size_t http_answer_upgrade(uint8_t *out, const hyperderp_key *server);

/*
 * Writes the answer to any other request, at most HTTP_ANSWER_PAGE_SIZE bytes; returns its size.
 * parsed is what http_request_parse() returned: the size of the head, or its error. After the
 * answer the connection is closed, and the answer says so.
 */
size_t http_answer_page(uint8_t *out, const struct http_request *request, int parsed);

#endif
