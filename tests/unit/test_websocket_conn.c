/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections that speak DERP in WebSocket messages: the upgrade, packets, control frames, faults,
 * the end; beside clients that speak it without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "websocket_client.h"

#define ARRAY_SIZE(a)     (sizeof(a) / sizeof((a)[0]))
#define CLOSED_BODY(code) ((uint8_t[]){(code) >> 8, (code)&255})

static void fill(uint8_t *packet, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        packet[i] = (uint8_t)(seed * 31 + i * 7 + i / 251);
}

/* ---- The upgrade ---- */

/* One answer, whose status line begins so, and which says that the connection ends or not. */
static void expect_answer(int fd, const char *status, const char *header)
{
    char head[4096] = "";
    size_t len = 0;

    do {
        assert_true(len + 1 < sizeof(head));
        fixture_receive(fd, head + len, 1);
        head[++len] = '\0';
    } while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0);
    assert_memory_equal(head, status, strlen(status));
    assert_non_null(strstr(head, header));
    (void)fixture_read_end(fd);
}

static void bad_handshakes(void **state)
{
#define BEGIN "GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
#define KEY   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define DERP  "Sec-WebSocket-Protocol: derp\r\n"
#define GOOD  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" KEY DERP
    static const struct {
        const char *request, *status, *header;
    } cases[] = {
        {BEGIN DERP KEY "Connection: Upgrade\r\n\r\n", "HTTP/1.1 426 ",
         "\r\nSec-WebSocket-Version: 13\r\n"},
        {BEGIN DERP KEY "Connection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n", "HTTP/1.1 426 ",
         "\r\nSec-WebSocket-Version: 13\r\n"},
        {BEGIN DERP KEY "Sec-WebSocket-Version: 13\r\n\r\n", "HTTP/1.1 426 ",
         "\r\nUpgrade: DERP\r\n"},
        {BEGIN DERP "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n", "HTTP/1.1 400 ",
         ""},
        {BEGIN DERP "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: short\r\n\r\n",
         "HTTP/1.1 400 ", ""},
        {"POST /derp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" GOOD "\r\n", "HTTP/1.1 405 ",
         ""},
        {"GET /derp HTTP/1.0\r\nUpgrade: websocket\r\n" GOOD "\r\n", "HTTP/1.1 4", ""},
        {"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" GOOD "\r\n", "HTTP/1.1 200 ", ""},
    };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int fd = fixture_connect(&fixture);
        fixture_send_text(fd, cases[i].request);
        expect_answer(fd, cases[i].status, cases[i].header);
        fixture_hang_up(fd);
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.http_requests, ARRAY_SIZE(cases));
    assert_int_equal(counters.websocket_upgrades, 0);
    fixture_stop(&fixture);
}

/* Early clients of Tailscale asked for WebSocket and spoke plain DERP: without the subprotocol that
 * is what is meant. */
static void without_subprotocol(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    char head[34] = "";

    fixture_start(&fixture, &options, 0);
    int fd = fixture_connect(&fixture);
    fixture_send_text(fd, BEGIN "Connection: Upgrade\r\n\r\n");
    fixture_receive(fd, head, 33);
    assert_string_equal(head, "HTTP/1.1 101 Switching Protocols\r");
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).websocket_upgrades, 0);
    fixture_stop(&fixture);
}

