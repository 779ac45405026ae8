/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Request and response heads. head_scan() looks at each byte once, in the light of the bytes before
 * it alone: so the outcome is the same however the bytes are cut up, and a wrong byte is found when
 * it comes, a wrong line when it ends. A complete head is then read a second time, for its values.
 */
#include "wire/http.h"

#include <errno.h>
#include <string.h>

/* Longer methods exist nowhere. The bound lets each call look for the method's end anew. */
#define MAX_METHOD 32

typedef int (*start_line_fn)(void *out, struct http_text line);
typedef bool (*start_byte_fn)(const char *buf, size_t at);
typedef int (*header_fn)(void *out, struct http_text name, struct http_text value);

/* What tells requests and responses apart. */
struct head_kind {
    start_byte_fn start_byte; /* may this byte stand there, near the beginning? */
    start_line_fn start_line;
    header_fn header; /* takes the headers of a complete head, one after the other */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* tchar of RFC 9110, section 5.6.2. */
static bool is_token(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* A character of a field value or reason phrase: HTAB, SP, VCHAR, obs-text. */
static bool is_text(char c)
{
    uint8_t u = (uint8_t)c;

    return u == '\t' || (u >= 0x20 && u != 0x7f);
}

bool http_text_is(struct http_text text, const char *string)
{
    return text.len == strlen(string) && memcmp(text.at, string, text.len) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* strncasecmp() would follow the locale of the program that this library is part of. */
static bool text_is_nocase(struct http_text text, const char *string)
{
    if (text.len != strlen(string))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (lower(text.at[i]) != lower(string[i]))
            return false;
    }
    return true;
}

static bool text_has_prefix(struct http_text text, const char *prefix)
{
    size_t len = strlen(prefix);

    return text.len >= len && memcmp(text.at, prefix, len) == 0;
}

static struct http_text text_from(struct http_text text, size_t offset)
{
    return (struct http_text){text.at + offset, text.len - offset};
}

/* Bytes of text in front of the first c, all of them when there is none. */
static size_t text_find(struct http_text text, char c)
{
    const char *found = text.len > 0 ? memchr(text.at, c, text.len) : NULL;

    return found ? (size_t)(found - text.at) : text.len;
}

static struct http_text text_trim(struct http_text text)
{
    while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text = text_from(text, 1);
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Tells whether a list with commas, RFC 9110, section 5.6.1, has a token, compared without case. */
static bool list_has(struct http_text list, const char *token)
{
    while (list.len > 0) {
        size_t comma = text_find(list, ',');
        if (text_is_nocase(text_trim((struct http_text){list.at, comma}), token))
            return true;
        list = text_from(list, comma < list.len ? comma + 1 : comma);
    }
    return false;
}

/* "name: value" without its CRLF. RFC 9112, section 5: no white space around the name. */
static int header_split(struct http_text line, struct http_text *name, struct http_text *value)
{
    size_t colon = text_find(line, ':');

    if (colon == 0 || colon == line.len)
        return -EBADMSG;
    for (size_t i = 0; i < colon; i++) {
        if (!is_token(line.at[i]))
            return -EBADMSG;
    }
    *name = (struct http_text){line.at, colon};
    *value = text_trim(text_from(line, colon + 1));
    return 0;
}

/* The line that ends with the CRLF whose LF is buf[lf]. */
static struct http_text line_before(const char *buf, size_t lf)
{
    const char *feed = memrchr(buf, '\n', lf);
    const char *start = feed ? feed + 1 : buf;

    return (struct http_text){start, (size_t)(buf + lf - 1 - start)};
}

/* Checks a line when its LF comes; *last becomes true when it is the empty one behind the head. */
static int line_end(const struct head_kind *kind, void *scratch, const char *buf, size_t lf,
                    bool *last)
{
    if (lf == 0 || buf[lf - 1] != '\r')
        return -EBADMSG;

    struct http_text line = line_before(buf, lf);
    struct http_text name;
    struct http_text value;

    *last = line.len == 0;
    if (line.at == buf)
        return kind->start_line(scratch, line);
    return *last ? 0 : header_split(line, &name, &value);
}

/* May this byte, which is no LF, follow the bytes before it? */
static bool byte_follows(const struct head_kind *kind, const char *buf, size_t at)
{
    char before = at > 0 ? buf[at - 1] : '\0';

    if (before == '\r' || !kind->start_byte(buf, at))
        return false;
    if (buf[at] == '\r')
        return true;
    if (before == '\n') /* also refuses folded lines, RFC 9112, section 5.2 */
        return is_token(buf[at]);
    return is_text(buf[at]);
}

/* Looks at the bytes that are new. Returns as http_request_parse() does; when that is not 0,
 * *scanned stays in front of the byte that decided, so that asking again gives the same answer. */
static int head_scan(const struct head_kind *kind, void *scratch, const char *buf, size_t len,
                     size_t *scanned)
{
    size_t end = len < HTTP_MAX_HEAD ? len : HTTP_MAX_HEAD;

    for (; *scanned < end; (*scanned)++) {
        bool last = false;
        int err = 0;

        if (buf[*scanned] == '\n')
            err = line_end(kind, scratch, buf, *scanned, &last);
        else if (!byte_follows(kind, buf, *scanned))
            err = -EBADMSG;
        if (err < 0)
            return err;
        if (last)
            return (int)*scanned + 1;
    }
    return end == HTTP_MAX_HEAD ? -E2BIG : 0;
}

/* Hands out start line and headers of a head that head_scan() has found to be well formed. */
static int head_read(const struct head_kind *kind, void *out, const char *buf, size_t size)
{
    struct http_text rest = {buf, size};
    size_t lines = 0;

    for (;; lines++) {
        struct http_text line = {rest.at, text_find(rest, '\r')};
        struct http_text name;
        struct http_text value;
        int err;

        if (line.len == 0)
            return 0;
        if (lines > HTTP_MAX_HEADERS)
            return -E2BIG;
        if (lines == 0) {
            err = kind->start_line(out, line);
        } else {
            err = header_split(line, &name, &value);
            if (err == 0)
                err = kind->header(out, name, value);
        }
        if (err < 0)
            return err;
        rest = text_from(rest, line.len + 2);
    }
}

/* HTTP-version, RFC 9112, section 2.3. */
static int version_parse(struct http_text text, unsigned *minor)
{
    if (text.len != 8 || !text_has_prefix(text, "HTTP/") || !is_digit(text.at[5]) ||
        text.at[6] != '.' || !is_digit(text.at[7]))
        return -EBADMSG;
    if (text.at[5] != '1' || text.at[7] > '1')
        return -EPROTONOSUPPORT;
    *minor = (unsigned)(text.at[7] - '0');
    return 0;
}

/* uri-host and port, RFC 3986, section 3.2; IPv6 addresses are not looked at more closely. */
static bool is_host(struct http_text text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];

        if (!is_alnum(c) && (c == '\0' || strchr("-._~%!$&'()*+,;=:[]", c) == NULL))
            return false;
    }
    return true;
}

/* Takes the path out of a target in origin-form or absolute-form, RFC 9112, section 3.2. */
static int target_parse(struct http_text target, struct http_text *path)
{
    for (size_t i = 0; i < target.len; i++) {
        uint8_t u = (uint8_t)target.at[i];

        if (u <= 0x20 || u >= 0x7f || u == '#')
            return -EBADMSG;
    }

    struct http_text from_path = target;
    size_t scheme = text_find(target, ':');
    struct http_text name = {target.at, scheme};
    if (text_is_nocase(name, "http") || text_is_nocase(name, "https")) {
        if (!text_has_prefix(text_from(target, scheme), "://"))
            return -EBADMSG;

        struct http_text authority = text_from(target, scheme + 3);
        size_t slash = text_find(authority, '/');
        size_t query = text_find(authority, '?');
        size_t end = slash < query ? slash : query;
        from_path = text_from(authority, end);
        authority.len = end;
        if (end == 0 || !is_host(authority))
            return -EBADMSG;
        if (from_path.len == 0 || from_path.at[0] == '?')
            from_path = (struct http_text){"/", 1};
    }
    if (from_path.len == 0 || from_path.at[0] != '/')
        return -EBADMSG;
    *path = (struct http_text){from_path.at, text_find(from_path, '?')};
    return 0;
}

/* What a request's headers have said so far. */
struct request_reader {
    struct http_request *out;
    bool has_host;
    bool has_length;
    bool has_transfer_encoding;
    bool has_upgrade;
    bool has_fast_start;
    bool has_ideal_node;
    bool has_websocket_key;
    bool has_websocket_version;
};

static bool request_start_byte(const char *buf, size_t at)
{
    if (at > MAX_METHOD)
        return true;

    struct http_text before = {buf, at};
    if (text_find(before, ' ') < at)
        return true; /* the method is complete */
    if (buf[at] == ' ')
        return at > 0;
    return at < MAX_METHOD && is_token(buf[at]);
}

static int request_line(void *reader, struct http_text line)
{
    struct http_request *out = ((struct request_reader *)reader)->out;
    struct http_text method = {line.at, text_find(line, ' ')};

    if (method.len == 0 || method.len == line.len)
        return -EBADMSG;
    struct http_text rest = text_from(line, method.len + 1);
    struct http_text target = {rest.at, text_find(rest, ' ')};
    if (target.len == 0 || target.len == rest.len)
        return -EBADMSG;

    int err = version_parse(text_from(rest, target.len + 1), &out->minor_version);
    if (err < 0)
        return err;
    out->method = http_text_is(method, "GET")    ? HTTP_GET
                  : http_text_is(method, "HEAD") ? HTTP_HEAD
                                                 : HTTP_OTHER_METHOD;
    return target_parse(target, &out->path);
}

/* Marks a header that may stand only once. */
static int only_once(bool *seen)
{
    if (*seen)
        return -EBADMSG;
    *seen = true;
    return 0;
}

static int content_length(struct request_reader *reader, struct http_text value)
{
    if (value.len == 0)
        return -EBADMSG;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.at[i]))
            return -EBADMSG;
        if (value.at[i] != '0')
            reader->out->has_body = true;
    }
    return only_once(&reader->has_length);
}

