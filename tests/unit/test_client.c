/* SPDX-License-Identifier: BSD-3-Clause */
/* The client core against a relay made of fixed bytes: whole, byte by byte, and malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"
#include "wire/http.h"
#include "wire/key.h"

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n"

static const uint8_t nonce[HELLO_NONCE_SIZE] = {7};

/* A relay's bytes, and the client they are for. */
struct script {
    hyperderp_private_key server_private;
    hyperderp_key server;
    struct client_options options;
    struct client client;
    struct hello_secret secret; /* the relay's copy, once it has opened ClientInfo */
    struct client_info got_info;
    uint8_t *bytes;
    size_t len, room;
};

static int setup(void **state)
{
    struct script *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    assert_int_equal(hyperderp_private_key_generate(&s->server_private), 0);
    hyperderp_private_key_public(&s->server_private, &s->server);
    s->options.host = "relay.example:3340";
    s->options.info.version = DERP_PROTOCOL_VERSION;
    s->options.info.can_ack_pings = true;
    assert_int_equal(hyperderp_private_key_generate(&s->options.private_key), 0);
    assert_int_equal(client_init(&s->client, &s->options), 0);
    s->room = 2 * CLIENT_MAX_FRAME;
    s->bytes = malloc(s->room);
    assert_non_null(s->bytes);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct script *s = *state;

    client_wipe(&s->client);
    free(s->bytes);
    free(s);
    return 0;
}

static void add(struct script *s, const void *bytes, size_t len)
{
    assert_true(len <= s->room - s->len);
    if (len > 0)
        memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

static void add_text(struct script *s, const char *text)
{
    add(s, text, strlen(text));
}

static void add_header(struct script *s, uint8_t type, uint32_t length)
{
    uint8_t header[FRAME_HEADER_SIZE];

    frame_header_encode(header, type, length);
    add(s, header, sizeof(header));
}

/* A frame whose payload counts up from first. */
static void add_frame(struct script *s, uint8_t type, size_t len, uint8_t first)
{
    add_header(s, type, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        add(s, &(uint8_t){(uint8_t)(first + i)}, 1);
}

static void add_server_key(struct script *s)
{
    uint8_t frame[HELLO_SERVER_KEY_SIZE];

    add(s, frame, hello_server_key_encode(frame, &s->server));
}

static void add_server_info(struct script *s)
{
    struct server_info info = {
        .version = 2,
        .token_bucket_bytes_per_second = 1000,
        .token_bucket_bytes_burst = 2000,
    };
    uint8_t frame[HELLO_MAX_SERVER_INFO];
    ssize_t n = hello_server_info_seal(&s->secret, nonce, &info, frame, sizeof(frame));

    assert_true(n > 0);
    add(s, frame, (size_t)n);
}

/* The relay's reading of a ClientInfo frame. */
static void open_client_info(struct script *s, const uint8_t *frame, size_t len)
{
    struct frame_header header;
    hyperderp_key client;

    assert_int_equal(frame_header_decode(frame, len, &header), FRAME_HEADER_SIZE);
    assert_int_equal(header.type, FRAME_CLIENT_INFO);
    assert_int_equal(header.length, len - FRAME_HEADER_SIZE);
    assert_int_equal(hello_client_info_open(&s->server_private, frame + FRAME_HEADER_SIZE,
                                            header.length, &client, &s->got_info, &s->secret),
                     0);
    assert_true(hyperderp_key_equal(&client, &s->client.public_key));
}

/* Drops what the script holds, and what the client had consumed of it. */
static void restart(struct script *s)
{
    s->len = 0;
}

/* Brings the client through the whole handshake. */
static void handshake(struct script *s)
{
    struct client_message message;
    uint8_t frame[HELLO_MAX_CLIENT_INFO];
    ssize_t n;

    add_text(s, SWITCHING "\r\n");
    add_server_key(s);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_SEND_INFO);
    n = client_info_frame(&s->client, frame, sizeof(frame));
    assert_true(n > 0);
    open_client_info(s, frame, (size_t)n);
    restart(s);
    add_server_info(s);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_SERVER_INFO);
    restart(s);
}

