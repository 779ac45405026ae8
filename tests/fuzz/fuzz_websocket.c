/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames of a WebSocket client. The first byte tells how the rest is cut up; whatever the cuts, and
 * whether the reader is exchanged between two frames, what is found must be what a plain reading of
 * RFC 6455 finds in all of it.
 */
#include "fuzz.h"
#include "wire/utf8.h"
#include "wire/websocket.h"

/* What a stream of frames says. */
struct outcome {
    uint8_t *content; /* of all messages */
    size_t content_len;
    uint8_t *pings; /* each with its length in front */
    size_t pings_len;
    uint16_t code; /* of its end, 0 when it has none */
    bool is_fault;
    bool is_between; /* it ends between two frames */
};

static struct outcome outcome_new(size_t size)
{
    return (struct outcome){.content = fuzz_copy("", 0), .pings = calloc(1, 2 * size + 2)};
}

static void outcome_free(struct outcome *outcome)
{
    free(outcome->content);
    free(outcome->pings);
}

static void add_content(struct outcome *outcome, const uint8_t *bytes, size_t len)
{
    outcome->content = realloc(outcome->content, outcome->content_len + len + 1);
    REQUIRE(outcome->content);
    memcpy(outcome->content + outcome->content_len, bytes, len);
    outcome->content_len += len;
}

static void add_ping(struct outcome *outcome, const uint8_t *bytes, size_t len)
{
    REQUIRE(len <= WEBSOCKET_MAX_CONTROL);
    outcome->pings[outcome->pings_len++] = (uint8_t)len;
    if (len > 0)
        memcpy(outcome->pings + outcome->pings_len, bytes, len);
    outcome->pings_len += len;
}

/* ---- The plain reading ---- */

struct head {
    bool fin, masked;
    uint8_t rsv, opcode;
    uint64_t len;
    uint8_t mask[4];
    size_t size; /* 0: it is not complete */
    bool wrong;  /* as far as it has come */
};

static struct head read_head(const uint8_t *at, size_t size)
{
    struct head head = {0};

    if (size < 2)
        return head;
    head.fin = at[0] >> 7;
    head.rsv = at[0] >> 4 & 7;
    head.opcode = at[0] & 15;
    head.masked = at[1] >> 7;
    head.len = at[1] & 127;
    if (head.opcode >= 8 && (head.len > 125 || !head.fin)) {
        head.wrong = true;
        return head;
    }
    size_t extended = head.len < 126 ? 0 : head.len == 126 ? 2 : 8, need = 2 + extended;
    if (size < need)
        return head;
    if (extended > 0) {
        head.len = 0;
        for (size_t i = 0; i < extended; i++)
            head.len = head.len << 8 | at[2 + i];
        if (head.len < (extended == 2 ? 126u : 65536u) || head.len >> 63) {
            head.wrong = true;
            return head;
        }
    }
    if (head.masked) {
        if (size < need + 4)
            return head;
        memcpy(head.mask, at + need, 4);
        need += 4;
    }
    head.size = need;
    return head;
}

static uint16_t close_code(const uint8_t *body, size_t len, bool *is_fault)
{
    uint16_t code = 1000;

    if (len >= 2)
        code = (uint16_t)(body[0] << 8 | body[1]);
    bool known = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
                 (code >= 3000 && code <= 4999);

    *is_fault = true;
    if (len == 1 || !known)
        return 1002;
    for (size_t at = 2; at < len;) {
        size_t size = utf8_size(body + at, len - at);
        if (size == 0)
            return 1007;
        at += size;
    }
    *is_fault = false;
    return code;
}

static uint16_t judge(const struct head *head, bool *in_message, uint64_t *message)
{
    if (!head->masked || head->rsv)
        return 1002;
    if (head->opcode == 1)
        return 1003;
    if (head->opcode >= 8)
        return head->opcode > 10 ? 1002 : 0;
    if (head->opcode > 2 || *in_message != (head->opcode == 0))
        return 1002;
    *message = *in_message ? *message : 0;
    if (head->len > (1 << 20) - *message)
        return 1009;
    *message += head->len;
    *in_message = !head->fin;
    return 0;
}