static enum http_upgrade upgrade_of(struct http_text value)
{
    if (text_is_nocase(value, "derp"))
        return HTTP_UPGRADE_DERP;
    if (text_is_nocase(value, "websocket"))
        return HTTP_UPGRADE_WEBSOCKET;
    return value.len == 0 ? HTTP_UPGRADE_NONE : HTTP_UPGRADE_OTHER;
}

/* The headers that only a WebSocket handshake has. Returns 1 for any other. */
static int websocket_header(struct request_reader *reader, struct http_text name,
                            struct http_text value)
{
    struct http_request *out = reader->out;

    if (text_is_nocase(name, "Sec-WebSocket-Key")) {
        out->websocket_key = value;
        return only_once(&reader->has_websocket_key);
    }
    if (text_is_nocase(name, "Sec-WebSocket-Version")) {
        out->websocket_13 = http_text_is(value, "13");
        return only_once(&reader->has_websocket_version);
    }
    if (text_is_nocase(name, "Sec-WebSocket-Protocol")) { /* several are one list */
        out->websocket_derp = out->websocket_derp || list_has(value, "derp");
        return 0;
    }
    return 1;
}

static int request_header(void *data, struct http_text name, struct http_text value)
{
    struct request_reader *reader = data;
    struct http_request *out = reader->out;

    if (text_is_nocase(name, "Host"))
        return is_host(value) ? only_once(&reader->has_host) : -EBADMSG;
    if (text_is_nocase(name, "Content-Length"))
        return content_length(reader, value);
    if (text_is_nocase(name, "Transfer-Encoding")) {
        reader->has_transfer_encoding = out->has_body = true;
        return 0;
    }
    if (text_is_nocase(name, "Upgrade")) { /* two of them are a list: neither DERP nor websocket */
        out->upgrade = reader->has_upgrade ? HTTP_UPGRADE_OTHER : upgrade_of(value);
        reader->has_upgrade = true;
        return 0;
    }
    if (text_is_nocase(name, "Derp-Fast-Start")) {
        out->fast_start = http_text_is(value, "1");
        return only_once(&reader->has_fast_start);
    }
    if (text_is_nocase(name, "Ideal-Node")) {
        out->ideal_node = value;
        return only_once(&reader->has_ideal_node);
    }
    if (text_is_nocase(name, "Connection")) {
        out->closes = out->closes || list_has(value, "close");
        out->connection_upgrade = out->connection_upgrade || list_has(value, "Upgrade");
        return 0;
    }
    if (text_is_nocase(name, "X-Tailscale-Challenge")) {
        if (out->challenge.len == 0)
            out->challenge = value;
        return 0;
    }
    int known = websocket_header(reader, name, value);
    return known < 0 ? known : 0;
}

