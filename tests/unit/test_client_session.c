/* SPDX-License-Identifier: BSD-3-Clause */
/* hyperderp_client, the public client without a socket: a relay of fixed bytes, whole and byte by
 * byte, hostile ones, bounds, misuse; and a real relay whose bytes come one at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hyperderp/allocator.h>
#include <hyperderp/client.h>

#include "client/session.h"
#include "relay_fixture.h"
#include "wire/hello.h"
#include "wire/http.h"

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"

static const hyperderp_key other = {{9, 8, 7}};
static char fault[HYPERDERP_FAULT_SIZE];

/* ---- What is left in freed memory ---- */

#define SECRET "what was said in confidence"

static unsigned left_behind; /* blocks that were freed with that in them */

static void *my_allocate(void *user, size_t bytes)
{
    (void)user;
    return malloc(bytes);
}

static void look_into(const void *block)
{
    if (memmem(block, malloc_usable_size((void *)(uintptr_t)block), SECRET, strlen(SECRET)))
        left_behind++;
}

static void my_deallocate(void *user, void *block)
{
    (void)user;
    look_into(block);
    free(block);
}

/* Always moves. */
static void *my_reallocate(void *user, void *block, size_t bytes)
{
    size_t old = malloc_usable_size(block);
    void *moved = malloc(bytes);

    if (!moved)
        return NULL;
    memcpy(moved, block, old < bytes ? old : bytes);
    my_deallocate(user, block);
    return moved;
}

/* ---- A relay of bytes ---- */

struct script {
    hyperderp_private_key private_key;
    hyperderp_key key;
    struct hello_secret secret;
    struct client_info info; /* what the client has said of itself */
    hyperderp_client_options options;
    hyperderp_client *client;
};

static int setup(void **state)
{
    struct script *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    assert_int_equal(hyperderp_private_key_generate(&s->private_key), 0);
    hyperderp_private_key_public(&s->private_key, &s->key);
    hyperderp_client_options_init(&s->options);
    s->options.security = HYPERDERP_CLIENT_PLAIN;
    s->options.host = "relay.example";
    s->options.fault = fault;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct script *s = *state;

    hyperderp_client_free(s->client);
    free(s);
    return 0;
}

static void make_client(struct script *s)
{
    hyperderp_client_free(s->client);
    assert_int_equal(hyperderp_client_new(&s->client, &s->options), 0);
    assert_string_equal(fault, "");
}

/* Takes all that the client wants to send; returns its size. */
static size_t take_output(hyperderp_client *client, uint8_t *out, size_t room)
{
    const void *bytes;
    size_t len;

    assert_int_equal(hyperderp_client_output(client, &bytes, &len), 0);
    assert_true(len <= room);
    if (len > 0)
        memcpy(out, bytes, len);
    assert_int_equal(hyperderp_client_consumed(client, len), 0);
    return len;
}

static const hyperderp_message *expect(hyperderp_client *client, hyperderp_message_type type)
{
    const hyperderp_message *message;
    int err = hyperderp_client_next(client, &message);

    if (err < 0)
        fail_msg("%s: %s", strerror(-err), hyperderp_client_fault(client));
    assert_int_equal(message->type, type);
    assert_int_equal(message->size, sizeof(*message));
    return message;
}

static void expect_none(hyperderp_client *client)
{
    const hyperderp_message *message = &(hyperderp_message){.len = 1};

    assert_int_equal(hyperderp_client_next(client, &message), -EAGAIN);
    assert_null(message);
    assert_string_equal(hyperderp_client_fault(client), "");
}

static void give(hyperderp_client *client, const void *bytes, size_t len)
{
    assert_int_equal(hyperderp_client_input(client, bytes, len), 0);
}

/* What the relay says up to its key, and what the client must have said by then. */
static void say_key(struct script *s)
{
    uint8_t frame[HELLO_SERVER_KEY_SIZE], said[4096];
    struct http_request request;
    size_t scanned = 0, len = take_output(s->client, said, sizeof(said));

    assert_int_equal(http_request_parse(&request, (char *)said, len, &scanned), (int)len);
    assert_int_equal(request.upgrade, HTTP_UPGRADE_DERP);
    assert_false(request.fast_start);
    assert_int_equal(hyperderp_client_send(s->client, &other, "x", 1), -EAGAIN);
    give(s->client, SWITCHING, strlen(SWITCHING));
    give(s->client, frame, hello_server_key_encode(frame, &s->key));
    expect_none(s->client);
}

static void say_info(struct script *s, const struct server_info *info)
{
    static const uint8_t nonce[HELLO_NONCE_SIZE] = {7};
    uint8_t said[4096], frame[HELLO_MAX_SERVER_INFO];
    hyperderp_key client, own;
    size_t len = take_output(s->client, said, sizeof(said));

    assert_true(len > FRAME_HEADER_SIZE);
    assert_int_equal(said[0], FRAME_CLIENT_INFO);
    assert_int_equal(hello_client_info_open(&s->private_key, said + FRAME_HEADER_SIZE,
                                            len - FRAME_HEADER_SIZE, &client, &s->info, &s->secret),
                     0);
    assert_int_equal(hyperderp_client_key(s->client, &own), 0);
    assert_true(hyperderp_key_equal(&client, &own));
    ssize_t size = hello_server_info_seal(&s->secret, nonce, info, frame, sizeof(frame));
    assert_true(size > 0);
    give(s->client, frame, (size_t)size);
}