static void request_is_what_a_relay_expects(void **state)
{
    struct script *s = *state;
    struct http_request request;
    uint8_t out[CLIENT_MAX_REQUEST];
    size_t scanned = 0;
    ssize_t n = client_request(&s->client, out, sizeof(out));

    assert_true(n > 0);
    assert_int_equal(http_request_parse(&request, (char *)out, (size_t)n, &scanned), n);
    assert_int_equal(request.method, HTTP_GET);
    assert_true(http_text_is(request.path, "/derp"));
    assert_int_equal(request.upgrade, HTTP_UPGRADE_DERP);
    assert_false(request.fast_start);
    out[n] = '\0';
    assert_non_null(strstr((char *)out, "\r\nHost: relay.example:3340\r\n"));
    assert_non_null(strstr((char *)out, "\r\nConnection: Upgrade\r\n"));
}

static void request_needs_room(void **state)
{
    struct script *s = *state;
    uint8_t out[CLIENT_MAX_REQUEST];
    ssize_t n = client_request(&s->client, out, sizeof(out));

    assert_true(n > 0);
    for (size_t room = 0; room < (size_t)n; room++)
        assert_int_equal(client_request(&s->client, out, room), -ENOSPC);
}

static void init_refuses_bad_options(void **state)
{
    struct script *s = *state;
    static const char *const hosts[] = {NULL,   "",     "a b",     "a\r\nEvil: 1",
                                        "a\tb", "\x7f", "\xc3\xa4"};
    struct client client;

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        s->options.host = hosts[i];
        assert_int_equal(client_init(&client, &s->options), -EINVAL);
    }
    s->options.host = "a";
    s->options.fast_start = true; /* with a server key of zeros, which no relay has */
    assert_int_equal(client_init(&client, &s->options), -EINVAL);
}

static void handshake_in_order(void **state)
{
    struct script *s = *state;
    static const struct hello_secret wiped;

    assert_int_equal(s->client.state, CLIENT_HTTP);
    handshake(s);
    assert_int_equal(s->client.state, CLIENT_OPEN);
    assert_true(hyperderp_key_equal(&s->client.server_key, &s->server));
    assert_int_equal(s->got_info.version, 2);
    assert_true(s->got_info.can_ack_pings);
    assert_memory_equal(&s->client.secret, &wiped, sizeof(wiped));
}

static void info_frame_only_when_asked_for(void **state)
{
    struct script *s = *state;
    uint8_t frame[HELLO_MAX_CLIENT_INFO];

    assert_int_equal(client_info_frame(&s->client, frame, sizeof(frame)), -EINVAL);
    handshake(s);
    assert_int_equal(client_info_frame(&s->client, frame, sizeof(frame)), -EINVAL);
}

/* Everything a relay may send after the handshake, and what becomes of it. */
static void add_traffic(struct script *s)
{
    uint8_t frame[64];
    hyperderp_key peer = {{9, 9, 9}};

    add_frame(s, FRAME_RECV_PACKET, 32 + 1400, 1);
    add_frame(s, FRAME_RECV_PACKET, 32, 2);
    add_frame(s, FRAME_RECV_PACKET, 32 + FRAME_MAX_PACKET, 3);
    add(s, frame, frame_encode_peer_gone(frame, &peer, PEER_GONE_NOT_HERE));
    add_frame(s, FRAME_PEER_GONE, 32, 4); /* the old form, without a reason */
    add_frame(s, FRAME_PING, 8, 5);
    add_frame(s, FRAME_PONG, 20, 6);
    add(s, frame, frame_encode_keep_alive(frame));
    add_header(s, FRAME_HEALTH, 7);
    add_text(s, "clashes");
    add_frame(s, FRAME_HEALTH, 0, 0);
    add(s, frame, frame_encode_restarting(frame, 0x01020304, 70000));
    add_frame(s, 0x77, 3, 8);
    add_frame(s, FRAME_PEER_PRESENT, 51, 9);
    add_frame(s, 0x78, FRAME_MAX_SKIPPED, 10);
}

