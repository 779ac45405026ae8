/* SPDX-License-Identifier: BSD-3-Clause */
/* WebSocket's key, and frames of a client: what is in them, however they are cut up, and what
 * breaks the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/websocket.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static struct http_text text(const char *string)
{
    return (struct http_text){string, strlen(string)};
}

static void keys(void **state)
{
    char accept[WEBSOCKET_ACCEPT_SIZE];

    (void)state;
    /* RFC 6455, section 1.3. */
    assert_true(websocket_is_key(text("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_true(websocket_accept(text("dGhlIHNhbXBsZSBub25jZQ=="), accept));
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    static const char *const wrong[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ",      /* not padded */
        "dGhlIHNhbXBsZSBub25jZQ=",     /* nor here */
        "dGhlIHNhbXBsZSBub25jZSE=",    /* 17 bytes */
        "dGhlIHNhbXBsZSBub25j",        /* 15 */
        "dGhlIHNhbXBsZSBub25jZ\xff==", /* no base64 */
        "dGhlIHNhbXBsZSBub25jZQ== ",   /* with something behind */
        "dGhl IHNhbXBsZSBub25jZQ=",    /* and in between */
        "dGhlIHNhbXBsZSBub25jZQ=\x80",
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_false(websocket_is_key(text(wrong[i])));
}

/* ---- Streams of frames ---- */

enum { FIN = 0x80, CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* What a client sends. */
struct sent {
    uint8_t *bytes;
    size_t len;
};

static void append(struct sent *sent, const void *bytes, size_t len)
{
    sent->bytes = realloc(sent->bytes, sent->len + len + 1);
    assert_non_null(sent->bytes);
    if (len > 0)
        memcpy(sent->bytes + sent->len, bytes, len);
    sent->len += len;
}

/* Appends a frame, of which only the head and `there` bytes come. */
static void add_begin(struct sent *sent, uint8_t first, const uint8_t *payload, uint64_t len,
                      size_t there)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t head[14] = {first};
    size_t size = 2, bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;

    head[1] = (uint8_t)(0x80 | (bytes == 0 ? len : bytes == 2 ? 126 : 127));
    for (; bytes > 0; bytes--)
        head[size++] = (uint8_t)(len >> 8 * (bytes - 1));
    memcpy(head + size, mask, sizeof(mask));
    append(sent, head, size + sizeof(mask));
    append(sent, payload, there);
    for (size_t i = 0; i < there; i++)
        sent->bytes[sent->len - there + i] ^= mask[i % 4];
}

static void add(struct sent *sent, uint8_t first, const void *payload, size_t len)
{
    add_begin(sent, first, payload, len, len);
}

/* What the reader finds in it. */
struct found {
    struct sent content;
    struct sent pings; /* with a length in front of each */
    enum websocket_event end;
    uint16_t code;
    unsigned pieces; /* of content */
};

static void take(struct found *found, struct websocket_reader *reader,
                 struct websocket_stream *stream, uint8_t *bytes, size_t len)
{
    struct websocket_found piece;

    websocket_feed(reader, bytes, len);
    do {
        found->end = websocket_next(reader, stream, &piece);
        if (found->end == WEBSOCKET_CONTENT) {
            assert_true(piece.bytes >= bytes && piece.bytes + piece.len <= bytes + len);
            append(&found->content, piece.bytes, piece.len);
            found->pieces++;
        } else if (found->end == WEBSOCKET_PING) {
            uint8_t size = (uint8_t)piece.len;
            append(&found->pings, &size, 1);
            append(&found->pings, piece.bytes, piece.len);
        }
    } while (found->end == WEBSOCKET_CONTENT || found->end == WEBSOCKET_PING);
    found->code = piece.code;
}

/* Reads it in pieces of this size, which lie in memory of their own. */
static struct found read_in(const struct sent *sent, size_t size)
{
    struct websocket_reader *reader = websocket_reader_new();
    struct websocket_stream stream = {0};
    struct found found = {.end = WEBSOCKET_MORE};

    assert_non_null(reader);
    assert_true(websocket_reader_is_empty(reader));
    for (size_t at = 0; at < sent->len && found.end == WEBSOCKET_MORE; at += size) {
        size_t len = size < sent->len - at ? size : sent->len - at;
        uint8_t *piece = malloc(len);
        assert_non_null(piece);
        memcpy(piece, sent->bytes + at, len);
        take(&found, reader, &stream, piece, len);
        free(piece);
    }
    websocket_reader_free(reader);
    return found;
}

static void forget(struct found *found)
{
    free(found->content.bytes);
    free(found->pings.bytes);
}

static void all_is_found(void **state)
{
    static uint8_t long_one[70000];
    static const char pings[] = "\4ping\0\2in";
    struct sent sent = {0}, content = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(long_one); i++)
        long_one[i] = (uint8_t)(i * 7 + i / 256);
    add(&sent, FIN | BINARY, "Hello", 5);
    add(&sent, FIN | PING, "ping", 4);
    add(&sent, FIN | BINARY, "", 0);
    add(&sent, BINARY, long_one, 125);
    add(&sent, FIN | PING, "", 0);
    add(&sent, CONTINUATION, long_one, 126);
    add(&sent, CONTINUATION, "", 0);
    add(&sent, FIN | PONG, "unasked", 7);
    add(&sent, FIN | CONTINUATION, long_one, 65535);
    add(&sent, FIN | BINARY, long_one, 65536);
    add(&sent, FIN | BINARY, long_one, sizeof(long_one));
    add(&sent, FIN | PING, "in", 2);
    append(&content, "Hello", 5);
    append(&content, long_one, 125);
    append(&content, long_one, 126);
    append(&content, long_one, 65535);
    append(&content, long_one, 65536);
    append(&content, long_one, sizeof(long_one));
    static const size_t sizes[] = {1,   2,    3,    5,    7,    13,    14,     15,
                                   100, 1000, 4095, 4096, 4097, 16384, 1 << 20};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct found found = read_in(&sent, sizes[i]);
        assert_int_equal(found.end, WEBSOCKET_MORE);
        assert_int_equal(found.content.len, content.len);
        assert_memory_equal(found.content.bytes, content.bytes, content.len);
        assert_int_equal(found.pings.len, sizeof(pings) - 1);
        assert_memory_equal(found.pings.bytes, pings, sizeof(pings) - 1);
        /* What of a frame was fed at once is one piece. */
        if (sizes[i] > sent.len)
            assert_int_equal(found.pieces, 6);
        forget(&found);
    }
    free(sent.bytes);
    free(content.bytes);
}

/* A reader that holds nothing may go on with another stream; one that does says so. */
static void empty_readers(void **state)
{
    struct websocket_reader *reader = websocket_reader_new();
    struct websocket_stream streams[2] = {0};
    struct found found = {0};
    struct sent sent = {0};

    (void)state;
    add(&sent, BINARY, "abc", 3);
    for (size_t len = 1; len <= sent.len; len++) {
        uint8_t *byte = malloc(1);
        assert_non_null(byte);
        *byte = sent.bytes[len - 1];
        take(&found, reader, &streams[0], byte, 1);
        free(byte);
        assert_int_equal(found.end, WEBSOCKET_MORE);
        assert_int_equal(websocket_reader_is_empty(reader), len == sent.len);
    }
    assert_true(streams[0].in_message);
    /* The other one is not in a message. */
    struct sent other = {0};
    add(&other, FIN | BINARY, "def", 3);
    take(&found, reader, &streams[1], other.bytes, other.len);
    assert_int_equal(found.end, WEBSOCKET_MORE);
    other.len = 0;
    add(&other, FIN | CONTINUATION, "ghi", 3);
    take(&found, reader, &streams[0], other.bytes, other.len);
    assert_int_equal(found.end, WEBSOCKET_MORE);
    assert_int_equal(found.content.len, 9);
    assert_memory_equal(found.content.bytes, "abcdefghi", 9);
    websocket_reader_free(reader);
    websocket_reader_free(NULL);
    free(sent.bytes);
    free(other.bytes);
    forget(&found);
}

/* The stream ends so, however it is cut up, and nothing before that is lost. */
static void expect_end(const struct sent *sent, enum websocket_event end, uint16_t code,
                       const char *content)
{
    for (size_t size = 1; size <= sent->len; size++) {
        struct found found = read_in(sent, size);
        assert_int_equal(found.end, end);
        assert_int_equal(found.code, code);
        assert_int_equal(found.content.len, strlen(content));
        if (*content)
            assert_memory_equal(found.content.bytes, content, strlen(content));
        forget(&found);
    }
}

static void faults(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint16_t code;
    } cases[] = {
#define CASE(bytes, code) {bytes, sizeof(bytes) - 1, code}
        CASE("\x82\x05Hello", 1002), /* not masked */
        CASE("\x89\x04ping", 1002),  /* nor this */
        CASE("\xc2\x81mask-", 1002), /* RSV1: no extension was agreed on */
        CASE("\xa2\x81mask-", 1002), /* RSV2 */
        CASE("\x92\x81mask-", 1002), /* RSV3 */
        CASE("\xc9\x81mask-", 1002), /* RSV1 of a Ping */
        CASE("\x81\x81mask-", 1003), /* a text */
        CASE("\x01\x81mask-", 1003), /* the begin of one */
        CASE("\x83\x81mask-", 1002), /* reserved opcodes */
        CASE("\x87\x81mask-", 1002),
        CASE("\x8b\x81mask-", 1002),
        CASE("\x8f\x81mask-", 1002),
        CASE("\x80\x81mask-", 1002),                     /* continues nothing */
        CASE("\x80\x80mask", 1002),                      /* even if it is empty */
        CASE("\x09\x81mask-", 1002),                     /* a control frame in parts */
        CASE("\x89\xfe\0\x7emask-", 1002),               /* one of 126 bytes */
        CASE("\x82\xfe\0\x7dmask-", 1002),               /* 16 bits for a length that needs none */
        CASE("\x82\xff\0\0\0\0\0\0\xff\xffmask-", 1002), /* 64 for one that needs 16 */
        CASE("\x82\xff\x80\0\0\0\0\1\0\0mask-", 1002),   /* a length with its first bit */
        CASE("\x82\xff\0\0\0\0\0\x10\0\1mask-", 1009),   /* 1 MiB and a byte */
        CASE("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask-", 1009),
#undef CASE
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct sent sent = {0};
        add(&sent, FIN | BINARY, "before", 6);
        append(&sent, cases[i].bytes, cases[i].len);
        expect_end(&sent, WEBSOCKET_FAULT, cases[i].code, "before");
        free(sent.bytes);
    }
    struct sent sent = {0};
    add(&sent, BINARY, "first", 5);
    add(&sent, FIN | BINARY, "second", 6); /* before the first is complete */
    expect_end(&sent, WEBSOCKET_FAULT, 1002, "first");
    free(sent.bytes);
}