/* A client that has joined. */
static void join(struct script *s)
{
    static const struct server_info info = {.version = DERP_PROTOCOL_VERSION,
                                            .token_bucket_bytes_per_second = 1000,
                                            .token_bucket_bytes_burst = 5000};
    hyperderp_key relay;

    make_client(s);
    assert_int_equal(hyperderp_client_relay_key(s->client, &relay), -EAGAIN);
    say_key(s);
    assert_int_equal(hyperderp_client_relay_key(s->client, &relay), 0);
    assert_true(hyperderp_key_equal(&relay, &s->key));
    say_info(s, &info);
    const hyperderp_message *message = expect(s->client, HYPERDERP_MESSAGE_SERVER_INFO);
    assert_int_equal(message->rate, 1000);
    assert_int_equal(message->burst, 5000);
    expect_none(s->client);
}

/* ---- What the relay says ---- */

/* Every frame of a relay, one behind the other. */
static size_t all_frames(uint8_t *out)
{
    const struct peer_present present = {
        .key = other,
        .ip = {[10] = 0xff, 0xff, 192, 0, 2, 1},
        .port = 4242,
        .flags = PEER_PRESENT_PROBER,
    };
    static const uint8_t data[FRAME_PING_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t *at = out;

    frame_header_encode(at, FRAME_RECV_PACKET, HYPERDERP_KEY_SIZE + 5);
    memcpy(at + FRAME_HEADER_SIZE, other.bytes, HYPERDERP_KEY_SIZE);
    memcpy(at + FRAME_PACKET_OVERHEAD, "hello", 5);
    at += FRAME_PACKET_OVERHEAD + 5;
    at += frame_encode_peer_gone(at, &other, PEER_GONE_NOT_HERE);
    at += frame_encode_peer_present(at, &present);
    at += frame_encode_pong(at, data);
    at[-FRAME_PONG_SIZE] = FRAME_PING;
    at += frame_encode_pong(at, data);
    at += frame_encode_keep_alive(at);
    at += frame_encode_health(at, "it hurts");
    at += frame_encode_restarting(at, 1000, 20000);
    frame_header_encode(at, 0x77, 3);
    memcpy(at + FRAME_HEADER_SIZE, "abc", 3);
    return (size_t)(at - out) + FRAME_HEADER_SIZE + 3;
}

/* The next message of any type, with bytes given one at a time until it is there. */
static const hyperderp_message *next_of(hyperderp_client *client, const uint8_t **at,
                                        const uint8_t *end, size_t part)
{
    const hyperderp_message *message;

    while (hyperderp_client_next(client, &message) == -EAGAIN) {
        size_t len = (size_t)(end - *at) < part ? (size_t)(end - *at) : part;
        assert_true(len > 0);
        give(client, *at, len);
        *at += len;
    }
    assert_non_null(message);
    return message;
}

static void every_message(void **state)
{
    static const size_t parts[] = {1, 7, 1000};
    struct script *s = *state;
    uint8_t bytes[1024];
    const uint8_t *end = bytes + all_frames(bytes);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const uint8_t *at = bytes;
        const hyperderp_message *m;

        join(s);
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_PACKET);
        assert_true(hyperderp_key_equal(&m->peer, &other));
        assert_int_equal(m->len, 5);
        assert_memory_equal(m->payload, "hello", 5);
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_PEER_GONE);
        assert_int_equal(m->reason, HYPERDERP_GONE_NOT_HERE);
        assert_true(hyperderp_key_equal(&m->peer, &other));
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_PEER_PRESENT);
        assert_int_equal(m->port, 4242);
        assert_int_equal(m->flags, 4);
        assert_memory_equal(m->ip + 12, "\xc0\0\2\1", 4);
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_PING);
        assert_int_equal(m->len, HYPERDERP_PING_SIZE);
        assert_memory_equal(m->payload, "\1\2\3\4\5\6\7\x08", 8);
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_PONG);
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_KEEP_ALIVE);
        assert_int_equal(m->len, 0);
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_HEALTH);
        assert_int_equal(m->len, 8);
        assert_memory_equal(m->payload, "it hurts", 8);
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_RESTARTING);
        assert_int_equal(m->reconnect_in_ms, 1000);
        assert_int_equal(m->try_for_ms, 20000);
        m = next_of(s->client, &at, end, parts[i]);
        assert_int_equal(m->type, HYPERDERP_MESSAGE_OTHER);
        assert_int_equal(m->frame_type, 0x77);
        assert_int_equal(m->len, 3);
        assert_ptr_equal(at, end);
        expect_none(s->client);
    }
}