static void read_plainly(struct outcome *out, const uint8_t *data, size_t size)
{
    bool in_message = false;
    uint64_t message = 0;

    out->is_between = true;
    while (size > 0 && out->code == 0) {
        struct head head = read_head(data, size);
        out->is_between = false;
        if (head.wrong) {
            out->code = 1002;
            out->is_fault = true;
            return;
        }
        if (head.size == 0 || (head.size == size && head.len > 0))
            return; /* a frame is judged with its first byte */
        out->code = judge(&head, &in_message, &message);
        out->is_fault = out->code != 0;
        if (out->code)
            return;
        size_t there = size - head.size < head.len ? size - head.size : (size_t)head.len;
        uint8_t *bytes = fuzz_copy(data + head.size, there);
        for (size_t i = 0; i < there; i++)
            bytes[i] ^= head.mask[i % 4];
        if (head.opcode < 8)
            add_content(out, bytes, there);
        else if (there == head.len && head.opcode == 9)
            add_ping(out, bytes, there);
        else if (there == head.len && head.opcode == 8)
            out->code = close_code(bytes, there, &out->is_fault);
        free(bytes);
        out->is_between = there == head.len;
        data += head.size + there;
        size -= head.size + there;
    }
}

/* ---- The reader ---- */

/* Takes all that is found in one piece. */
static void take(struct outcome *out, struct websocket_reader *reader,
                 struct websocket_stream *stream, uint8_t *piece, size_t len)
{
    struct websocket_found found;
    enum websocket_event event = WEBSOCKET_PING;

    websocket_feed(reader, piece, len);
    while (event != WEBSOCKET_MORE && out->code == 0) {
        event = websocket_next(reader, stream, &found);
        if (event == WEBSOCKET_CONTENT) {
            REQUIRE(found.len > 0 && found.bytes >= piece && found.len <= len);
            REQUIRE(found.bytes + found.len <= piece + len);
            add_content(out, found.bytes, found.len);
        } else if (event == WEBSOCKET_PING) {
            add_ping(out, found.bytes, found.len);
        } else if (event != WEBSOCKET_MORE) {
            REQUIRE(found.code != 0);
            out->code = found.code;
            out->is_fault = event == WEBSOCKET_FAULT;
        }
    }
}

static void read_in_pieces(struct outcome *out, const uint8_t *data, size_t size, size_t piece_size,
                           bool exchange)
{
    struct websocket_reader *reader = websocket_reader_new();
    struct websocket_stream stream = {0};

    REQUIRE(reader);
    while (size > 0 && out->code == 0) {
        size_t len = piece_size < size ? piece_size : size;
        uint8_t *piece = fuzz_copy(data, len);
        take(out, reader, &stream, piece, len);
        free(piece);
        data += len;
        size -= len;
        if (out->code == 0 && exchange && websocket_reader_is_empty(reader)) {
            websocket_reader_free(reader);
            reader = websocket_reader_new();
            REQUIRE(reader);
        }
    }
    out->is_between = out->code == 0 && websocket_reader_is_empty(reader);
    websocket_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct outcome plain = outcome_new(size), read = outcome_new(size);
    size_t piece = data[0] & 0x7f ? data[0] & 0x7f : size;

    read_plainly(&plain, data + 1, size - 1);
    read_in_pieces(&read, data + 1, size - 1, piece, data[0] & 0x80);
    REQUIRE(read.code == plain.code && read.is_fault == plain.is_fault);
    REQUIRE(read.content_len == plain.content_len && read.pings_len == plain.pings_len);
    REQUIRE(memcmp(read.content, plain.content, plain.content_len) == 0);
    REQUIRE(memcmp(read.pings, plain.pings, plain.pings_len) == 0);
    REQUIRE(plain.code != 0 || read.is_between == plain.is_between);
    outcome_free(&plain);
    outcome_free(&read);
    return 0;
}
