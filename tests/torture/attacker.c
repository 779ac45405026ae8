/* SPDX-License-Identifier: BSD-3-Clause */
/* What the threads of an attack do to a relay: connections at each layer, without an assertion. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"
#include "client/dial.h"
#include "traffic.h"

const char attack_websocket_request[] =
    "GET /derp HTTP/1.1\r\nHost: relay.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Protocol: derp\r\n\r\n";

#define OPCODE_BINARY 2

struct client_socket *attack_join(struct attacker *attacker, const hyperderp_private_key *key)
{
    struct client_socket *client;
    int error = client_try(&client, attacker->address, key);

    if (error)
        attack_fault(attacker, "cannot join", error);
    return client;
}

bool attack_join_all(struct attacker *attacker, struct client_socket **clients, unsigned count,
                     const hyperderp_private_key *key)
{
    for (unsigned i = 0; i < count; i++) {
        clients[i] = attack_join(attacker, key);
        if (!clients[i])
            return false;
    }
    return true;
}

void attack_close_all(struct client_socket **clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        client_socket_close(clients[i]);
        clients[i] = NULL;
    }
}

void attack_discard(int fd)
{
    /* Sanitizers' recv() would have it written to the buffer. */
    while (syscall(SYS_recvfrom, fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT, NULL, NULL) > 0)
        ;
}

/* An end by the relay is what some attacks are after; that it reads no more is a fault. */
static bool judge(struct attacker *attacker, int error)
{
    if (error == -EPIPE || error == -ECONNRESET)
        return false;
    return error == 0 || attack_fault(attacker, "sending", error);
}

bool attack_send(struct attacker *attacker, struct client_socket *client, const void *bytes,
                 size_t len)
{
    attack_discard(client_socket_fd(client));
    return judge(attacker, client_socket_send_raw(client, bytes, len, PATIENCE_MS));
}

bool attack_expect_end(struct attacker *attacker, int fd)
{
    return tcp_await_end(fd, PATIENCE_MS) ||
           attack_fault(attacker, "the relay does not close", -ETIMEDOUT);
}

int attack_dial(struct attacker *attacker)
{
    int fd = dial(attacker->address, dial_deadline(PATIENCE_MS));

    if (fd < 0)
        attack_fault(attacker, "connecting", fd);
    return fd;
}

void attack_reset(int fd)
{
    const struct linger linger = {.l_onoff = 1};

    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

bool attack_connect(struct attacker *attacker, struct client_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
    stream->fd = -1;
    int error = client_stream_connect(stream, attacker->address, client_trust(),
                                      dial_deadline(PATIENCE_MS));
    return error == 0 || attack_fault(attacker, "connecting", error);
}

bool attack_write(struct attacker *attacker, struct client_stream *stream, const void *bytes,
                  size_t len)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    return judge(attacker, client_stream_send(stream, &piece, 1, dial_deadline(PATIENCE_MS)));
}

size_t attack_message(uint8_t *out, uint8_t opcode, const void *content, size_t len)
{
    size_t at = 0;

    out[at++] = (uint8_t)(0x80 | opcode);
    out[at++] = (uint8_t)(0x80 | (len < 126 ? len : 126));
    if (len >= 126) {
        out[at++] = (uint8_t)(len >> 8);
        out[at++] = (uint8_t)len;
    }
    memset(out + at, 0, 4);
    memcpy(out + at + 4, content, len);
    return at + 4 + len;
}

/* Waits until the head of the answer has come, and skips it. */
static bool skip_head(struct attacker *attacker, struct client_stream *stream)
{
    for (;;) {
        int error = client_stream_fill(stream, dial_deadline(PATIENCE_MS));
        if (error)
            return attack_fault(attacker, "waiting for the upgrade", error);
        uint8_t *from = stream->channel.in + stream->channel.start;
        uint8_t *end = memmem(from, stream->channel.end - stream->channel.start, "\r\n\r\n", 4);
        if (end) {
            stream->channel.start += (size_t)(end - from) + 4;
            return true;
        }
    }
}

/* The content of the next message, which is short; NULL when it has not come yet. */
static uint8_t *next_message(struct client_stream *stream, size_t *len)
{
    uint8_t *from = stream->channel.in + stream->channel.start;
    size_t there = stream->channel.end - stream->channel.start, head = 2;

    if (there < 4)
        return NULL;
    *len = from[1];
    if (*len == 126) {
        *len = (size_t)from[2] << 8 | from[3];
        head = 4;
    }
    if (there < head + *len)
        return NULL;
    stream->channel.start += head + *len;
    return from + head;
}

/* What the relay says in its messages goes to the client, until that has joined. */
static bool join_by_messages(struct attacker *attacker, struct client_stream *stream,
                             struct client *client)
{
    struct client_message said = {.type = CLIENT_MESSAGE_NONE};
    uint8_t info[HELLO_MAX_CLIENT_INFO], message[sizeof(info) + ATTACK_MESSAGE_OVERHEAD];
    size_t len;

