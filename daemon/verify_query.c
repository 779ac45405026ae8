/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests and answers. */
#include "verify_query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include <hyperderp/version.h>

#include "curl_library.h"

/* As many as derper follows. */
#define MAX_REDIRECTS 10L

static size_t take_answer(char *bytes, size_t size, size_t count, void *user)
{
    struct query *query = user;
    size_t len = size * count, room = sizeof(query->answer) - query->answer_len;

    query->answer_is_longer = len > room;
    if (len > room)
        len = room;
    memcpy(query->answer + query->answer_len, bytes, len);
    query->answer_len += len;
    /* Less than was given ends the transfer. Of tailscaled's answers the status tells all. */
    return query->answer_is_longer && !query->to_tailscaled ? len : size * count;
}

static bool set_common(struct query *query, const char *url, long timeout_ms)
{
    CURL *easy = query->easy;
    char agent[64];

    snprintf(agent, sizeof(agent), "hyper-derp/%s", hyperderp_version());
    /* The other options cannot fail but for a mistake in their type. */
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, query->fault);
    curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_answer);
    curl.easy_setopt(easy, CURLOPT_WRITEDATA, query);
    return curl.easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl.easy_setopt(easy, CURLOPT_USERAGENT, agent) == CURLE_OK &&
           curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl.easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK;
}

static bool set_headers(struct query *query)
{
    static const char *const headers[] = {"Content-Type: application/json", "Expect:"};

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct curl_slist *longer = curl.slist_append(query->headers, headers[i]);
        if (!longer)
            return false;
        query->headers = longer;
    }
    curl.easy_setopt(query->easy, CURLOPT_HTTPHEADER, query->headers);
    return true;
}

int query_url(struct query *query, const char *url, const hyperderp_key *key, const char *source,
              long timeout_ms)
{
    char text[HYPERDERP_KEY_TEXT_SIZE];

    *query = (struct query){.easy = curl.easy_init()};
    hyperderp_key_format(key, text);
    /* Neither has a character that JSON would escape. */
    snprintf(query->request, sizeof(query->request), "{\"NodePublic\":\"%s\",\"Source\":\"%.64s\"}",
             text, source);
    if (!query->easy || !set_common(query, url, timeout_ms) || !set_headers(query)) {
        query_end(query);
        return -ENOMEM;
    }
    curl.easy_setopt(query->easy, CURLOPT_POSTFIELDS, query->request);
    curl.easy_setopt(query->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl.easy_setopt(query->easy, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    return 0;
}

int query_tailscaled(struct query *query, const char *socket, const hyperderp_key *key,
                     long timeout_ms)
{
    char text[HYPERDERP_KEY_TEXT_SIZE], url[256];

    *query = (struct query){.easy = curl.easy_init(), .to_tailscaled = true};
    hyperderp_key_format(key, text);
    /* The name is what tailscaled's local API wants to be called. */
    snprintf(url, sizeof(url), "http://local-tailscaled.sock/localapi/v0/whois?addr=%s", text);
    if (!query->easy || !set_common(query, url, timeout_ms) ||
        curl.easy_setopt(query->easy, CURLOPT_UNIX_SOCKET_PATH, socket) != CURLE_OK ||
        curl.easy_setopt(query->easy, CURLOPT_NOPROXY, "*") != CURLE_OK) {
        query_end(query);
        return -ENOMEM;
    }
    /* A connection of its own each time: a tailscaled that was restarted is found again. */
    curl.easy_setopt(query->easy, CURLOPT_FRESH_CONNECT, 1L);
    curl.easy_setopt(query->easy, CURLOPT_FORBID_REUSE, 1L);
    return 0;
}

/* 1, 0, or -1 for something else. Go's decoder, which wrote the other end of this, takes a name in
 * any case, and false for what is missing or null. */
static int read_allow(const char *text, size_t len)
{
    json_t *object = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL), *value;
    int allow = json_is_object(object) ? 0 : -1;
    const char *name;

    json_object_foreach(object, name, value) if (strcasecmp(name, "Allow") == 0) allow =
        json_is_true(value)                           ? 1
        : json_is_false(value) || json_is_null(value) ? 0
                                                      : -1;
    json_decref(object);
    return allow;
}

static enum query_result judge_url(const struct query *query, char *detail)
{
    int allow = read_allow(query->answer, query->answer_len);

    if (allow > 0)
        return QUERY_YES;
    if (allow == 0) {
        snprintf(detail, QUERY_DETAIL_SIZE, "it said no");
        return QUERY_NO;
    }
    snprintf(detail, QUERY_DETAIL_SIZE, "its answer is not {\"Allow\":true} or {\"Allow\":false}");
    return QUERY_UNCLEAR;
}

/* An answer that broke off or came too slowly has been given all the same, and is no reason to let
 * a client in: derper looks at what there is of it. Of tailscaled's, all must be there. */
static bool is_answered(const struct query *query, CURLcode code, long status)
{
    if (code == CURLE_OK)
        return true;
    return !query->to_tailscaled && status >= 200 && status / 100 != 3;
}

enum query_result query_judge(const struct query *query, CURLcode code,
                              char detail[QUERY_DETAIL_SIZE])
{
    long status = 0;

    detail[0] = '\0';
    curl.easy_getinfo(query->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!is_answered(query, code, status)) {
        snprintf(detail, QUERY_DETAIL_SIZE, "%.150s",
                 *query->fault ? query->fault : curl.easy_strerror(code));
        return code == CURLE_OPERATION_TIMEDOUT ? QUERY_LATE : QUERY_SILENT;
    }
    if (query->to_tailscaled && status == 404) {
        snprintf(detail, QUERY_DETAIL_SIZE, "it does not know the key");
        return QUERY_NO;
    }
    if (status != 200) {
        snprintf(detail, QUERY_DETAIL_SIZE, "it answered with status %ld%s", status,
                 query->to_tailscaled && status == 400 ? "; it may be too old to know keys" : "");
        return QUERY_UNCLEAR;
    }
    return query->to_tailscaled ? QUERY_YES : judge_url(query, detail);
}

void query_end(struct query *query)
{
    curl.easy_cleanup(query->easy);
    curl.slist_free_all(query->headers);
    query->easy = NULL;
    query->headers = NULL;
}
