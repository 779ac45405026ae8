/* SPDX-License-Identifier: BSD-3-Clause */
#include "websocket_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "wire/websocket.h"

#define MAX_MESSAGE 32768 /* of Tailscale's client in a browser */

void ws_open(struct websocket_client *ws, const struct fixture *fixture)
{
    *ws = (struct websocket_client){.fd = fixture_connect(fixture)};
    fixture_send_text(ws->fd, WS_REQUEST);
}

void ws_expect_switch(struct websocket_client *ws)
{
    static const char want[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                               "Sec-WebSocket-Protocol: derp\r\n\r\n";
    char head[sizeof(want)] = "";

    fixture_receive(ws->fd, head, sizeof(want) - 1);
    assert_string_equal(head, want);
}

/* To the client of DERP it looks as if it had upgraded itself. */
static void begin_derp(struct websocket_client *ws)
{
    static const char switching[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n";
    struct client_options options = {.host = "relay", .info = {.version = DERP_PROTOCOL_VERSION}};
    uint8_t request[CLIENT_MAX_REQUEST + 16], answer[sizeof(switching)];
    struct client_message message;

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    assert_int_equal(client_init(&ws->client, &options), 0);
    assert_true(client_request(&ws->client, request, sizeof(request)) > 0);
    memcpy(answer, switching, sizeof(answer));
    assert_int_equal(client_read(&ws->client, answer, sizeof(answer) - 1, &message),
                     sizeof(answer) - 1);
}

void ws_send_info(struct websocket_client *ws)
{
    uint8_t info[HELLO_MAX_CLIENT_INFO];

    begin_derp(ws);
    (void)ws_expect(ws, CLIENT_MESSAGE_SEND_INFO);
    ssize_t size = client_info_frame(&ws->client, info, sizeof(info));
    assert_true(size > 0);
    ws_send_frame(ws, WS_FIN | WS_BINARY, info, (size_t)size);
}

void ws_join(struct websocket_client *ws, const struct fixture *fixture, uint64_t peers)
{
    ws_open(ws, fixture);
    ws_expect_switch(ws);
    ws_send_info(ws);
    (void)ws_expect(ws, CLIENT_MESSAGE_SERVER_INFO);
    fixture_wait(fixture, counters_peers_are, peers);
}

void ws_hang_up(struct websocket_client *ws)
{
    fixture_hang_up(ws->fd);
    client_wipe(&ws->client);
    free(ws->stream);
    free(ws->payload);
}

size_t ws_frame(uint8_t *out, uint8_t first, const void *payload, size_t len)
{
    static const uint8_t mask[4] = {0x5a, 0xc3, 0x01, 0xfe};
    size_t size = 2, bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;

    out[0] = first;
    out[1] = (uint8_t)(0x80 | (bytes == 0 ? len : bytes == 2 ? 126 : 127));
    for (; bytes > 0; bytes--)
        out[size++] = (uint8_t)(len >> 8 * (bytes - 1));
    memcpy(out + size, mask, sizeof(mask));
    size += sizeof(mask);
    for (size_t i = 0; i < len; i++)
        out[size + i] = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    return size + len;
}

void ws_send_frame(struct websocket_client *ws, uint8_t first, const void *payload, size_t len)
{
    uint8_t *frame = malloc(len + 14);

    assert_non_null(frame);
    fixture_send(ws->fd, frame, ws_frame(frame, first, payload, len));
    free(frame);
}

void ws_send_packet(struct websocket_client *ws, const hyperderp_key *to, const void *packet,
                    size_t len)
{
    uint8_t *bytes = malloc(FRAME_PACKET_OVERHEAD + len);

    assert_non_null(bytes);
    ws_send_frame(ws, WS_FIN | WS_BINARY, bytes, fixture_packet(bytes, to, packet, len));
    free(bytes);
}

void ws_read_frame(struct websocket_client *ws)
{
    uint8_t head[4] = {0};

    fixture_receive(ws->fd, head, 2);
    assert_int_equal(head[0] & 0xf0, WS_FIN); /* whole, and no extension */
    ws->opcode = head[0] & 15;
    assert_true(ws->opcode == WS_BINARY || ws->opcode == WS_CLOSE || ws->opcode == WS_PONG);
    assert_in_range(head[1], 0, 126); /* not masked, and never that long */
    ws->payload_len = head[1];
    if (head[1] == 126) {
        fixture_receive(ws->fd, head + 2, 2);
        ws->payload_len = (size_t)(head[2] << 8 | head[3]);
        assert_in_range(ws->payload_len, 126, MAX_MESSAGE);
    }
    assert_true(ws->opcode == WS_BINARY || ws->payload_len <= WEBSOCKET_MAX_CONTROL);
    ws->payload = realloc(ws->payload, ws->payload_len + 1);
    assert_non_null(ws->payload);
    fixture_receive(ws->fd, ws->payload, ws->payload_len);
    if (ws->opcode != WS_BINARY)
        return;
    assert_true(ws->payload_len > 0);
    ws->largest = ws->payload_len > ws->largest ? ws->payload_len : ws->largest;
    if (ws->len + ws->payload_len > ws->room) {
        ws->room = 2 * (ws->len + ws->payload_len);
        ws->stream = realloc(ws->stream, ws->room);
        assert_non_null(ws->stream);
    }
    memcpy(ws->stream + ws->len, ws->payload, ws->payload_len);
    ws->len += ws->payload_len;
}

void ws_expect_control(struct websocket_client *ws, uint8_t opcode, const void *payload, size_t len)
{
    ws_read_frame(ws);
    assert_int_equal(ws->opcode, opcode);
    assert_int_equal(ws->payload_len, len);
    if (len > 0)
        assert_memory_equal(ws->payload, payload, len);
}

void ws_expect_close(struct websocket_client *ws, uint16_t code)
{
    do
        ws_read_frame(ws);
    while (ws->opcode != WS_CLOSE);
    assert_int_equal(ws->payload_len, 2);
    assert_int_equal(ws->payload[0] << 8 | ws->payload[1], code);
    assert_int_equal(fixture_read_end(ws->fd), 0);
}

struct client_message ws_expect(struct websocket_client *ws, enum client_message_type type)
{
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};

    /* What was told before is done with: it goes when the next is asked for. */
    if (ws->used > 0) {
        memmove(ws->stream, ws->stream + ws->used, ws->len - ws->used);
        ws->len -= ws->used;
        ws->used = 0;
    }
    while (message.type == CLIENT_MESSAGE_NONE) {
        ssize_t used =
            client_read(&ws->client, ws->stream + ws->used, ws->len - ws->used, &message);
        assert_true(used >= 0);
        ws->used += (size_t)used;
        if (used > 0 || message.type != CLIENT_MESSAGE_NONE)
            continue;
        ws_read_frame(ws);
        assert_int_equal(ws->opcode, WS_BINARY);
    }
    assert_int_equal(message.type, type);
    return message;
}

void ws_expect_packet(struct websocket_client *ws, const hyperderp_key *from, const void *packet,
                      size_t len)
{
    struct client_message message = ws_expect(ws, CLIENT_MESSAGE_PACKET);

    assert_true(hyperderp_key_equal(&message.peer, from));
    assert_int_equal(message.len, len);
    if (len > 0)
        assert_memory_equal(message.payload, packet, len);
}