static void check_counting(const struct client_message *m, size_t len, uint8_t first)
{
    assert_int_equal(m->len, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(m->payload[i], (uint8_t)(first + i));
}

static void check_traffic(size_t i, const struct client_message *m)
{
    static const enum client_message_type types[] = {
        CLIENT_MESSAGE_PACKET,       CLIENT_MESSAGE_PACKET,     CLIENT_MESSAGE_PACKET,
        CLIENT_MESSAGE_PEER_GONE,    CLIENT_MESSAGE_PEER_GONE,  CLIENT_MESSAGE_PING,
        CLIENT_MESSAGE_PONG,         CLIENT_MESSAGE_KEEP_ALIVE, CLIENT_MESSAGE_HEALTH,
        CLIENT_MESSAGE_HEALTH,       CLIENT_MESSAGE_RESTARTING, CLIENT_MESSAGE_OTHER,
        CLIENT_MESSAGE_PEER_PRESENT, CLIENT_MESSAGE_OTHER,
    };
    static const size_t packets[] = {1400, 0, FRAME_MAX_PACKET};

    assert_true(i < sizeof(types) / sizeof(types[0]));
    assert_int_equal(m->type, types[i]);
    if (i < 3) {
        for (size_t k = 0; k < HYPERDERP_KEY_SIZE; k++)
            assert_int_equal(m->peer.bytes[k], i + 1 + k);
        check_counting(m, packets[i], (uint8_t)(i + 1 + HYPERDERP_KEY_SIZE));
    } else if (i == 3) {
        assert_true(key_same(&(hyperderp_key){{9, 9, 9}}, m->peer.bytes));
        assert_int_equal(m->reason, PEER_GONE_NOT_HERE);
    } else if (i == 4) {
        assert_int_equal(m->peer.bytes[31], 4 + 31);
        assert_int_equal(m->reason, PEER_GONE_DISCONNECTED);
    } else if (i == 5 || i == 6) {
        check_counting(m, FRAME_PING_SIZE, (uint8_t)i);
    } else if (i == 8) {
        assert_int_equal(m->len, 7);
        assert_memory_equal(m->payload, "clashes", 7);
    } else if (i == 9) {
        assert_int_equal(m->len, 0);
    } else if (i == 10) {
        assert_int_equal(m->reconnect_in_ms, 0x01020304);
        assert_int_equal(m->try_for_ms, 70000);
    } else if (i == 11) {
        assert_int_equal(m->frame_type, 0x77);
        check_counting(m, 3, 8);
    } else if (i == 12) {
        assert_int_equal(m->type, CLIENT_MESSAGE_PEER_PRESENT);
        assert_int_equal(m->len, 51);
        assert_memory_equal(m->peer.bytes, m->payload, HYPERDERP_KEY_SIZE);
    } else if (i == 13) {
        check_counting(m, FRAME_MAX_SKIPPED, 10);
    }
}

static void traffic_in_one_piece(void **state)
{
    struct script *s = *state;
    struct client_message message;
    size_t at = 0, i = 0;
    ssize_t n;

    handshake(s);
    add_traffic(s);
    while (at < s->len) {
        n = client_read(&s->client, s->bytes + at, s->len - at, &message);
        assert_true(n > 0);
        check_traffic(i++, &message);
        at += (size_t)n;
    }
    assert_int_equal(i, 14);
    assert_int_equal(client_read(&s->client, s->bytes, 0, &message), 0);
    assert_int_equal(message.type, CLIENT_MESSAGE_NONE);
}

/* Reads from memory of just that size, so that a sanitizer sees any look beyond it. */
static void read_exact(struct script *s, size_t begin, size_t end, size_t *consumed, size_t *seen)
{
    struct client_message message;
    uint8_t *copy = malloc(end - begin);
    ssize_t n;

    assert_true(copy != NULL || end == begin);
    if (end > begin)
        memcpy(copy, s->bytes + begin, end - begin);
    n = client_read(&s->client, copy, end - begin, &message);
    assert_true(n >= 0);
    *consumed += (size_t)n;
    if (message.type != CLIENT_MESSAGE_NONE)
        check_traffic((*seen)++, &message);
    free(copy);
}

static void traffic_byte_by_byte(void **state)
{
    struct script *s = *state;
    struct client_message message;
    struct frame_header header;
    size_t begin = 0, seen = 0;

    handshake(s);
    add_traffic(s);
    for (size_t end = 0; end <= s->len; end++) {
        bool whole = frame_header_decode(s->bytes + begin, end - begin, &header) > 0 &&
                     end - begin == FRAME_HEADER_SIZE + header.length;

        if (whole || end - begin < 100) {
            read_exact(s, begin, end, &begin, &seen);
        } else {
            assert_int_equal(client_read(&s->client, s->bytes + begin, end - begin, &message), 0);
            assert_int_equal(message.type, CLIENT_MESSAGE_NONE);
        }
    }
    assert_int_equal(seen, 14);
    assert_int_equal(begin, s->len);
}

static void handshake_byte_by_byte(void **state)
{
    struct script *s = *state;
    struct client_message message = {0};
    uint8_t frame[HELLO_MAX_CLIENT_INFO];
    size_t begin = 0, end = 0;
    ssize_t n;

    add_text(s, SWITCHING "Derp-Version: 2\r\n\r\n");
    add_server_key(s);
    while (end <= s->len && message.type == CLIENT_MESSAGE_NONE) {
        n = client_read(&s->client, s->bytes + begin, end - begin, &message);
        assert_true(n >= 0);
        begin += (size_t)n;
        end++;
    }
    assert_int_equal(message.type, CLIENT_MESSAGE_SEND_INFO);
    assert_int_equal(begin, s->len);
    n = client_info_frame(&s->client, frame, sizeof(frame));
    assert_true(n > 0);
    open_client_info(s, frame, (size_t)n);
    add_server_info(s);
    message.type = CLIENT_MESSAGE_NONE;
    for (end = begin; end < s->len; end++) {
        assert_int_equal(client_read(&s->client, s->bytes + begin, end - begin, &message), 0);
        assert_int_equal(message.type, CLIENT_MESSAGE_NONE);
    }
    n = client_read(&s->client, s->bytes + begin, end - begin, &message);
    assert_int_equal(n, s->len - begin);
    assert_int_equal(message.type, CLIENT_MESSAGE_SERVER_INFO);
    assert_int_equal(message.server_info.version, 2);
    assert_int_equal(message.server_info.token_bucket_bytes_per_second, 1000);
    assert_int_equal(message.server_info.token_bucket_bytes_burst, 2000);
}

/* Starts over as a client that knows the relay's key. Reads its request as the relay would. */
static void fast_start(struct script *s)
{
    struct http_request request;
    uint8_t out[CLIENT_MAX_REQUEST];
    size_t scanned = 0;
    ssize_t n;
    int head;

    s->options.fast_start = true;
    s->options.server_key = s->server;
    assert_int_equal(client_init(&s->client, &s->options), 0);
    n = client_request(&s->client, out, sizeof(out));
    assert_true(n > 0);
    head = http_request_parse(&request, (char *)out, (size_t)n, &scanned);
    assert_true(head > 0 && head < n);
    assert_true(request.fast_start);
    open_client_info(s, out + head, (size_t)(n - head));
}

static void fast_start_skips_the_101(void **state)
{
    struct script *s = *state;
    struct client_message message;
    uint8_t frame[HELLO_MAX_CLIENT_INFO];
    ssize_t n;

    fast_start(s);
    add_server_key(s);
    add_server_info(s);
    n = client_read(&s->client, s->bytes, s->len, &message);
    assert_int_equal(n, s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_SERVER_INFO);
    assert_int_equal(s->client.state, CLIENT_OPEN);
    assert_int_equal(client_info_frame(&s->client, frame, sizeof(frame)), -EINVAL);
}

static void fast_start_with_a_101_all_the_same(void **state)
{
    struct script *s = *state;
    struct client_message message;

    fast_start(s);
    add_text(s, SWITCHING "\r\n");
    add_server_key(s);
    add_server_info(s);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_SERVER_INFO);
}