int http_request_parse(struct http_request *out, const char *buf, size_t len, size_t *scanned)
{
    static const struct head_kind kind = {request_start_byte, request_line, request_header};
    struct request_reader reader = {.out = out};

    memset(out, 0, sizeof(*out));
    int size = head_scan(&kind, &reader, buf, len, scanned);
    if (size <= 0)
        return size;

    int err = head_read(&kind, &reader, buf, (size_t)size);
    if (err < 0)
        return err;
    if (out->minor_version == 1 && !reader.has_host)
        return -EBADMSG;
    out->closes = out->closes || out->minor_version == 0;
    /* RFC 9112, section 6.1: both at once, or an encoding in HTTP/1.0, smuggle a request. */
    if (reader.has_transfer_encoding && (reader.has_length || out->minor_version == 0))
        return -EBADMSG;
    return size;
}

struct response_reader {
    struct http_response *out;
    bool has_upgrade;
    bool has_derp_version;
    bool has_server_key;
};

static bool response_start_byte(const char *buf, size_t at)
{
    static const char begin[] = "HTTP/";

    return at >= sizeof(begin) - 1 || buf[at] == begin[at];
}

/* RFC 9112, section 4: the space behind the status stands also when no reason follows. */
static int status_line(void *reader, struct http_text line)
{
    struct http_response *out = ((struct response_reader *)reader)->out;
    struct http_text version = {line.at, text_find(line, ' ')};
    struct http_text rest = text_from(line, version.len);
    unsigned minor;
    int err = version_parse(version, &minor);

    if (err < 0)
        return err;
    if (rest.len < 5 || rest.at[1] < '1' || rest.at[1] > '5' || !is_digit(rest.at[2]) ||
        !is_digit(rest.at[3]) || rest.at[4] != ' ')
        return -EBADMSG;
    out->status = (unsigned)((rest.at[1] - '0') * 100 + (rest.at[2] - '0') * 10 + rest.at[3] - '0');
    return 0;
}