    while (said.type != CLIENT_MESSAGE_SERVER_INFO) {
        uint8_t *content = next_message(stream, &len);
        if (!content) {
            int error = client_stream_fill(stream, dial_deadline(PATIENCE_MS));
            if (error)
                return attack_fault(attacker, "waiting for a message", error);
            continue;
        }
        if (client_read(client, content, len, &said) < 0)
            return attack_fault(attacker, "joining by WebSocket", -EPROTO);
        if (said.type != CLIENT_MESSAGE_SEND_INFO)
            continue;
        ssize_t size = client_info_frame(client, info, sizeof(info));
        if (size < 0)
            return attack_fault(attacker, "ClientInfo", (int)size);
        size_t sent = attack_message(message, OPCODE_BINARY, info, (size_t)size);
        if (!attack_write(attacker, stream, message, sent))
            return false;
    }
    return true;
}

#define REQUEST_ROOM (CLIENT_MAX_REQUEST + 16)

/* A client of a new key. The size of its request, or -1 and a fault. */
static ssize_t begin_client(struct attacker *attacker, struct client *client,
                            uint8_t request[REQUEST_ROOM])
{
    struct client_options options = {.host = "relay.example",
                                     .info = {.version = DERP_PROTOCOL_VERSION}};
    ssize_t len = -1;

    if (hyperderp_private_key_generate(&options.private_key) == 0 &&
        client_init(client, &options) == 0)
        len = client_request(client, request, REQUEST_ROOM);
    if (len < 0)
        attack_fault(attacker, "a client", -EPROTO);
    return len;
}

bool attack_join_websocket(struct attacker *attacker, struct client_stream *stream)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"
                               "Connection: Upgrade\r\n\r\n";
    struct client_message none;
    struct client client;
    uint8_t request[REQUEST_ROOM];
    char answer[sizeof(head)];

    if (!attack_connect(attacker, stream) ||
        !attack_write(attacker, stream, attack_websocket_request,
                      strlen(attack_websocket_request)) ||
        !skip_head(attacker, stream))
        return false;
    memcpy(answer, head, sizeof(head));
    if (begin_client(attacker, &client, request) < 0)
        return false;
    if (client_read(&client, (uint8_t *)answer, strlen(answer), &none) < 0)
        return attack_fault(attacker, "a client by WebSocket", -EPROTO);
    bool joined = join_by_messages(attacker, stream, &client);
    client_wipe(&client);
    return joined;
}

/* Reads what the relay says until it is time for ClientInfo, and says that. */
static bool introduce(struct attacker *attacker, struct client_stream *stream,
                      struct client *client)
{
    struct client_message said = {.type = CLIENT_MESSAGE_NONE};
    uint8_t info[HELLO_MAX_CLIENT_INFO];

    while (said.type != CLIENT_MESSAGE_SEND_INFO) {
        int error = client_stream_fill(stream, dial_deadline(PATIENCE_MS));
        if (error)
            return attack_fault(attacker, "waiting for the relay's key", error);
        struct channel *channel = &stream->channel;
        ssize_t used =
            client_read(client, channel->in + channel->start, channel->end - channel->start, &said);
        if (used < 0)
            return attack_fault(attacker, "the relay's greeting", (int)used);
        channel->start += (size_t)used;
    }
    ssize_t size = client_info_frame(client, info, sizeof(info));
    if (size < 0)
        return attack_fault(attacker, "ClientInfo", (int)size);
    return attack_write(attacker, stream, info, (size_t)size);
}

int attack_knock(struct attacker *attacker)
{
    uint8_t request[REQUEST_ROOM];
    struct client_stream stream;
    struct client client;

    ssize_t len = begin_client(attacker, &client, request);
    if (len < 0)
        return -1;
    bool good = attack_connect(attacker, &stream) &&
                attack_write(attacker, &stream, request, (size_t)len) &&
                introduce(attacker, &stream, &client);
    client_wipe(&client);
    int fd = good ? stream.fd : -1;
    if (good)
        stream.fd = -1; /* nothing more is said */
    client_stream_close(&stream);
    return fd;
}

/* SplitMix64. */
uint64_t attack_random(uint64_t *seed)
{
    uint64_t x = *seed += 0x9e3779b97f4a7c15;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

size_t attack_packet(uint8_t *out, const hyperderp_key *to, size_t len, bool disco)
{
    static const uint8_t magic[] = {'T', 'S', 0xf0, 0x9f, 0x92, 0xac};

    client_packet_header(out, to, len);
    memset(out + FRAME_PACKET_OVERHEAD, 0x5a, len);
    if (disco)
        memcpy(out + FRAME_PACKET_OVERHEAD, magic, len < sizeof(magic) ? len : sizeof(magic));
    return FRAME_PACKET_OVERHEAD + len;
}