static void fast_start_refused(void **state)
{
    struct script *s = *state;
    struct client_message message;

    fast_start(s);
    add_text(s, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), -ECONNREFUSED);
}

static void fast_start_with_another_key(void **state)
{
    struct script *s = *state;
    struct client_message message;
    hyperderp_private_key other;

    fast_start(s);
    assert_int_equal(hyperderp_private_key_generate(&other), 0);
    hyperderp_private_key_public(&other, &s->server);
    add_server_key(s);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), -EPROTO);
}

static void expect_broken(struct script *s, int err)
{
    struct client_message message;

    memset(&message, 0x5a, sizeof(message));
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), err);
    assert_int_equal(((uint8_t *)&message)[0], 0x5a); /* untouched */
    assert_int_equal(s->client.state, CLIENT_BROKEN);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), -EPROTO);
}

static void other_status_is_refused(void **state)
{
    static const unsigned statuses[] = {200, 301, 403, 404, 426, 503};
    struct script *s = *state;
    char head[100];

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        assert_int_equal(client_init(&s->client, &s->options), 0);
        restart(s);
        snprintf(head, sizeof(head), "HTTP/1.1 %u Something\r\nServer: x\r\n\r\n", statuses[i]);
        add_text(s, head);
        expect_broken(s, -ECONNREFUSED);
    }
}