/* An old relay tells a key and no more. */
static void peer_present_of_an_old_relay(void **state)
{
    struct script *s = *state;
    uint8_t frame[FRAME_PACKET_OVERHEAD];

    join(s);
    client_packet_header(frame, &other, 0);
    frame[0] = FRAME_PEER_PRESENT;
    give(s->client, frame, sizeof(frame));
    const hyperderp_message *message = expect(s->client, HYPERDERP_MESSAGE_PEER_PRESENT);
    assert_int_equal(message->port, 0);
    assert_int_equal(message->flags, 0);
    assert_null(message->payload);
}

/* ---- What the client says ---- */

static void expect_frame(hyperderp_client *client, enum frame_type type, const void *payload,
                         size_t len)
{
    static uint8_t said[FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET];
    struct frame_header header;

    assert_int_equal(take_output(client, said, sizeof(said)), FRAME_HEADER_SIZE + len);
    assert_int_equal(frame_header_decode(said, FRAME_HEADER_SIZE, &header), FRAME_HEADER_SIZE);
    assert_int_equal(header.type, type);
    assert_int_equal(header.length, len);
    if (len > 0)
        assert_memory_equal(said + FRAME_HEADER_SIZE, payload, len);
}

static void every_request(void **state)
{
    static uint8_t packet[HYPERDERP_KEY_SIZE + HYPERDERP_MAX_PACKET + 1];
    static const uint8_t data[HYPERDERP_PING_SIZE] = "pingpong";
    static const uint8_t yes = 1, no = 0;
    struct script *s = *state;

    s->options.mesh_key[5] = 9;
    s->options.server_key = s->key;
    s->options.app_name = "tester";
    s->options.is_prober = s->options.can_ack_pings = true;
    join(s);
    assert_true(s->info.is_prober);
    assert_true(s->info.can_ack_pings);
    assert_true(s->info.has_mesh_key);
    assert_memory_equal(s->info.mesh_key, s->options.mesh_key, sizeof(s->info.mesh_key));
    assert_string_equal(s->info.app_name, "tester");

    assert_int_equal(hyperderp_client_ping(s->client, data), 0);
    expect_frame(s->client, FRAME_PING, data, sizeof(data));
    assert_int_equal(hyperderp_client_pong(s->client, data), 0);
    expect_frame(s->client, FRAME_PONG, data, sizeof(data));
    assert_int_equal(hyperderp_client_watch(s->client), 0);
    expect_frame(s->client, FRAME_WATCH_CONNS, NULL, 0);
    assert_int_equal(hyperderp_client_note_preferred(s->client, true), 0);
    expect_frame(s->client, FRAME_NOTE_PREFERRED, &yes, 1);
    assert_int_equal(hyperderp_client_note_preferred(s->client, false), 0);
    expect_frame(s->client, FRAME_NOTE_PREFERRED, &no, 1);
    memcpy(packet, other.bytes, HYPERDERP_KEY_SIZE);
    memset(packet + HYPERDERP_KEY_SIZE, 'p', HYPERDERP_MAX_PACKET + 1);
    assert_int_equal(
        hyperderp_client_send(s->client, &other, packet + HYPERDERP_KEY_SIZE, HYPERDERP_MAX_PACKET),
        0);
    expect_frame(s->client, FRAME_SEND_PACKET, packet, HYPERDERP_KEY_SIZE + HYPERDERP_MAX_PACKET);
    assert_int_equal(hyperderp_client_send(s->client, &other, NULL, 0), 0);
    expect_frame(s->client, FRAME_SEND_PACKET, packet, HYPERDERP_KEY_SIZE);
    assert_int_equal(hyperderp_client_send(s->client, &other, packet, HYPERDERP_MAX_PACKET + 1),
                     -EMSGSIZE);
    assert_int_equal(take_output(s->client, packet, sizeof(packet)), 0);
}

static void nothing_is_sent_behind_the_end(void **state)
{
    static const uint8_t data[HYPERDERP_PING_SIZE];
    struct script *s = *state;
    uint8_t said[16];

    join(s);
    assert_int_equal(hyperderp_client_finish(s->client), 0);
    assert_int_equal(hyperderp_client_finish(s->client), -EPIPE);
    assert_int_equal(hyperderp_client_send(s->client, &other, "x", 1), -EPIPE);
    assert_int_equal(hyperderp_client_ping(s->client, data), -EPIPE);
    assert_int_equal(take_output(s->client, said, sizeof(said)), 0);
}

/* Nor is the handshake, when it is ended in the midst of that. */
static void nor_is_the_handshake(void **state)
{
    struct script *s = *state;
    uint8_t frame[HELLO_SERVER_KEY_SIZE], said[4096];

    make_client(s);
    assert_true(take_output(s->client, said, sizeof(said)) > 0);
    assert_int_equal(hyperderp_client_finish(s->client), 0);
    give(s->client, SWITCHING, strlen(SWITCHING));
    expect_none(s->client);
    give(s->client, frame, hello_server_key_encode(frame, &s->key));
    const hyperderp_message *message;
    assert_int_equal(hyperderp_client_next(s->client, &message), -EPIPE);
    assert_non_null(strstr(hyperderp_client_fault(s->client), "the client has ended"));
    assert_int_equal(take_output(s->client, said, sizeof(said)), 0);
}

