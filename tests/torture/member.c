/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of three kinds. */
#include "member.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/client.h"
#include "client/client_tls.h"

/* Of what the relay sends nothing is larger; a message of WebSocket holds a frame of DERP or more.
 */
#define MAX_MESSAGE (FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET)
#define ROOM        (2 * MAX_MESSAGE)

#define WS_BINARY 0x82
#define WS_MASKED 0x80

struct websocket_member {
    struct client client;
    uint8_t raw[ROOM]; /* frames of WebSocket that are not read yet */
    size_t raw_len;
    uint8_t stream[ROOM]; /* what was in them: DERP */
    size_t start, end;
};

static const struct client_tls_options *trust(void)
{
    static const struct tls_client_options anybody = {.verification = TLS_VERIFY_NOTHING};
    static struct client_tls_options options;
    char fault[HYPERDERP_FAULT_SIZE];

    if (!options.client)
        assert_int_equal(tls_client_new(&options.client, &anybody, fault), 0);
    return &options;
}

int member_dial(const char *address, int receive_buffer)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    to.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    assert_true(fd >= 0);
    if (receive_buffer > 0)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(int)), 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        fail_msg("cannot connect to %s: %s", address, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* ---- WebSocket ---- */

static int send_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -errno;
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* One message, masked as a client's must be. */
static int send_message(int fd, const uint8_t *payload, size_t len)
{
    static const uint8_t mask[4] = {0x5a, 0xc3, 0x0f, 0x96};
    static uint8_t out[UINT16_MAX + 16];
    size_t at = 2;

    assert_true(len <= UINT16_MAX);
    out[0] = WS_BINARY;
    if (len < 126) {
        out[1] = (uint8_t)(WS_MASKED | len);
    } else {
        out[1] = WS_MASKED | 126;
        out[at++] = (uint8_t)(len >> 8);
        out[at++] = (uint8_t)len;
    }
    memcpy(out + at, mask, sizeof(mask));
    at += sizeof(mask);
    for (size_t i = 0; i < len; i++)
        out[at + i] = payload[i] ^ mask[i % 4];
    return send_all(fd, out, at + len);
}

/* The size of the frame at the front of what came, and where its payload begins; 0: not whole. */
static size_t frame_size(const struct websocket_member *ws, size_t *payload)
{
    const uint8_t *raw = ws->raw;

    if (ws->raw_len < 4)
        return ws->raw_len >= 2 && raw[1] == 0 ? (*payload = 2) : 0;
    size_t len = raw[1];
    assert_true(len <= 126); /* unmasked, and no message of ours has more than 64 KiB */
    *payload = len == 126 ? 4 : 2;
    if (len == 126)
        len = (size_t)raw[2] << 8 | raw[3];
    return ws->raw_len >= *payload + len ? *payload + len : 0;
}

/* Moves the payloads of whole frames into the stream. -EPIPE at a Close. */
static int unwrap(struct websocket_member *ws)
{
    size_t payload, size;

    if (ws->start > 0) {
        memmove(ws->stream, ws->stream + ws->start, ws->end - ws->start);
        ws->end -= ws->start;
        ws->start = 0;
    }
    while ((size = frame_size(ws, &payload)) > 0) {
        uint8_t opcode = ws->raw[0] & 0x0f;
        if (opcode == 8)
            return -EPIPE;
        if (opcode <= 2) {
            if (ws->end + size - payload > ROOM)
                return 0; /* first what is there is read */
            memcpy(ws->stream + ws->end, ws->raw + payload, size - payload);
            ws->end += size - payload;
        }
        ws->raw_len -= size;
        memmove(ws->raw, ws->raw + size, ws->raw_len);
    }
    return 0;
}

static int ws_recv(struct member *member, struct client_message *message)
{
    struct websocket_member *ws = member->websocket;

    for (;;) {
        ssize_t used =
            client_read(&ws->client, ws->stream + ws->start, ws->end - ws->start, message);
        if (used < 0)
            return (int)used;
        ws->start += (size_t)used;
        if (message->type != CLIENT_MESSAGE_NONE)
            return 0;
        size_t before = ws->end - ws->start;
        int error = unwrap(ws);
        if (error)
            return error;
        if (ws->end - ws->start > before)
            continue;
        ssize_t n = recv(member->fd, ws->raw + ws->raw_len, ROOM - ws->raw_len, MSG_DONTWAIT);
        if (n == 0)
            return -EPIPE;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? -ETIMEDOUT : -errno;
        ws->raw_len += (size_t)n;
    }
}

static void ws_expect(struct member *member, enum client_message_type type)
{
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};
    struct pollfd item = {.fd = member->fd, .events = POLLIN};
    int error;

    while ((error = ws_recv(member, &message)) == -ETIMEDOUT)
        assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
    if (error)
        fail_msg("joining over WebSocket: %s", strerror(-error));
    assert_int_equal(message.type, type);
}