static void malformed_response(void **state)
{
    static const char *const heads[] = {
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/2 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade : DERP\r\n\r\n",
        "\x15\x03\x01\x02\x02\x16\r\n\r\n",
    };
    struct script *s = *state;

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        assert_int_equal(client_init(&s->client, &s->options), 0);
        restart(s);
        add_text(s, heads[i]);
        expect_broken(s, -EPROTO);
    }
}

static void endless_response(void **state)
{
    struct script *s = *state;

    add_text(s, SWITCHING);
    while (s->len <= HTTP_MAX_HEAD)
        add_text(s,
                 "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    expect_broken(s, -EPROTO);
}

/* Brings the client to where it waits for the ServerKey, and forgets the bytes. */
static void upgraded(struct script *s)
{
    struct client_message message;

    assert_int_equal(client_init(&s->client, &s->options), 0);
    restart(s);
    add_text(s, SWITCHING "\r\n");
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_NONE);
    restart(s);
}

static void malformed_server_key(void **state)
{
    struct script *s = *state;
    struct client_message message;

    upgraded(s);
    add_frame(s, FRAME_KEEP_ALIVE, 0, 0);
    expect_broken(s, -EPROTO);

    upgraded(s);
    add_header(s, FRAME_SERVER_KEY, 39);
    expect_broken(s, -EPROTO);

    upgraded(s);
    add_header(s, FRAME_SERVER_KEY, 1025);
    expect_broken(s, -EPROTO);

    upgraded(s);
    add_server_key(s);
    s->bytes[FRAME_HEADER_SIZE] ^= 1; /* the magic */
    expect_broken(s, -EPROTO);

    upgraded(s);
    add_server_key(s);
    memset(s->bytes + FRAME_HEADER_SIZE + 8, 0, HYPERDERP_KEY_SIZE);
    expect_broken(s, -EPROTO);

    upgraded(s); /* longer is allowed */
    add_server_key(s);
    add_text(s, "extension");
    s->bytes[4] = (uint8_t)(s->bytes[4] + 9);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_SEND_INFO);
}

/* Brings the client to where it waits for ServerInfo, with the relay ready to seal one. */
static void introduced(struct script *s)
{
    struct client_message message;
    uint8_t frame[HELLO_MAX_CLIENT_INFO];
    ssize_t n;

    upgraded(s);
    add_server_key(s);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    n = client_info_frame(&s->client, frame, sizeof(frame));
    assert_true(n > 0);
    open_client_info(s, frame, (size_t)n);
    restart(s);
}

static void malformed_server_info(void **state)
{
    struct script *s = *state;

    introduced(s);
    add_server_info(s);
    s->bytes[s->len - 1] ^= 1;
    expect_broken(s, -EPROTO);

    introduced(s);
    add_frame(s, FRAME_SERVER_INFO, HELLO_NONCE_SIZE, 0);
    expect_broken(s, -EPROTO);

    introduced(s);
    add_header(s, FRAME_SERVER_INFO, HELLO_NONCE_SIZE - 1);
    expect_broken(s, -EPROTO);

    introduced(s);
    add_header(s, FRAME_SERVER_INFO, HELLO_MAX_SERVER_INFO + 1);
    expect_broken(s, -EPROTO);

    introduced(s); /* a relay has one key */
    add_server_key(s);
    expect_broken(s, -EPROTO);
}

/* A Health frame says why a client is denied; what else may come there one day is skipped. */
static void frames_before_server_info(void **state)
{
    struct script *s = *state;
    struct client_message message;

    introduced(s);
    add_frame(s, FRAME_KEEP_ALIVE, 0, 0);
    add_frame(s, FRAME_RESTARTING, 8, 0);
    add_frame(s, 0x77, 3, 8);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_NONE);
    add_frame(s, FRAME_KEEP_ALIVE, 0, 0);
    add_frame(s, FRAME_HEALTH, 4, 0);
    size_t read = s->len;
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_HEALTH);
    assert_int_equal(message.len, 4);
    assert_int_equal(s->client.state, CLIENT_INFO);
    add_server_info(s);
    assert_int_equal(client_read(&s->client, s->bytes + read, s->len - read, &message),
                     s->len - read);
    assert_int_equal(message.type, CLIENT_MESSAGE_SERVER_INFO);
}