/* The request and ClientInfo come together, and packets may follow at once. */
static void fast_start(void **state)
{
    struct script *s = *state;
    struct http_request request;
    uint8_t said[4096], frame[HELLO_SERVER_KEY_SIZE];
    size_t scanned = 0;
    hyperderp_key client;

    s->options.fast_start = true;
    s->options.server_key = s->key;
    make_client(s);
    assert_int_equal(hyperderp_client_send(s->client, &other, "early", 5), 0);
    size_t len = take_output(s->client, said, sizeof(said));
    int head = http_request_parse(&request, (char *)said, len, &scanned);
    assert_true(head > 0);
    assert_true(request.fast_start);
    size_t info = len - (size_t)head - FRAME_PACKET_OVERHEAD - 5;
    assert_int_equal(hello_client_info_open(&s->private_key, said + head + FRAME_HEADER_SIZE,
                                            info - FRAME_HEADER_SIZE, &client, &s->info,
                                            &s->secret),
                     0);
    assert_memory_equal(said + len - 5, "early", 5);
    give(s->client, frame, hello_server_key_encode(frame, &s->key));
    expect_none(s->client);
    assert_int_equal(take_output(s->client, said, sizeof(said)), 0);
}

/* ---- Bounds ---- */

static void output_is_bounded(void **state)
{
    static const uint8_t packet[HYPERDERP_MAX_PACKET];
    struct script *s = *state;
    const void *bytes;
    size_t len;
    int err, sent = 0;

    s->options.max_output = 131072;
    join(s);
    while ((err = hyperderp_client_send(s->client, &other, packet, 1000)) == 0)
        sent++;
    assert_int_equal(err, -ENOBUFS);
    assert_int_equal(sent, 131072 / (1000 + FRAME_PACKET_OVERHEAD));
    assert_int_equal(hyperderp_client_output(s->client, &bytes, &len), 0);
    assert_int_equal(len, (size_t)sent * (1000 + FRAME_PACKET_OVERHEAD));
    assert_int_equal(hyperderp_client_consumed(s->client, len + 1), -EINVAL);
    assert_int_equal(hyperderp_client_consumed(s->client, 1000 + FRAME_PACKET_OVERHEAD), 0);
    assert_int_equal(hyperderp_client_send(s->client, &other, packet, 1000), 0);
    assert_int_equal(hyperderp_client_send(s->client, &other, packet, 1000), -ENOBUFS);
    assert_int_equal(hyperderp_client_output(s->client, &bytes, &len), 0);
    assert_int_equal(hyperderp_client_consumed(s->client, len), 0);
    assert_int_equal(hyperderp_client_send(s->client, &other, packet, HYPERDERP_MAX_PACKET), 0);
}

static void input_is_bounded(void **state)
{
    static uint8_t keep_alives[HYPERDERP_CLIENT_MAX_INPUT];
    const size_t whole = sizeof(keep_alives) / FRAME_KEEP_ALIVE_SIZE * FRAME_KEEP_ALIVE_SIZE;
    struct script *s = *state;
    const hyperderp_message *message;
    size_t given = 0, got = 0;
    int err;

    for (size_t at = 0; at < whole; at += FRAME_KEEP_ALIVE_SIZE)
        frame_encode_keep_alive(keep_alives + at);
    join(s);
    while ((err = hyperderp_client_input(s->client, keep_alives, whole)) == 0)
        given += whole;
    assert_int_equal(err, -ENOBUFS);
    assert_in_range(given, CLIENT_MAX_FRAME - whole, CLIENT_MAX_FRAME + whole);
    while (hyperderp_client_next(s->client, &message) == 0)
        got++;
    assert_int_equal(got, given / FRAME_KEEP_ALIVE_SIZE);
    give(s->client, keep_alives, whole);
    expect(s->client, HYPERDERP_MESSAGE_KEEP_ALIVE);
    assert_int_equal(hyperderp_client_input(s->client, keep_alives, whole + 100), -EINVAL);
}

/* The largest frame that a relay may send comes through, and its memory is given back. */
static void the_largest_frame(void **state)
{
    static uint8_t part[HYPERDERP_CLIENT_MAX_INPUT];
    struct script *s = *state;
    uint8_t header[FRAME_HEADER_SIZE];

    join(s);
    for (int round = 0; round < 2; round++) {
        frame_header_encode(header, 0x55, FRAME_MAX_SKIPPED);
        give(s->client, header, sizeof(header));
        for (size_t at = 0; at < FRAME_MAX_SKIPPED; at += sizeof(part)) {
            expect_none(s->client);
            give(s->client, part, sizeof(part));
        }
        assert_int_equal(expect(s->client, HYPERDERP_MESSAGE_OTHER)->len, FRAME_MAX_SKIPPED);
        expect_none(s->client);
    }
}