/* Reads the answer to the request for WebSocket, and nothing behind it. */
static void ws_expect_switch(int fd)
{
    char head[512] = "";

    for (size_t len = 0; !strstr(head, "\r\n\r\n"); len++) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        assert_true(len + 1 < sizeof(head));
        assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
        if (recv(fd, head + len, 1, 0) != 1)
            fail_msg("the relay ended a request for WebSocket behind: %s", head);
    }
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
        fail_msg("no WebSocket: %s", head);
}

/* To the client of DERP it looks as if it had upgraded itself. */
static void ws_join(struct member *member, const char *address)
{
    static const char request[] =
        "GET /derp HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: derp\r\n\r\n";
    static const char switching[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n";
    struct client_options options = {.host = "relay",
                                     .private_key = member->private_key,
                                     .info = {.version = DERP_PROTOCOL_VERSION}};
    struct websocket_member *ws = calloc(1, sizeof(*ws));
    uint8_t bytes[CLIENT_MAX_REQUEST + 16];

    assert_non_null(ws);
    member->websocket = ws;
    member->fd = member_dial(address, 0);
    assert_int_equal(send_all(member->fd, (const uint8_t *)request, sizeof(request) - 1), 0);
    ws_expect_switch(member->fd);
    assert_int_equal(client_init(&ws->client, &options), 0);
    assert_true(client_request(&ws->client, bytes, sizeof(bytes)) > 0);
    memcpy(ws->stream, switching, sizeof(switching) - 1);
    ws->end = sizeof(switching) - 1;
    ws_expect(member, CLIENT_MESSAGE_SEND_INFO);
    ssize_t size = client_info_frame(&ws->client, bytes, sizeof(bytes));
    assert_true(size > 0);
    assert_int_equal(send_message(member->fd, bytes, (size_t)size), 0);
    ws_expect(member, CLIENT_MESSAGE_SERVER_INFO);
}

/* ---- All ---- */

void member_join(struct member *member, enum member_kind kind, const char *address,
                 int receive_buffer)
{
    struct client_options options = {
        .private_key = member->private_key,
        .info = {.version = DERP_PROTOCOL_VERSION, .can_ack_pings = true},
        .fast_start = kind == MEMBER_TLS};

    member->kind = kind;
    hyperderp_private_key_public(&member->private_key, &member->key);
    if (kind == MEMBER_WEBSOCKET) {
        ws_join(member, address);
        return;
    }
    int error =
        client_socket_connect_over(&member->socket, member_dial(address, receive_buffer), address,
                                   &options, kind == MEMBER_TLS ? trust() : NULL, PATIENCE_MS);
    if (error)
        fail_msg("cannot join %s: %s", address, strerror(-error));
    member->fd = client_socket_fd(member->socket);
}

int member_send(struct member *member, const hyperderp_key *to, const void *packet, size_t len)
{
    uint8_t frame[FRAME_PACKET_OVERHEAD + 4096];

    if (member->socket)
        return client_socket_send(member->socket, to, packet, len, PATIENCE_MS);
    assert_true(len <= 4096);
    client_packet_header(frame, to, len);
    memcpy(frame + FRAME_PACKET_OVERHEAD, packet, len);
    return send_message(member->fd, frame, FRAME_PACKET_OVERHEAD + len);
}

int member_send_raw(struct member *member, const void *bytes, size_t len)
{
    if (member->socket)
        return client_socket_send_raw(member->socket, bytes, len, PATIENCE_MS);
    return send_message(member->fd, bytes, len);
}

int member_recv(struct member *member, struct client_message *message)
{
    if (member->socket)
        return client_socket_recv(member->socket, message, 0);
    return ws_recv(member, message);
}

void member_leave(struct member *member, bool reset)
{
    const struct linger at_once = {.l_onoff = 1};

    if (reset)
        setsockopt(member->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    if (member->socket) {
        client_socket_close(member->socket);
    } else {
        client_wipe(&member->websocket->client);
        free(member->websocket);
        close(member->fd);
    }
    member->socket = NULL;
    member->websocket = NULL;
    member->fd = -1;
}