static int derp_version(struct http_response *out, struct http_text value)
{
    if (value.len == 0 || value.len > 9)
        return -EBADMSG;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.at[i]))
            return -EBADMSG;
        out->derp_version = out->derp_version * 10 + (unsigned)(value.at[i] - '0');
    }
    return 0;
}

static void server_key(struct http_response *out, struct http_text value)
{
    char hex[2 * HYPERDERP_KEY_SIZE + 1];

    if (value.len != sizeof(hex) - 1)
        return;
    memcpy(hex, value.at, value.len);
    hex[value.len] = '\0';
    out->has_server_key = hyperderp_key_parse(&out->server_key, hex) == 0;
}

static int response_header(void *data, struct http_text name, struct http_text value)
{
    struct response_reader *reader = data;

    if (text_is_nocase(name, "Upgrade")) {
        reader->out->upgrade_derp = !reader->has_upgrade && text_is_nocase(value, "derp");
        reader->has_upgrade = true;
        return 0;
    }
    if (text_is_nocase(name, "Derp-Version")) {
        int err = only_once(&reader->has_derp_version);
        return err < 0 ? err : derp_version(reader->out, value);
    }
    if (text_is_nocase(name, "Derp-Public-Key")) {
        server_key(reader->out, value);
        return only_once(&reader->has_server_key);
    }
    return 0;
}

int http_response_parse(struct http_response *out, const char *buf, size_t len, size_t *scanned)
{
    static const struct head_kind kind = {response_start_byte, status_line, response_header};
    struct response_reader reader = {.out = out};

    memset(out, 0, sizeof(*out));
    int size = head_scan(&kind, &reader, buf, len, scanned);
    if (size <= 0)
        return size;

    int err = head_read(&kind, &reader, buf, (size_t)size);
    return err < 0 ? err : size;
}