/* Of packets nothing stays in memory that was given back: when buffers grow, shrink, or end. */
static void what_was_said_is_wiped(void **state)
{
    static uint8_t packet[FRAME_PACKET_OVERHEAD + HYPERDERP_MAX_PACKET];
    static uint8_t part[HYPERDERP_CLIENT_MAX_INPUT];
    struct script *s = *state;

    memcpy(packet, SECRET, strlen(SECRET));
    left_behind = 0;
    join(s);
    for (int i = 0; i < 3; i++) /* the output's buffer grows around it */
        assert_int_equal(hyperderp_client_send(s->client, &other, packet, HYPERDERP_MAX_PACKET), 0);
    memset(packet, 0, sizeof(packet));
    frame_header_encode(part, 0x55, FRAME_MAX_SKIPPED);
    for (size_t at = 0; at < sizeof(part) - FRAME_HEADER_SIZE - strlen(SECRET); at += 4096)
        memcpy(part + FRAME_HEADER_SIZE + at, SECRET, strlen(SECRET));
    for (size_t given = 0; given < CLIENT_MAX_FRAME; given += sizeof(part)) {
        size_t rest = CLIENT_MAX_FRAME - given;
        give(s->client, part, rest < sizeof(part) ? rest : sizeof(part));
        if (rest > sizeof(part))
            expect_none(s->client);
    }
    expect(s->client, HYPERDERP_MESSAGE_OTHER);
    expect_none(s->client);
    frame_header_encode(part, 0x55, 1000);
    give(s->client, part, 500); /* a large buffer was given back for this */
    hyperderp_client_free(s->client);
    s->client = NULL;
    assert_int_equal(left_behind, 0);
}

/* ---- Hostile relays ---- */

/* Feeds the bytes; the client must end with this error and words that hold `words`. */
static void expect_end(hyperderp_client *client, const void *bytes, size_t len, int error,
                       const char *words)
{
    const hyperderp_message *message;
    int err;

    if (len > 0)
        give(client, bytes, len);
    while ((err = hyperderp_client_next(client, &message)) == 0)
        continue;
    assert_int_equal(err, error);
    if (!strstr(hyperderp_client_fault(client), words))
        fail_msg("\"%s\" does not say \"%s\"", hyperderp_client_fault(client), words);
    assert_null(message);
    assert_int_equal(hyperderp_client_next(client, &message), error);
    assert_int_equal(hyperderp_client_input(client, "x", 1), error);
    assert_int_equal(hyperderp_client_send(client, &other, "x", 1), error);
    assert_int_equal(hyperderp_client_finish(client), error);
}

static void frames_of_impossible_lengths(void **state)
{
    static const struct {
        uint8_t type;
        uint32_t length;
    } frames[] = {
        {FRAME_RECV_PACKET, 31},
        {FRAME_RECV_PACKET, HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET + 1},
        {FRAME_RECV_PACKET, UINT32_MAX},
        {FRAME_PEER_GONE, 31},
        {FRAME_PEER_PRESENT, 0},
        {FRAME_PING, 7},
        {FRAME_PONG, 1001},
        {FRAME_RESTARTING, 7},
        {FRAME_SERVER_INFO, 10},
        {FRAME_SERVER_INFO, 100000},
        {0x99, FRAME_MAX_SKIPPED + 1},
        {FRAME_KEEP_ALIVE, UINT32_MAX},
    };
    struct script *s = *state;
    uint8_t header[FRAME_HEADER_SIZE];

    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        join(s);
        frame_header_encode(header, frames[i].type, frames[i].length);
        expect_end(s->client, header, sizeof(header), -EPROTO, "a length that its type does not");
    }
}

static void answers_that_are_none(void **state)
{
    static const struct {
        const char *answer;
        int error;
        const char *words;
    } answers[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", -EPROTO, "does not answer in HTTP"},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", -ECONNREFUSED, "HTTP status 403"},
        {"HTTP/1.1 200 OK\r\n\r\n", -ECONNREFUSED, "HTTP status 200"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
         -EPROTO, "another protocol than DERP"},
        {SWITCHING "\x06\0\0\0\0", -EPROTO, "its first frame is no ServerKey"},
    };
    struct script *s = *state;

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        size_t len = strlen(answers[i].answer);
        make_client(s);
        expect_end(s->client, answers[i].answer, i == 4 ? sizeof(SWITCHING) - 1 + 5 : len,
                   answers[i].error, answers[i].words);
    }
}

static void heads_without_end(void **state)
{
    static char head[2 * HTTP_MAX_HEAD];
    struct script *s = *state;

    memset(head, 'a', sizeof(head));
    memcpy(head, "HTTP/1.1 101 Switching Protocols\r\nX: ", 37);
    make_client(s);
    expect_end(s->client, head, sizeof(head), -EPROTO, "does not answer in HTTP");
}