/* A page first, then the upgrade, and a Ping right behind it: all in one piece. */
static void in_one_piece(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    uint8_t bytes[1024];
    struct fixture fixture;
    char page[2048];
    size_t len = 0;

    fixture_start(&fixture, &options, 0);
    struct websocket_client ws = {.fd = fixture_connect(&fixture)};
    static const char requests[] = "GET /generate_204 HTTP/1.1\r\nHost: x\r\n\r\n" WS_REQUEST;
    memcpy(bytes, requests, sizeof(requests) - 1);
    size_t size = sizeof(requests) - 1;
    size += ws_frame(bytes + size, WS_FIN | WS_PING, "early", 5);
    fixture_send(ws.fd, bytes, size);
    do
        fixture_receive(ws.fd, page + len++, 1);
    while (len < 4 || memcmp(page + len - 4, "\r\n\r\n", 4) != 0);
    assert_memory_equal(page, "HTTP/1.1 204 ", 13);
    ws_expect_switch(&ws);
    ws_read_frame(&ws);
    assert_int_equal(ws.opcode, WS_BINARY);
    ws_expect_control(&ws, WS_PONG, "early", 5);
    ws_send_info(&ws);
    (void)ws_expect(&ws, CLIENT_MESSAGE_SERVER_INFO);
    ws_hang_up(&ws);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- Packets ---- */

static void packets_of_all_sizes(void **state)
{
    static const size_t sizes[] = {0,     1,     80,    88,    89,    125,   1400,
                                   4000,  8192,  16300, 16339, 16340, 16343, 16344,
                                   16384, 32768, 40000, 65498, 65499, 65535, 65536};
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct websocket_client a, b;
    struct fixture fixture;
    uint8_t *packet = malloc(FRAME_MAX_PACKET);
    uint64_t sent = 0;

    assert_non_null(packet);
    fixture_start(&fixture, &options, 0);
    ws_join(&a, &fixture, 1);
    ws_join(&b, &fixture, 2);
    struct client_socket *plain = fixture_join(&fixture, 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++, sent += 3) {
        fill(packet, sizes[i], (unsigned)i);
        ws_send_packet(&a, &b.client.public_key, packet, sizes[i]);
        ws_expect_packet(&b, &a.client.public_key, packet, sizes[i]);
        ws_send_packet(&a, client_socket_key(plain), packet, sizes[i]);
        struct client_message message = fixture_expect(plain, CLIENT_MESSAGE_PACKET);
        assert_int_equal(message.len, sizes[i]);
        assert_memory_equal(message.payload, packet, sizes[i]);
        assert_int_equal(
            client_socket_send(plain, &b.client.public_key, packet, sizes[i], FIXTURE_PATIENCE_MS),
            0);
        ws_expect_packet(&b, client_socket_key(plain), packet, sizes[i]);
    }
    fixture_wait(&fixture, counters_at_rest, sent);
    assert_int_equal(fixture_counters(&fixture).packets_delivered, sent);
    assert_int_equal(fixture_counters(&fixture).websocket_connections, 2);
    assert_int_equal(fixture_counters(&fixture).websocket_upgrades, 2);
    hyperderp_peer_info *peers;
    size_t count;
    assert_int_equal(hyperderp_relay_peers(fixture.relay, &peers, &count), 0);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(peers[i].websocket,
                         !hyperderp_key_equal(&peers[i].key, client_socket_key(plain)));
    hyperderp_peers_free(peers);
    client_socket_close(plain);
    ws_hang_up(&a);
    ws_hang_up(&b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
    free(packet);
}

/* Messages are a stream: frames of DERP begin and end anywhere in them, with Pings in between. */
static void cut_anywhere(void **state)
{
    enum { PACKETS = 40, PACKET = 700 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static const size_t cuts[] = {1, 2, 4, 5, 36, 37, 125, 126, 741, 742, 743, 4096, 30000};
    static uint8_t stream[PACKETS * (FRAME_PACKET_OVERHEAD + PACKET)];
    uint8_t packet[PACKET];
    struct websocket_client a, b;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    ws_join(&a, &fixture, 1);
    ws_join(&b, &fixture, 2);
    size_t size = 0;
    for (unsigned i = 0; i < PACKETS; i++) {
        fill(packet, PACKET, i);
        size += fixture_packet(stream + size, &b.client.public_key, packet, PACKET);
    }
    for (size_t c = 0; c < ARRAY_SIZE(cuts); c++) {
        uint8_t *bytes = malloc(16 * size), *at = bytes;
        assert_non_null(bytes);
        size_t pings = 0;
        for (size_t i = 0; i < size; i += cuts[c]) {
            size_t len = cuts[c] < size - i ? cuts[c] : size - i;
            bool first = i == 0, last = i + len == size; /* one message in many frames */
            at +=
                ws_frame(at, (uint8_t)((last ? WS_FIN : 0) | (first ? WS_BINARY : WS_CONTINUATION)),
                         stream + i, len);
            if (i % 1000 < cuts[c] && pings++ < 3)
                at += ws_frame(at, WS_FIN | WS_PONG, "unasked", 7);
        }
        fixture_send(a.fd, bytes, (size_t)(at - bytes));
        free(bytes);
        for (unsigned i = 0; i < PACKETS; i++) {
            fill(packet, PACKET, i);
            ws_expect_packet(&b, &a.client.public_key, packet, PACKET);
        }
    }
    ws_hang_up(&a);
    ws_hang_up(&b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Byte by byte, each in a segment, and with TLS a record, of its own. */
static void bytewise(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    uint8_t packet[300], derp[400], bytes[500];
    struct websocket_client a, b;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    ws_join(&a, &fixture, 1);
    ws_join(&b, &fixture, 2);
    fill(packet, sizeof(packet), 3);
    size_t size = fixture_packet(derp, &b.client.public_key, packet, sizeof(packet));
    size = ws_frame(bytes, WS_FIN | WS_BINARY, derp, size);
    for (size_t i = 0; i < size; i++)
        fixture_send(a.fd, bytes + i, 1);
    ws_expect_packet(&b, &a.client.public_key, packet, sizeof(packet));
    ws_hang_up(&a);
    ws_hang_up(&b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* A receiver that stops reading loses packets, and never a byte of its stream: messages that have
 * begun go on where they stopped. */
static void stall(const hyperderp_relay_options *options, hyperderp_drop_reason reason)
{
    enum { PACKET = 3000, DROPS = 50 };
    uint8_t packet[PACKET];
    struct websocket_client receiver;
    struct fixture fixture;
    unsigned sent = 0, got = 0;

    /* The receiver's buffer stays as it is: made smaller than the window that TCP has offered by
     * now, it would drop what comes, and the kernel would wait ever longer to send that again. */
    fixture_start(&fixture, options, 8192);
    ws_join(&receiver, &fixture, 1);
    struct client_socket *sender = fixture_join(&fixture, 0);
    hyperderp_counters counters = fixture_counters(&fixture);
    while (fixture_dropped(&counters) < DROPS) {
        for (unsigned i = 0; i < 20; i++, sent++) {
            fill(packet, sizeof(packet), sent);
            memcpy(packet, &sent, sizeof(sent));
            assert_int_equal(client_socket_send(sender, &receiver.client.public_key, packet,
                                                sizeof(packet), FIXTURE_PATIENCE_MS),
                             0);
        }
        fixture_wait(&fixture, counters_received_are, sent);
        counters = fixture_counters(&fixture);
    }
    /* The last one shows where the stream ends. */
    unsigned last = UINT32_MAX;
    assert_true(counters.drops[reason][HYPERDERP_PACKET_DATA] > 0);
    uint64_t expected = sent - fixture_dropped(&counters);
    for (int64_t before = -1; got < expected; got++) {
        struct client_message message = ws_expect(&receiver, CLIENT_MESSAGE_PACKET);
        unsigned number;
        assert_int_equal(message.len, sizeof(packet));
        memcpy(&number, message.payload, sizeof(number));
        assert_true((int64_t)number > before && number < sent);
        before = number;
        fill(packet, sizeof(packet), number);
        assert_memory_equal(message.payload + sizeof(number), packet + sizeof(number),
                            sizeof(packet) - sizeof(number));
    }
    assert_int_equal(client_socket_send(sender, &receiver.client.public_key, &last, sizeof(last),
                                        FIXTURE_PATIENCE_MS),
                     0);
    ws_expect_packet(&receiver, client_socket_key(sender), &last, sizeof(last));
    assert_in_range(receiver.largest, 1, 16380);
    client_socket_close(sender);
    ws_hang_up(&receiver);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void stalled_receiver(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);

    options.queue_frames = 64;
    stall(&options, HYPERDERP_DROP_QUEUE_FULL);
}

/* The same where memory is what ends first. */
static void memory_is_bounded(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);

    options.memory_bytes = 256 << 10;
    stall(&options, HYPERDERP_DROP_MEMORY);
}

static bool upgrades_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->websocket_upgrades == value;
}

/* An answer 200 with its body. */
static void read_page(int fd)
{
    char head[4096] = "", body[4096];
    size_t len = 0;

    do {
        assert_true(len + 1 < sizeof(head));
        fixture_receive(fd, head + len, 1);
        head[++len] = '\0';
    } while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0);
    assert_memory_equal(head, "HTTP/1.1 200 ", 13);
    const char *length = strstr(head, "\r\nContent-Length: ");
    assert_non_null(length);
    size_t size = strtoul(length + 18, NULL, 10);
    assert_in_range(size, 1, sizeof(body));
    fixture_receive(fd, body, size);
}

/* Pages that wait for room when the connection becomes a WebSocket are in no message. */
static void behind_pages(void **state)
{
    enum { PAGES = 30 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    const int small = 4096;

    fixture_start(&fixture, &options, 4096);
    struct websocket_client ws = {.fd = fixture_connect(&fixture)};
    assert_int_equal(setsockopt(ws.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (unsigned i = 0; i < PAGES; i++)
        fixture_send_text(ws.fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    fixture_send_text(ws.fd, WS_REQUEST);
    ws_send_frame(&ws, WS_FIN | WS_PING, "now", 3);
    fixture_wait(&fixture, upgrades_are, 1);
    for (unsigned i = 0; i < PAGES; i++)
        read_page(ws.fd);
    ws_expect_switch(&ws);
    ws_read_frame(&ws);
    assert_int_equal(ws.opcode, WS_BINARY);
    ws_expect_control(&ws, WS_PONG, "now", 3);
    ws_send_info(&ws);
    (void)ws_expect(&ws, CLIENT_MESSAGE_SERVER_INFO);
    ws_hang_up(&ws);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).http_requests, PAGES);
    fixture_stop(&fixture);
}

/* ---- Control frames ---- */

static void pings(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    uint8_t longest[125];
    struct websocket_client ws;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    ws_join(&ws, &fixture, 1);
    ws_send_frame(&ws, WS_FIN | WS_PING, "", 0);
    ws_expect_control(&ws, WS_PONG, "", 0);
    fill(longest, sizeof(longest), 9);
    ws_send_frame(&ws, WS_FIN | WS_PING, longest, sizeof(longest));
    ws_expect_control(&ws, WS_PONG, longest, sizeof(longest));
    /* Of several at once the last one is answered. */
    uint8_t bytes[100];
    size_t size = ws_frame(bytes, WS_FIN | WS_PING, "one", 3);
    size += ws_frame(bytes + size, WS_FIN | WS_PING, "two", 3);
    size += ws_frame(bytes + size, WS_FIN | WS_PING, "three", 5);
    fixture_send(ws.fd, bytes, size);
    ws_expect_control(&ws, WS_PONG, "three", 5);
    /* Inside a message, and inside a frame of DERP. */
    uint8_t derp[FRAME_PACKET_OVERHEAD + 5];
    size_t derp_size = fixture_packet(derp, &ws.client.public_key, "hello", 5);
    size = ws_frame(bytes, WS_BINARY, derp, 20);
    size += ws_frame(bytes + size, WS_FIN | WS_PING, "amid", 4);
    fixture_send(ws.fd, bytes, size);
    ws_expect_control(&ws, WS_PONG, "amid", 4);
    ws_send_frame(&ws, WS_FIN | WS_CONTINUATION, derp + 20, derp_size - 20);
    ws_expect_packet(&ws, &ws.client.public_key, "hello", 5);
    ws_hang_up(&ws);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Whoever sends Pings and reads nothing fills no queue; a pair beside it notices nothing. */
static void ping_flood(void **state)
{
    enum { PER_SEND = 200, SENDS = 400 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct websocket_client ws;
    struct fixture fixture;
    uint8_t longest[125] = {7}, *bytes = malloc(PER_SEND * 140);
    size_t size = 0;

    assert_non_null(bytes);
    fixture_start(&fixture, &options, 4096);
    ws_join(&ws, &fixture, 1);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < PER_SEND; i++)
        size += ws_frame(bytes + size, WS_FIN | WS_PING, longest, sizeof(longest));
    for (unsigned i = 0; i < SENDS; i++) {
        fixture_send(ws.fd, bytes, size);
        if (i % 100 == 0)
            fixture_pass(a, b, "beside a flood");
    }
    /* 64 of the relay's own frames may wait for a connection, here of 256 bytes each. */
    assert_in_range(fixture_counters(&fixture).queued_bytes, 0, 200000);
    fixture_pass(a, b, "behind a flood");
    ws_hang_up(&ws);
    client_socket_close(a);
    client_socket_close(b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
    free(bytes);
}

/* The client closes: everything before that counts, its code comes back, nothing behind it does. */
static void closes(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct websocket_client ws;
    uint8_t bytes[200], derp[100];

    fixture_start(&fixture, &options, 0);
    struct client_socket *other = fixture_join(&fixture, 0);
    ws_join(&ws, &fixture, 2);
    size_t derp_size = fixture_packet(derp, client_socket_key(other), "last", 4);
    size_t size = ws_frame(bytes, WS_FIN | WS_BINARY, derp, derp_size);
    size += ws_frame(bytes + size, WS_FIN | WS_PING, "?", 1);
    size += ws_frame(bytes + size, WS_FIN | WS_CLOSE,
                     "\x03\xe9"
                     "bye",
                     5);
    size += ws_frame(bytes + size, WS_FIN | WS_BINARY, derp, derp_size);
    fixture_send(ws.fd, bytes, size);
    ws_expect_control(&ws, WS_PONG, "?", 1);
    ws_expect_close(&ws, 1001);
    assert_memory_equal(fixture_expect(other, CLIENT_MESSAGE_PACKET).payload, "last", 4);
    ws_hang_up(&ws);
    assert_int_equal(fixture_expect(other, CLIENT_MESSAGE_PEER_GONE).reason, 0);
    fixture_wait(&fixture, counters_connections_are, 1);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.protocol_errors, 0);
    assert_int_equal(counters.packets_received, 1);
    client_socket_close(other);
    fixture_stop(&fixture);
}

/* ---- What breaks the rules ---- */

static const struct {
    const char *bytes;
    size_t len;
    uint16_t code;
} hostile[] = {
#define CASE(bytes, code)                                                                          \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, code                                                             \
    }
    CASE("\x82\x05Hello", 1002),  /* not masked */
    CASE("\xc2\x81mask-", 1002),  /* RSV1 */
    CASE("\x81\x81mask-", 1003),  /* a text */
    CASE("\x83\x81mask-", 1002),  /* a reserved opcode */
    CASE("\x80\x81mask-", 1002),  /* continues nothing */
    CASE("\x09\x81mask-", 1002),  /* a Ping in parts */
    CASE("\x89\xfe\0\x7e", 1002), /* a long one */
    CASE("\x82\xff\0\0\0\0\0\x10\0\1mask-", 1009),
    CASE("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1002),
    CASE("\x88\x81\0\0\0\0\x03", 1002),
    CASE("\x88\x82\0\0\0\0\x03\xed", 1002),
    CASE("\x88\x84\0\0\0\0\x03\xe8\xc3(", 1007),
#undef CASE
};

static bool protocol_errors_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->protocol_errors == value;
}

static bool handshakes_failed_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_failed == value;
}

/* Each gets its code, whether it has joined or not; a pair beside it notices nothing. */
static void faults(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct websocket_client ws;

    fixture_start(&fixture, &options, 0);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        ws_join(&ws, &fixture, 3);
        ws_send_packet(&ws, client_socket_key(a), "before", 6);
        (void)fixture_expect(a, CLIENT_MESSAGE_PACKET);
        fixture_send(ws.fd, hostile[i].bytes, hostile[i].len);
        ws_expect_close(&ws, hostile[i].code);
        ws_hang_up(&ws);
        (void)fixture_expect(a, CLIENT_MESSAGE_PEER_GONE);
        fixture_wait(&fixture, protocol_errors_are, i + 1);
        ws_open(&ws, &fixture);
        ws_expect_switch(&ws);
        fixture_send(ws.fd, hostile[i].bytes, hostile[i].len);
        ws_expect_close(&ws, hostile[i].code);
        ws_hang_up(&ws);
        fixture_wait(&fixture, handshakes_failed_are, i + 1);
        fixture_pass(a, b, "beside it");
    }
    client_socket_close(a);
    client_socket_close(b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* What breaks the rules of DERP is told by a Close frame, too. */
static void faults_of_derp(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct websocket_client ws;

    fixture_start(&fixture, &options, 0);
    ws_join(&ws, &fixture, 1);
    ws_send_frame(&ws, WS_FIN | WS_BINARY, "\x04\xff\xff\xff\xff", 5); /* a packet of 4 GiB */
    do
        ws_read_frame(&ws);
    while (ws.opcode != WS_CLOSE);
    assert_memory_equal(ws.payload, CLOSED_BODY(1002), 2);
    (void)fixture_read_end(ws.fd);
    ws_hang_up(&ws);
    fixture_wait(&fixture, protocol_errors_are, 1);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Half a frame holds memory: it is not waited for longer than for half a frame of DERP. */
static void half_frames_time_out(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static const struct {
        const char *bytes;
        size_t len;
    } halves[] = {{"\x82", 1},
                  {"\x82\xfe\x01", 3},
                  {"\x82\x85mas", 5},
                  {"\x89\x84mask?", 7},
                  {"\x82\xfe\x01\0maskx", 9}};
    struct websocket_client ws[ARRAY_SIZE(halves)];
    struct fixture fixture;

    options.write_timeout_ms = 150;
    fixture_start(&fixture, &options, 0);
    for (size_t i = 0; i < ARRAY_SIZE(halves); i++)
        ws_join(&ws[i], &fixture, i + 1);
    int64_t began = fixture_now_ms();
    for (size_t i = 0; i < ARRAY_SIZE(halves); i++)
        fixture_send(ws[i].fd, halves[i].bytes, halves[i].len);
    for (size_t i = 0; i < ARRAY_SIZE(halves); i++) {
        (void)fixture_read_end(ws[i].fd);
        ws_hang_up(&ws[i]);
    }
    assert_in_range(fixture_now_ms() - began, 250, 5000);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static bool connections_are_below(const hyperderp_counters *counters, uint64_t value)
{
    return counters->connections < value;
}

/* What trickles in does not prolong that. */
static void trickle(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct websocket_client ws;
    struct fixture fixture;
    hyperderp_counters counters;

    options.write_timeout_ms = 150;
    fixture_start(&fixture, &options, 0);
    ws_join(&ws, &fixture, 1);
    int64_t began = fixture_now_ms();
    fixture_send(ws.fd, "\x89\xfdmask", 6); /* a Ping of 125 bytes */
    do {
        uint8_t byte = 0;
        if (send(ws.fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        usleep(10000);
        counters = fixture_counters(&fixture);
        assert_in_range(fixture_now_ms() - began, 0, 5000);
    } while (!connections_are_below(&counters, 1));
    assert_in_range(fixture_now_ms() - began, 250, 5000);
    ws_hang_up(&ws);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Frames that always come in halves are no such thing, however long that goes on. */
static void always_in_halves(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    uint8_t packet[500], derp[600], bytes[700];
    struct websocket_client a, b;
    struct fixture fixture;

    options.write_timeout_ms = 300; /* twice that it waits for the rest */
    fixture_start(&fixture, &options, 0);
    ws_join(&a, &fixture, 1);
    ws_join(&b, &fixture, 2);
    fill(packet, sizeof(packet), 1);
    size_t size = fixture_packet(derp, &b.client.public_key, packet, sizeof(packet));
    size = ws_frame(bytes, WS_FIN | WS_BINARY, derp, size);
    size_t half = 3;
    fixture_send(a.fd, bytes, half); /* of the head, or of the content */
    for (int64_t until = fixture_now_ms() + 1500; fixture_now_ms() < until;) {
        size_t next = half == 3 ? 200 : 3;
        uint8_t piece[1400];
        memcpy(piece, bytes + half, size - half);
        memcpy(piece + size - half, bytes, next);
        fixture_send(a.fd, piece, size - half + next);
        ws_expect_packet(&b, &a.client.public_key, packet, sizeof(packet));
        usleep(20000);
        half = next;
    }
    fixture_send(a.fd, bytes + half, size - half);
    ws_expect_packet(&b, &a.client.public_key, packet, sizeof(packet));
    ws_hang_up(&a);
    ws_hang_up(&b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* client_rate counts what is not content, too: Pings do not come for nothing. */
static void paced(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct websocket_client ws;
    uint8_t longest[125] = {1}, bytes[140];

    options.client_rate = 1 << 20;
    options.client_burst = 1 << 17;
    fixture_start(&fixture, &options, 0);
    ws_join(&ws, &fixture, 1);
    size_t size = ws_frame(bytes, WS_FIN | WS_PING, longest, sizeof(longest));
    int64_t began = fixture_now_ms();
    for (unsigned i = 0; i < 4000; i++) /* half a mebibyte */
        fixture_send(ws.fd, bytes, size);
    ws_send_packet(&ws, &ws.client.public_key, "behind", 6);
    do
        ws_read_frame(&ws);
    while (ws.opcode == WS_PONG);
    assert_int_equal(ws.opcode, WS_BINARY);
    assert_in_range(fixture_now_ms() - began, 300, 5000);
    assert_true(fixture_counters(&fixture).client_rate_pauses > 0);
    ws_hang_up(&ws);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- The end ---- */

static hyperderp_verdict deny(void *user, const hyperderp_client_info *client,
                              hyperderp_admission *ticket)
{
    (void)user;
    (void)client;
    (void)ticket;
    return HYPERDERP_DENY;
}

static void denied(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct websocket_client ws;

    options.admit = deny;
    fixture_start(&fixture, &options, 0);
    ws_open(&ws, &fixture);
    ws_expect_switch(&ws);
    ws_send_info(&ws);
    ws_read_frame(&ws);
    assert_int_equal(ws.opcode, WS_CLOSE);
    assert_memory_equal(ws.payload, CLOSED_BODY(1008), 2);
    (void)fixture_read_end(ws.fd);
    ws_hang_up(&ws);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* A drain sends Restarting in a message, then the Close frame. */
static void drained(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct websocket_client ws;

    fixture_start(&fixture, &options, 0);
    ws_join(&ws, &fixture, 1);
    assert_true(hyperderp_relay_drain(fixture.relay, 0) == -ETIMEDOUT);
    (void)ws_expect(&ws, CLIENT_MESSAGE_RESTARTING);
    ws_expect_close(&ws, 1001);
    ws_hang_up(&ws);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(bad_handshakes),
        FIXTURE_ON_ALL(without_subprotocol),
        FIXTURE_ON_ALL(in_one_piece),
        FIXTURE_ON_ALL(packets_of_all_sizes),
        FIXTURE_ON_ALL(cut_anywhere),
        FIXTURE_ON_ALL(bytewise),
        FIXTURE_ON_ALL(stalled_receiver),
        FIXTURE_ON_ALL(memory_is_bounded),
        FIXTURE_ON_ALL(behind_pages),
        FIXTURE_ON_ALL(pings),
        FIXTURE_ON_ALL(ping_flood),
        FIXTURE_ON_ALL(closes),
        FIXTURE_ON_ALL(faults),
        FIXTURE_ON_ALL(faults_of_derp),
        FIXTURE_ON_ALL(half_frames_time_out),
        FIXTURE_ON_BOTH(trickle),
        FIXTURE_ON_BOTH(always_in_halves),
        FIXTURE_ON_ALL(paced),
        FIXTURE_ON_ALL(denied),
        FIXTURE_ON_ALL(drained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
