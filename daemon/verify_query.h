/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One question about a client, over HTTP: to verify_client_url, as derper asks it, or to the local
 * tailscaled over its socket. What is sent, and what an answer means; no thread, no waiting.
 */
#ifndef DAEMON_VERIFY_QUERY_H
#define DAEMON_VERIFY_QUERY_H

#include <stdbool.h>

#include <curl/curl.h>

#include <hyperderp/key.h>

/* So much of an answer is looked at; derper's is no longer. */
#define QUERY_ANSWER_SIZE 4096
#define QUERY_DETAIL_SIZE 160

struct query {
    CURL *easy; /* NULL: it has not begun, or has ended */
    struct curl_slist *headers;
    bool to_tailscaled;
    char request[256];
    char answer[QUERY_ANSWER_SIZE];
    size_t answer_len;
    bool answer_is_longer; /* and was cut off there */
    char fault[CURL_ERROR_SIZE];
};

enum query_result {
    QUERY_YES,
    QUERY_NO,
    QUERY_UNCLEAR, /* an answer that is neither */
    QUERY_SILENT,  /* no answer */
    QUERY_LATE,    /* none in time */
};

/* Prepares query->easy, whose CURLOPT_PRIVATE is left to the caller: for a URL with the client's
 * address ("" when it has none), or for the socket of tailscaled. 0 or -ENOMEM. */
int query_url(struct query *query, const char *url, const hyperderp_key *key, const char *source,
              long timeout_ms);
int query_tailscaled(struct query *query, const char *socket, const hyperderp_key *key,
                     long timeout_ms);

/* What came of it; detail gets what to tell an operator when that is not QUERY_YES. */
enum query_result query_judge(const struct query *query, CURLcode code,
                              char detail[QUERY_DETAIL_SIZE]);

/* Frees what it holds; its handle must have left any multi handle. Also one that did not begin. */
void query_end(struct query *query);

#endif
