/* SPDX-License-Identifier: BSD-3-Clause */
/* A WebSocket client for tests of the relay: it sends whatever it is told to, and looks closely at
 * what it gets. */
#ifndef TESTS_UNIT_WEBSOCKET_CLIENT_H
#define TESTS_UNIT_WEBSOCKET_CLIENT_H

#include "relay_fixture.h"

enum websocket_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};
#define WS_FIN 0x80

/* The request, but for its last line. */
#define WS_HEAD                                                                                    \
    "GET /derp HTTP/1.1\r\nHost: relay\r\nConnection: keep-alive, Upgrade\r\n"                     \
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                                          \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: derp\r\n"
#define WS_REQUEST WS_HEAD "\r\n"

struct websocket_client {
    int fd;
    struct client client; /* of DERP */
    uint8_t *stream;      /* what came in messages */
    size_t len, room, used;
    uint8_t opcode;   /* of the frame that was read last */
    uint8_t *payload; /* of it */
    size_t payload_len;
    size_t largest; /* message that came */
};

/* Connects and sends the request; then its answer is read. */
void ws_open(struct websocket_client *ws, const struct fixture *fixture);
void ws_expect_switch(struct websocket_client *ws);

/* A client that has joined, as the nth peer. */
void ws_join(struct websocket_client *ws, const struct fixture *fixture, uint64_t peers);
void ws_send_info(struct websocket_client *ws);

/* Frees it; the socket is closed. */
void ws_hang_up(struct websocket_client *ws);

/* Writes a masked frame; returns its size, which is at most the payload's and 14. */
size_t ws_frame(uint8_t *out, uint8_t first, const void *payload, size_t len);
void ws_send_frame(struct websocket_client *ws, uint8_t first, const void *payload, size_t len);

/* Sends a packet in a message of its own. */
void ws_send_packet(struct websocket_client *ws, const hyperderp_key *to, const void *packet,
                    size_t len);

/* Reads a frame, which must be well formed. */
void ws_read_frame(struct websocket_client *ws);

/* The next frame is a control frame with this payload. */
void ws_expect_control(struct websocket_client *ws, uint8_t opcode, const void *payload,
                       size_t len);

/* Reads what comes up to the Close frame, which has this code, and the end of the stream. */
void ws_expect_close(struct websocket_client *ws, uint16_t code);

/* The next message of DERP. Valid until the next call. */
struct client_message ws_expect(struct websocket_client *ws, enum client_message_type type);
void ws_expect_packet(struct websocket_client *ws, const hyperderp_key *from, const void *packet,
                      size_t len);

#endif