static void keys_that_are_not_expected(void **state)
{
    struct script *s = *state;
    uint8_t frame[HELLO_SERVER_KEY_SIZE];

    for (int fast = 0; fast < 2; fast++) {
        s->options.server_key = (hyperderp_key){{9}};
        s->options.fast_start = fast;
        make_client(s);
        if (!fast)
            give(s->client, SWITCHING, strlen(SWITCHING));
        expect_end(s->client, frame, hello_server_key_encode(frame, &s->key), -EPROTO,
                   "another key than was expected");
    }
    s->options.fast_start = false;
    s->options.server_key = s->key;
    join(s);
    /* A second one, and one that is a weak point. */
    expect_end(s->client, frame, hello_server_key_encode(frame, &s->key), -EPROTO, "ServerKey");
    s->options.server_key = (hyperderp_key){{0}};
    make_client(s);
    give(s->client, SWITCHING, strlen(SWITCHING));
    expect_end(s->client, frame, hello_server_key_encode(frame, &s->options.server_key), -EPROTO,
               "no honest relay");
}

static void an_info_that_is_forged(void **state)
{
    struct script *s = *state;
    uint8_t forged[FRAME_HEADER_SIZE + 60] = {FRAME_SERVER_INFO, 0, 0, 0, 60};

    make_client(s);
    say_key(s);
    expect_end(s->client, forged, sizeof(forged), -EPROTO, "ServerInfo that does not open");
    join(s); /* one that repeats it is none: it may have new limits */
    give(s->client, forged, sizeof(forged));
    expect(s->client, HYPERDERP_MESSAGE_OTHER);
}

/* Who has but seen a relay's key can tell it: what comes before ServerInfo is not of that relay. */
static void a_relay_that_proves_nothing(void **state)
{
    struct script *s = *state;
    uint8_t frame[FRAME_PACKET_OVERHEAD + 64];
    const hyperderp_message *message;

    frame_header_encode(frame, FRAME_RECV_PACKET, HYPERDERP_KEY_SIZE + 5);
    memcpy(frame + FRAME_HEADER_SIZE, other.bytes, HYPERDERP_KEY_SIZE);
    memcpy(frame + FRAME_PACKET_OVERHEAD, "hello", 5);
    s->options.server_key = s->key;
    make_client(s);
    say_key(s);
    give(s->client, frame, FRAME_PACKET_OVERHEAD + 5);
    assert_int_equal(hyperderp_client_next(s->client, &message), -EPROTO);
    assert_non_null(strstr(hyperderp_client_fault(s->client), "before its ServerInfo"));

    /* Why it denies a client, it may say. */
    make_client(s);
    say_key(s);
    give(s->client, frame, frame_encode_keep_alive(frame));
    expect_none(s->client);
    give(s->client, frame, frame_encode_health(frame, "denied"));
    assert_int_equal(expect(s->client, HYPERDERP_MESSAGE_HEALTH)->len, 6);
}

/* recv() may have the error that TLS has. */
static void an_error_of_the_socket(void **state)
{
    struct script *s = *state;

    make_client(s);
    assert_int_equal(session_received(s->client, -EPROTO), -EPROTO);
    assert_string_equal(hyperderp_client_fault(s->client), strerror(EPROTO));

    s->options.security = HYPERDERP_CLIENT_TLS;
    make_client(s);
    assert_int_equal(session_received(s->client, -EPROTO), -EPROTO);
    assert_string_equal(hyperderp_client_fault(s->client), strerror(EPROTO));
}

static void ends_of_the_stream(void **state)
{
    struct script *s = *state;
    uint8_t frame[FRAME_RESTARTING_SIZE];

    make_client(s);
    give(s->client, NULL, 0);
    expect_end(s->client, NULL, 0, -EPIPE, "before it let the client in");
    join(s);
    give(s->client, frame, frame_encode_keep_alive(frame));
    give(s->client, NULL, 0);
    assert_int_equal(hyperderp_client_input(s->client, "x", 1), -EPIPE);
    expect(s->client, HYPERDERP_MESSAGE_KEEP_ALIVE); /* what came before is read first */
    expect_end(s->client, NULL, 0, -EPIPE, "the relay has closed the connection");
    join(s);
    give(s->client, frame, frame_encode_restarting(frame, 1, 2));
    give(s->client, NULL, 0);
    expect_end(s->client, NULL, 0, -EPIPE, "the relay restarts");
}

static uint64_t random_state = 88172645463325252u;

static unsigned random_below(unsigned bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state % bound);
}

