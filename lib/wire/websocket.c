/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/websocket.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>
#include <sys/types.h>
#include <wslay/wslay.h>

#include "memory/memory.h"
#include "wire/utf8.h"

/* ---- The handshake ---- */

#define KEY_SIZE  16
#define KEY_CHARS 24
#define SHA1_SIZE 20

bool websocket_is_key(struct http_text key)
{
    unsigned char bytes[KEY_SIZE];
    size_t size = 0;

    return key.len == KEY_CHARS &&
           sodium_base642bin(bytes, sizeof(bytes), key.at, key.len, NULL, &size, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           size == KEY_SIZE;
}

bool websocket_accept(struct http_text key, char out[WEBSOCKET_ACCEPT_SIZE])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */
    char text[KEY_CHARS + sizeof(guid) - 1];
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t size = 0;

    if (key.len != KEY_CHARS)
        return false;
    memcpy(text, key.at, KEY_CHARS);
    memcpy(text + KEY_CHARS, guid, sizeof(guid) - 1);
    if (EVP_Q_digest(NULL, "SHA1", NULL, text, sizeof(text), digest, &size) != 1 ||
        size != SHA1_SIZE)
        return false;
    sodium_bin2base64(out, WEBSOCKET_ACCEPT_SIZE, digest, size, sodium_base64_VARIANT_ORIGINAL);
    return true;
}

/* ---- Frames ---- */

struct websocket_reader {
    struct wslay_frame_context *frames;

    /* What was fed last. wslay gets all of it, through a buffer of its own. Positions count from
     * the first of the bytes that it had before: those of a frame's head that is not complete. */
    uint8_t *bytes;
    size_t len;
    size_t given; /* to wslay */
    size_t held;  /* that it had before */
    size_t at;    /* the position up to which it has told what it found */

    /* The frame that has begun. */
    bool in_frame;
    uint8_t opcode;
    uint64_t left; /* bytes of it that have not come */
    uint8_t control_len;
    uint8_t control[WEBSOCKET_MAX_CONTROL];
};

static ssize_t give(uint8_t *buf, size_t len, int flags, void *user)
{
    struct websocket_reader *reader = user;
    size_t rest = reader->len - reader->given, part = len < rest ? len : rest;

    (void)flags;
    if (part == 0)
        return -1;
    memcpy(buf, reader->bytes + reader->given, part);
    reader->given += part;
    return (ssize_t)part;
}

struct websocket_reader *websocket_reader_new(void)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = give};
    struct websocket_reader *reader = memory_calloc(1, sizeof(*reader));

    if (!reader || wslay_frame_context_init(&reader->frames, &callbacks, reader) != 0) {
        memory_free(reader);
        return NULL;
    }
    return reader;
}

void websocket_reader_free(struct websocket_reader *reader)
{
    if (!reader)
        return;
    wslay_frame_context_free(reader->frames);
    memory_free(reader);
}

void websocket_feed(struct websocket_reader *reader, uint8_t *bytes, size_t len)
{
    reader->bytes = bytes;
    reader->len = len;
}

bool websocket_reader_is_empty(const struct websocket_reader *reader)
{
    return !reader->in_frame && reader->held == 0 && reader->len == 0;
}

/* All that was fed is with wslay, which has told of it up to `at`. */
static enum websocket_event use_up(struct websocket_reader *reader)
{
    reader->held += reader->len - reader->at;
    reader->bytes = NULL;
    reader->len = reader->given = reader->at = 0;
    return WEBSOCKET_MORE;
}

/* Bytes of the head of a client's frame, which is the shortest that holds the length: wslay sees to
 * that. */
static size_t head_size(uint64_t payload)
{
    size_t length = payload < 126 ? 0 : payload < 1 << 16 ? 2 : 8;

    return 2 + length + 4; /* the mask */
}

/* What is wrong with a frame that begins, or 0. */
static uint16_t judge(struct websocket_stream *stream, const struct wslay_frame_iocb *frame)
{
    bool goes_on = frame->opcode == WSLAY_CONTINUATION_FRAME;

    if (!frame->mask || frame->rsv != 0) /* sections 5.1, 5.2 */
        return WEBSOCKET_PROTOCOL_ERROR;
    switch (frame->opcode) {
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        return 0;
    case WSLAY_CONTINUATION_FRAME:
    case WSLAY_BINARY_FRAME:
        break;
    case WSLAY_TEXT_FRAME:
        return WEBSOCKET_UNSUPPORTED;
    default:
        return WEBSOCKET_PROTOCOL_ERROR;
    }
    if (stream->in_message != goes_on) /* section 5.4 */
        return WEBSOCKET_PROTOCOL_ERROR;
    if (!goes_on)
        stream->message = 0;
    if (frame->payload_length > WEBSOCKET_MAX_MESSAGE - stream->message)
        return WEBSOCKET_TOO_BIG;
    stream->message += (uint32_t)frame->payload_length;
    stream->in_message = !frame->fin;
    return 0;
}

