/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * WebSocket (RFC 6455) on the server's side: the key of the handshake, and the frames of a client.
 * wslay takes frames apart and unmasks them; what a client may say, and when, is judged here. Its
 * messages are a stream of bytes, which goes on wherever a message ends: nothing is gathered but a
 * control frame.
 */
#ifndef WIRE_WEBSOCKET_H
#define WIRE_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/http.h"

#define WEBSOCKET_ACCEPT_SIZE 29  /* base64 of 20 bytes, and a NUL */
#define WEBSOCKET_MAX_HEADER  4   /* in front of what this relay sends */
#define WEBSOCKET_MAX_CONTROL 125 /* bytes in a control frame, section 5.5 */

/* Bytes of a client's message. No message is kept: it is a bound on nonsense. */
#define WEBSOCKET_MAX_MESSAGE (1u << 20)

/* What a Close frame says, section 7.4.1. */
enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_UNSUPPORTED = 1003, /* a text */
    WEBSOCKET_BAD_DATA = 1007,    /* a reason that is not UTF-8 */
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_TRY_LATER = 1013,
};

/* Tells whether a text is what Sec-WebSocket-Key must be: base64 of 16 bytes. */
bool websocket_is_key(struct http_text key);

/* Writes the Sec-WebSocket-Accept that belongs to such a key. False without SHA-1 or memory. */
bool websocket_accept(struct http_text key, char out[WEBSOCKET_ACCEPT_SIZE])
    __attribute__((warn_unused_result));

/* What a connection's next frame is judged by. All zero at the beginning. */
struct websocket_stream {
    bool in_message;  /* more frames of it must come */
    uint32_t message; /* bytes that its frames have announced */
};

/* Takes frames apart: 4.4 KiB, of which a connection needs none between two frames. */
struct websocket_reader;

struct websocket_reader *websocket_reader_new(void); /* NULL without memory */
void websocket_reader_free(struct websocket_reader *reader);

enum websocket_event {
    WEBSOCKET_MORE,    /* all that was fed is used up */
    WEBSOCKET_CONTENT, /* bytes of a message */
    WEBSOCKET_PING,    /* bytes to be sent back in a Pong */
    WEBSOCKET_CLOSE,   /* the client closes; code is what to answer */
    WEBSOCKET_FAULT,   /* it broke the rules; code is what to say */
};

struct websocket_found {
    uint8_t *bytes; /* content lies where it was fed, unmasked; all else in the reader */
    size_t len;
    bool ended; /* and so has its frame */
    uint16_t code;
};

/* Gives the reader bytes, which are written to. Only when all that was fed before is used up. */
void websocket_feed(struct websocket_reader *reader, uint8_t *bytes, size_t len);

/* Finds the next thing in what was fed. Not behind WEBSOCKET_CLOSE or WEBSOCKET_FAULT: then the
 * reader can only be freed. */
enum websocket_event websocket_next(struct websocket_reader *reader,
                                    struct websocket_stream *stream, struct websocket_found *found)
    __attribute__((warn_unused_result));

/* Tells whether the reader holds nothing of a frame, and might read another connection's next. */
bool websocket_reader_is_empty(const struct websocket_reader *reader);

#endif