/* Whoever has seen a relay's key can tell it; only who owns it can make a ServerInfo. */
static void nothing_is_believed_before_server_info(void **state)
{
    static const uint8_t types[] = {FRAME_RECV_PACKET, FRAME_PEER_GONE, FRAME_PEER_PRESENT,
                                    FRAME_PING, FRAME_PONG};
    struct script *s = *state;

    for (size_t i = 0; i < sizeof(types); i++) {
        introduced(s);
        add_frame(s, types[i], 40, 0);
        expect_broken(s, -EPROTO);
    }
}

static void repeated_server_info_is_passed_on(void **state)
{
    struct script *s = *state;
    struct client_message message;

    handshake(s);
    add_frame(s, FRAME_SERVER_INFO, 60, 0);
    assert_int_equal(client_read(&s->client, s->bytes, s->len, &message), s->len);
    assert_int_equal(message.type, CLIENT_MESSAGE_OTHER);
    assert_int_equal(message.frame_type, FRAME_SERVER_INFO);
}

/* The length alone decides, before any payload has come. */
static void impossible_lengths(void **state)
{
    static const struct frame_header headers[] = {
        {FRAME_RECV_PACKET, 31},
        {FRAME_RECV_PACKET, 0},
        {FRAME_RECV_PACKET, HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET + 1},
        {FRAME_RECV_PACKET, UINT32_MAX},
        {FRAME_PEER_GONE, 31},
        {FRAME_PING, 7},
        {FRAME_PING, FRAME_MAX_PING + 1},
        {FRAME_PONG, 7},
        {FRAME_PONG, FRAME_MAX_PING + 1},
        {FRAME_RESTARTING, 7},
        {FRAME_HEALTH, FRAME_MAX_SKIPPED + 1},
        {FRAME_KEEP_ALIVE, FRAME_MAX_SKIPPED + 1},
        {0x00, FRAME_MAX_SKIPPED + 1},
        {0xff, UINT32_MAX},
        {FRAME_SERVER_KEY, 40},
    };
    struct script *s = *state;

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        assert_int_equal(client_init(&s->client, &s->options), 0);
        restart(s);
        handshake(s);
        add_header(s, headers[i].type, headers[i].length);
        if (headers[i].type == FRAME_SERVER_KEY)
            add(s, (uint8_t[40]){0}, 40);
        expect_broken(s, -EPROTO);
    }
}

static void packet_header_is_a_send_packet(void **state)
{
    uint8_t out[FRAME_PACKET_OVERHEAD];
    struct frame_header header;
    hyperderp_key to = {{1, 2, 3}};

    (void)state;
    client_packet_header(out, &to, FRAME_MAX_PACKET);
    assert_int_equal(frame_header_decode(out, sizeof(out), &header), FRAME_HEADER_SIZE);
    assert_int_equal(header.type, FRAME_SEND_PACKET);
    assert_int_equal(header.length, HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET);
    assert_true(key_same(&to, out + FRAME_HEADER_SIZE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(request_is_what_a_relay_expects),
        TEST(request_needs_room),
        TEST(init_refuses_bad_options),
        TEST(handshake_in_order),
        TEST(info_frame_only_when_asked_for),
        TEST(traffic_in_one_piece),
        TEST(traffic_byte_by_byte),
        TEST(handshake_byte_by_byte),
        TEST(fast_start_skips_the_101),
        TEST(fast_start_with_a_101_all_the_same),
        TEST(fast_start_refused),
        TEST(fast_start_with_another_key),
        TEST(other_status_is_refused),
        TEST(malformed_response),
        TEST(endless_response),
        TEST(malformed_server_key),
        TEST(malformed_server_info),
        TEST(frames_before_server_info),
        TEST(nothing_is_believed_before_server_info),
        TEST(repeated_server_info_is_passed_on),
        TEST(impossible_lengths),
        cmocka_unit_test(packet_header_is_a_send_packet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