/* The bound is on the message, not on the frame. */
static void long_messages(void **state)
{
    static uint8_t part[1 << 16];
    struct sent sent = {0};

    (void)state;
    for (unsigned i = 0; i < WEBSOCKET_MAX_MESSAGE / sizeof(part); i++)
        add(&sent, i == 0 ? BINARY : CONTINUATION, part, sizeof(part));
    size_t whole = sent.len;
    add(&sent, FIN | CONTINUATION, "", 0);
    add(&sent, FIN | BINARY, "x", 1);
    struct found found = read_in(&sent, 16384);
    assert_int_equal(found.end, WEBSOCKET_MORE);
    assert_int_equal(found.content.len, WEBSOCKET_MAX_MESSAGE + 1);
    forget(&found);
    sent.len = whole;
    add(&sent, FIN | CONTINUATION, "x", 1);
    found = read_in(&sent, 16384);
    assert_int_equal(found.end, WEBSOCKET_FAULT);
    assert_int_equal(found.code, 1009);
    assert_int_equal(found.content.len, WEBSOCKET_MAX_MESSAGE);
    forget(&found);
    free(sent.bytes);
}

static void closes(void **state)
{
    static const struct {
        const char *body;
        size_t len;
        enum websocket_event event;
        uint16_t code;
    } cases[] = {
#define CASE(body, event, code) {body, sizeof(body) - 1, event, code}
        CASE("", WEBSOCKET_CLOSE, 1000),
        CASE("\x03\xe8", WEBSOCKET_CLOSE, 1000),
        CASE("\x03\xe9going", WEBSOCKET_CLOSE, 1001),
        CASE("\x03\xf6", WEBSOCKET_CLOSE, 1014),
        CASE("\x0b\xb8", WEBSOCKET_CLOSE, 3000),
        CASE("\x13\x87\xc3\xa4\xe2\x82\xac", WEBSOCKET_CLOSE, 4999),
        CASE("\x03", WEBSOCKET_FAULT, 1002),
        CASE("\0\0", WEBSOCKET_FAULT, 1002),
        CASE("\x03\xe7", WEBSOCKET_FAULT, 1002), /* 999 */
        CASE("\x03\xec", WEBSOCKET_FAULT, 1002), /* 1004 */
        CASE("\x03\xed", WEBSOCKET_FAULT, 1002), /* 1005: never sent */
        CASE("\x03\xee", WEBSOCKET_FAULT, 1002), /* 1006: nor this */
        CASE("\x03\xf7", WEBSOCKET_FAULT, 1002), /* 1015: nor this */
        CASE("\x0b\xb7", WEBSOCKET_FAULT, 1002), /* 2999 */
        CASE("\x13\x88", WEBSOCKET_FAULT, 1002), /* 5000 */
        CASE("\xff\xff", WEBSOCKET_FAULT, 1002),
        CASE("\x03\xe8\xc3(", WEBSOCKET_FAULT, 1007),
        CASE("\x03\xe8ok\xe2\x82", WEBSOCKET_FAULT, 1007),   /* ends in a character */
        CASE("\x03\xe8\xed\xa0\x80", WEBSOCKET_FAULT, 1007), /* a surrogate */
#undef CASE
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct sent sent = {0};
        add(&sent, FIN | BINARY, "before", 6);
        add(&sent, FIN | CLOSE, cases[i].body, cases[i].len);
        add(&sent, FIN | BINARY, "behind", 6);
        expect_end(&sent, cases[i].event, cases[i].code, "before");
        free(sent.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),   cmocka_unit_test(all_is_found),  cmocka_unit_test(empty_readers),
        cmocka_unit_test(faults), cmocka_unit_test(long_messages), cmocka_unit_test(closes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