static enum websocket_event fault(struct websocket_found *found, uint16_t code)
{
    found->code = code;
    return WEBSOCKET_FAULT;
}

static bool is_utf8(const uint8_t *text, size_t len)
{
    while (len > 0) {
        size_t size = utf8_size(text, len);
        if (size == 0)
            return false;
        text += size;
        len -= size;
    }
    return true;
}

/* Codes that a Close frame may carry, section 7.4. */
static bool is_code(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* The client closes: its code goes back (section 5.5.1). */
static enum websocket_event closed(const struct websocket_reader *reader,
                                   struct websocket_found *found)
{
    const uint8_t *body = reader->control;

    found->code = WEBSOCKET_NORMAL;
    if (reader->control_len == 0)
        return WEBSOCKET_CLOSE;
    if (reader->control_len == 1)
        return fault(found, WEBSOCKET_PROTOCOL_ERROR);
    found->code = (uint16_t)(body[0] << 8 | body[1]);
    if (!is_code(found->code))
        return fault(found, WEBSOCKET_PROTOCOL_ERROR);
    if (!is_utf8(body + 2, (size_t)reader->control_len - 2))
        return fault(found, WEBSOCKET_BAD_DATA);
    return WEBSOCKET_CLOSE;
}

/* A control frame is whole. A Pong says nothing, whether asked for or not (section 5.5.3). */
static enum websocket_event act(struct websocket_reader *reader, struct websocket_found *found)
{
    found->ended = true;
    if (reader->opcode == WSLAY_PING) {
        found->bytes = reader->control;
        found->len = reader->control_len;
        return WEBSOCKET_PING;
    }
    return reader->opcode == WSLAY_CONNECTION_CLOSE ? closed(reader, found) : WEBSOCKET_MORE;
}

/* Takes a piece of a frame. Content goes back to where its bytes were fed, so that all of a frame
 * that was fed at once lies there in one piece. */
static bool take(struct websocket_reader *reader, const struct wslay_frame_iocb *piece,
                 struct websocket_found *found)
{
    size_t len = piece->data_length, start = reader->at - reader->held;

    if (len > reader->left || start > reader->len || len > reader->len - start)
        return false; /* cannot be: wslay tells of each byte once, in order */
    reader->left -= len;
    reader->at += len;
    if (len == 0)
        return true;
    if (wslay_is_ctrl_frame(reader->opcode)) {
        memcpy(reader->control + reader->control_len, piece->data, len);
        reader->control_len = (uint8_t)(reader->control_len + len);
        return true;
    }
    memcpy(reader->bytes + start, piece->data, len);
    if (found->len == 0)
        found->bytes = reader->bytes + start;
    found->len += len;
    return true;
}

/* Takes the next piece. WEBSOCKET_MORE: there may be another one. */
static enum websocket_event step(struct websocket_reader *reader, struct websocket_stream *stream,
                                 const struct wslay_frame_iocb *piece,
                                 struct websocket_found *found)
{
    if (!reader->in_frame) {
        uint16_t wrong = judge(stream, piece);
        if (wrong != 0)
            return fault(found, wrong);
        reader->in_frame = true;
        reader->opcode = piece->opcode;
        reader->left = piece->payload_length;
        reader->control_len = 0;
        reader->at += head_size(piece->payload_length);
    }
    if (!take(reader, piece, found))
        return fault(found, WEBSOCKET_PROTOCOL_ERROR);
    if (reader->left > 0)
        return WEBSOCKET_MORE;
    reader->in_frame = false;
    if (wslay_is_ctrl_frame(reader->opcode))
        return act(reader, found);
    found->ended = true;
    return found->len > 0 ? WEBSOCKET_CONTENT : WEBSOCKET_MORE;
}

enum websocket_event websocket_next(struct websocket_reader *reader,
                                    struct websocket_stream *stream, struct websocket_found *found)
{
    enum websocket_event event = WEBSOCKET_MORE;

    *found = (struct websocket_found){0};
    while (event == WEBSOCKET_MORE) {
        struct wslay_frame_iocb piece = {0};
        ssize_t len = wslay_frame_recv(reader->frames, &piece);
        if (len == WSLAY_ERR_WANT_READ) {
            use_up(reader);
            return found->len > 0 ? WEBSOCKET_CONTENT : WEBSOCKET_MORE;
        }
        if (len < 0)
            return fault(found, WEBSOCKET_PROTOCOL_ERROR);
        event = step(reader, stream, &piece, found);
    }
    return event;
}