/* Whatever a relay says, the client has messages, waits for more, or ends with words. */
static void noise(void **state)
{
    struct script *s = *state;
    uint8_t frames[1024], bytes[sizeof(frames)];
    size_t len = all_frames(frames);
    unsigned ended = 0;

    for (int round = 0; round < 2000; round++) {
        const hyperderp_message *message;
        int err = 0;

        join(s);
        memcpy(bytes, frames, len);
        for (unsigned flips = 1 + random_below(8); flips > 0; flips--)
            bytes[random_below((unsigned)len)] = (uint8_t)random_below(256);
        for (size_t at = 0, part; at < len && err >= 0; at += part) {
            part = 1 + random_below(200);
            part = part < len - at ? part : len - at;
            err = hyperderp_client_input(s->client, bytes + at, part);
            while (err == 0 && hyperderp_client_next(s->client, &message) == 0)
                assert_true(message->len <= len);
        }
        err = hyperderp_client_next(s->client, &message);
        assert_true(err == -EAGAIN || err == -EPROTO);
        assert_int_equal(err == -EPROTO, *hyperderp_client_fault(s->client) != '\0');
        ended += err == -EPROTO;
    }
    assert_in_range(ended, 1, 1999);
}

/* ---- Misuse ---- */

static void options_that_cannot_be(void **state)
{
    struct script *s = *state;
    hyperderp_client *client = s->client;
    hyperderp_client_options options;

#define REFUSED(change, words)                                                                     \
    do {                                                                                           \
        options = s->options;                                                                      \
        change;                                                                                    \
        client = (hyperderp_client *)&options;                                                     \
        assert_int_equal(hyperderp_client_new(&client, &options), -EINVAL);                        \
        assert_null(client);                                                                       \
        if (!strstr(fault, words))                                                                 \
            fail_msg("\"%s\" does not say \"%s\"", fault, words);                                  \
    } while (0)
    REFUSED(options.host = NULL, "host");
    REFUSED(options.host = "", "host");
    REFUSED(options.host = "relay\r\nX: y", "no host");
    REFUSED((options.security = HYPERDERP_CLIENT_TLS, options.host = "a b"), "no host");
    REFUSED(options.security = 7, "security");
    REFUSED(options.security = HYPERDERP_CLIENT_TLS_PIN, "pin");
    REFUSED(options.pin = "sha256-raw:00", "pin");
    REFUSED((options.pin = "sha256-raw:00", options.security = HYPERDERP_CLIENT_TLS_PIN), "64");
    REFUSED(options.ca_pem = "", "ca_pem");
    REFUSED((options.ca_pem = "none", options.security = HYPERDERP_CLIENT_TLS), "certificates");
    REFUSED(options.server_name = "x", "server_name");
    REFUSED((options.server_name = ".x", options.security = HYPERDERP_CLIENT_TLS), "\".x\"");
    REFUSED(options.fast_start = true, "server_key");
    REFUSED(options.mesh_key[0] = 1, "mesh_key without TLS needs options.server_key");
    REFUSED(options.max_output = 131071, "max_output");
    REFUSED(options.max_output = SIZE_MAX, "max_output");
#undef REFUSED
}

/* A program may print its fault after any error: it never holds what was there before. */
static void faults_of_every_error(void **state)
{
    struct script *s = *state;
    struct {
        hyperderp_client_options known;
        size_t unknown;
    } newer = {.known = s->options, .unknown = 1};
    hyperderp_client *client;
    hyperderp_connection *connection;

    newer.known.size = sizeof(newer);
    snprintf(fault, sizeof(fault), "old");
    assert_int_equal(hyperderp_client_new(&client, &newer.known), -E2BIG);
    assert_string_equal(fault, "");
    snprintf(fault, sizeof(fault), "old");
    assert_int_equal(hyperderp_client_new(NULL, &s->options), -EINVAL);
    assert_string_equal(fault, "");
    snprintf(fault, sizeof(fault), "old");
    assert_int_equal(hyperderp_connection_begin(&connection, "[::1]:1", &newer.known), -E2BIG);
    assert_string_equal(fault, "");
    snprintf(fault, sizeof(fault), "old");
    assert_int_equal(hyperderp_connection_open(&connection, NULL, &s->options, 0), -EINVAL);
    assert_string_equal(fault, "");

    /* Options that end before it have none. */
    snprintf(fault, sizeof(fault), "old");
    s->options.size = offsetof(hyperderp_client_options, fault);
    assert_int_equal(hyperderp_client_new(&client, &s->options), 0);
    hyperderp_client_free(client);
    assert_string_equal(fault, "old");
}

/* A program of an older header, whose options end earlier. */
static void options_of_an_older_program(void **state)
{
    struct script *s = *state;
    hyperderp_client_options options;

    memset(&options, 0xff, sizeof(options));
    hyperderp_client_options_init_sized(&options, offsetof(hyperderp_client_options, server_key));
    options.security = HYPERDERP_CLIENT_PLAIN;
    options.host = "relay.example";
    assert_int_equal(hyperderp_client_new(&s->client, &options), 0);
    options.size = 4;
    hyperderp_client *none;
    assert_int_equal(hyperderp_client_new(&none, &options), -EINVAL);
    assert_null(none);
}

/* ---- A real relay ---- */

/* Sends what is to be sent, and receives one byte. */
static void pump(hyperderp_client *client, int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    uint8_t said[8192], byte;
    size_t len = take_output(client, said, sizeof(said));

    if (len > 0)
        assert_int_equal(send(fd, said, len, MSG_NOSIGNAL), (ssize_t)len);
    assert_int_equal(poll(&item, 1, FIXTURE_PATIENCE_MS), 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    give(client, &byte, 1);
}

static void byte_by_byte(void **state)
{
    hyperderp_relay_options relay = fixture_options(fixture_engine(state), 1);
    const hyperderp_message *message;
    struct fixture fixture;
    hyperderp_client *client;
    hyperderp_key key;

    fixture_start(&fixture, &relay, 0);
    for (int fast = 0; fast < 2; fast++) {
        hyperderp_client_options options = fixture_client_options(&fixture);
        options.fast_start = fast;
        options.server_key = fixture.key;
        int fd = fixture_connect_bare(&fixture);
        assert_int_equal(hyperderp_client_new(&client, &options), 0);
        while (hyperderp_client_next(client, &message) == -EAGAIN)
            pump(client, fd);
        assert_non_null(message);
        assert_int_equal(message->type, HYPERDERP_MESSAGE_SERVER_INFO);
        assert_int_equal(hyperderp_client_key(client, &key), 0);
        assert_int_equal(hyperderp_client_send(client, &key, "to myself", 9), 0);
        while (hyperderp_client_next(client, &message) == -EAGAIN)
            pump(client, fd);
        assert_non_null(message);
        assert_int_equal(message->type, HYPERDERP_MESSAGE_PACKET);
        assert_memory_equal(message->payload, "to myself", 9);
        assert_int_equal(hyperderp_client_finish(client), 0);
        hyperderp_client_free(client);
        close(fd);
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Behind close_notify there is no request, although TLS would let it through, and no alert. */
static void nothing_follows_close_notify(void **state)
{
    static const uint8_t no_record[] = {0x17, 3, 3, 0xff, 0xff};
    hyperderp_relay_options relay = fixture_options(fixture_engine(state), 1);
    const hyperderp_message *message;
    struct fixture fixture;
    hyperderp_client *client;
    uint8_t said[8192];

    fixture_start(&fixture, &relay, 0);
    hyperderp_client_options options = fixture_client_options(&fixture);
    int fd = fixture_connect_bare(&fixture);
    assert_int_equal(hyperderp_client_new(&client, &options), 0);
    while (hyperderp_client_finish(client) == -EAGAIN)
        pump(client, fd);
    assert_true(take_output(client, said, sizeof(said)) > 0); /* of TLS itself */
    assert_int_equal(hyperderp_client_next(client, &message), -EPIPE);
    assert_non_null(strstr(hyperderp_client_fault(client), "the client has ended"));
    assert_int_equal(take_output(client, said, sizeof(said)), 0);
    hyperderp_client_free(client);
    close(fd);

    fd = fixture_connect_bare(&fixture);
    assert_int_equal(hyperderp_client_new(&client, &options), 0);
    while (hyperderp_client_next(client, &message) == -EAGAIN)
        pump(client, fd);
    assert_int_equal(hyperderp_client_finish(client), 0);
    assert_true(take_output(client, said, sizeof(said)) > 0);
    give(client, no_record, sizeof(no_record));
    assert_int_equal(hyperderp_client_next(client, &message), -EPROTO);
    assert_int_equal(take_output(client, said, sizeof(said)), 0);
    hyperderp_client_free(client);
    close(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

#define WITH_SCRIPT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRIPT(every_message),
        WITH_SCRIPT(peer_present_of_an_old_relay),
        WITH_SCRIPT(every_request),
        WITH_SCRIPT(nothing_is_sent_behind_the_end),
        WITH_SCRIPT(nor_is_the_handshake),
        WITH_SCRIPT(fast_start),
        WITH_SCRIPT(output_is_bounded),
        WITH_SCRIPT(input_is_bounded),
        WITH_SCRIPT(the_largest_frame),
        WITH_SCRIPT(what_was_said_is_wiped),
        WITH_SCRIPT(frames_of_impossible_lengths),
        WITH_SCRIPT(answers_that_are_none),
        WITH_SCRIPT(heads_without_end),
        WITH_SCRIPT(keys_that_are_not_expected),
        WITH_SCRIPT(an_info_that_is_forged),
        WITH_SCRIPT(a_relay_that_proves_nothing),
        WITH_SCRIPT(an_error_of_the_socket),
        WITH_SCRIPT(ends_of_the_stream),
        WITH_SCRIPT(noise),
        WITH_SCRIPT(options_that_cannot_be),
        WITH_SCRIPT(faults_of_every_error),
        WITH_SCRIPT(options_of_an_older_program),
        FIXTURE_ON_ALL(byte_by_byte),
        FIXTURE_ON_TLS(nothing_follows_close_notify),
    };

    const hyperderp_allocator allocator = {.size = sizeof(allocator),
                                           .allocate = my_allocate,
                                           .reallocate = my_reallocate,
                                           .deallocate = my_deallocate};
    if (hyperderp_set_allocator(&allocator) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
