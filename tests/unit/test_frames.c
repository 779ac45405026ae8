/* SPDX-License-Identifier: BSD-3-Clause */
/* Input of a connection, on both engines: however it is cut, what is skipped, and what ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay_fixture.h"

static void byte_by_byte(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct client client;
    uint8_t bytes[4096] = {0}, disco[100];

    fixture_start(&fixture, &options, 0);
    struct client_socket *other = fixture_join(&fixture, 0);
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    len += fixture_packet(bytes + len, client_socket_key(other), "", 0);
    len += fixture_packet(bytes + len, client_socket_key(other), "x", 1);
    frame_header_encode(bytes + len, 0x77, 3); /* no type that anybody knows */
    len += FRAME_HEADER_SIZE + 3;
    len += fixture_packet(bytes + len, client_socket_key(other), fixture_disco(disco), 100);
    int fd = fixture_connect(&fixture);
    for (size_t i = 0; i < len; i++)
        fixture_send(fd, bytes + i, 1);

    static const size_t sizes[] = {0, 1, 100};
    for (unsigned i = 0; i < 3; i++) {
        struct client_message message = fixture_expect(other, CLIENT_MESSAGE_PACKET);
        assert_true(hyperderp_key_equal(&message.peer, &client.public_key));
        assert_int_equal(message.len, sizes[i]);
    }
    assert_int_equal(fixture_counters(&fixture).unknown_frames, 1);
    fixture_hang_up(fd);
    client_wipe(&client);
    client_socket_close(other);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Whatever the cut, what comes out is the same: the stream in two pieces, and in random ones. */
static void cut_anywhere(void **state)
{
    enum { PACKETS = 40 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static uint8_t bytes[200000];
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    srandom(5);
    struct client_socket *other = fixture_join(&fixture, 0);
    for (unsigned round = 0; round < 20; round++) {
        struct client client;
        size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));

        for (unsigned i = 0; i < PACKETS; i++) {
            uint8_t packet[4000];
            size_t size = 1 + (size_t)random() % sizeof(packet);

            memset(packet, (int)i, size);
            len += fixture_packet(bytes + len, client_socket_key(other), packet, size);
        }
        int fd = fixture_connect(&fixture);
        for (size_t at = 0, piece; at < len; at += piece) {
            piece = 1 + (size_t)random() % (round < 10 ? 3000 : 40000);
            piece = piece < len - at ? piece : len - at;
            fixture_send(fd, bytes + at, piece);
        }
        for (unsigned i = 0; i < PACKETS; i++) {
            struct client_message message = fixture_expect(other, CLIENT_MESSAGE_PACKET);

            assert_int_equal(message.payload[0], i);
            assert_int_equal(message.payload[message.len - 1], i);
        }
        fixture_hang_up(fd);
        client_wipe(&client);
        fixture_expect(other, CLIENT_MESSAGE_PEER_GONE);
    }
    client_socket_close(other);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void all_in_one_write(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct client client;
    uint8_t bytes[8192] = {0};

    fixture_start(&fixture, &options, 0);
    struct client_socket *other = fixture_join(&fixture, 0);
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    for (uint8_t i = 0; i < 3; i++)
        len += fixture_packet(bytes + len, client_socket_key(other), &i, 1);
    frame_header_encode(bytes + len, FRAME_PING, FRAME_PING_SIZE);
    len += FRAME_HEADER_SIZE + FRAME_PING_SIZE;
    int fd = fixture_connect(&fixture);
    fixture_send(fd, bytes, len);
    fixture_read_until(fd, &client, CLIENT_MESSAGE_SERVER_INFO);
    fixture_read_until(fd, &client, CLIENT_MESSAGE_PONG);
    for (uint8_t i = 0; i < 3; i++)
        assert_int_equal(fixture_expect(other, CLIENT_MESSAGE_PACKET).payload[0], i);
    fixture_hang_up(fd);
    client_wipe(&client);
    client_socket_close(other);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void breaks_the_protocol(struct fixture *fixture, const uint8_t *bytes, size_t len)
{
    struct client_socket *client = fixture_join(fixture, 0);
    uint64_t before = fixture_counters(fixture).protocol_errors;

    assert_int_equal(client_socket_send_raw(client, bytes, len, FIXTURE_PATIENCE_MS), 0);
    (void)fixture_read_end(client_socket_fd(client));
    client_socket_close(client);
    fixture_wait(fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(fixture).protocol_errors, before + 1);
}

static void bad_frames_close(void **state)
{
    static const uint8_t frames[][FRAME_HEADER_SIZE] = {
        {FRAME_SEND_PACKET, 0, 0, 0, HYPERDERP_KEY_SIZE - 1},
        {FRAME_SEND_PACKET, 0, 1, 0, 33},
        {FRAME_PING, 0, 0, 0, 7},
        {FRAME_PING, 0, 0, 3, 0xe9},
        {FRAME_NOTE_PREFERRED},
        {FRAME_NOTE_PREFERRED, 0, 0, 0, 2},
        {0x77, 0, 0x10, 0, 1},
        {0x77, 0xff, 0xff, 0xff, 0xff},
    };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    struct client client;
    uint8_t bytes[2 * CLIENT_MAX_REQUEST];

    fixture_start(&fixture, &options, 0);
    for (unsigned i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
        breaks_the_protocol(&fixture, frames[i], FRAME_HEADER_SIZE);

    /* Before ClientInfo nothing else is allowed, and a ClientInfo must open. */
    int fd = fixture_connect(&fixture);
    FIXTURE_SEND_LITERAL(fd, FIXTURE_REQUEST "\x12\x00\x00\x00\x08");
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    size_t len = fixture_fast_request(&fixture, &client, bytes, sizeof(bytes));
    bytes[len - 1] ^= 1;
    fd = fixture_connect(&fixture);
    fixture_send(fd, bytes, len);
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_failed, 1 + 1);
    client_wipe(&client);
    fixture_stop(&fixture);
}

/* Unknown types of the largest size are skipped, and what follows them is found. */
static void unknown_frames_are_skipped(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    static uint8_t big[FRAME_HEADER_SIZE + FRAME_MAX_SKIPPED];
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *client = fixture_join(&fixture, 0);
    memset(big, FRAME_SEND_PACKET, sizeof(big));
    frame_header_encode(big, 0x77, FRAME_MAX_SKIPPED);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(client_socket_send_raw(client, big, sizeof(big), FIXTURE_PATIENCE_MS), 0);
    fixture_expect_nothing(client);
    assert_int_equal(fixture_counters(&fixture).unknown_frames, 3);
    assert_int_equal(fixture_counters(&fixture).packets_received, 0);
    client_socket_close(client);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(byte_by_byte),
        FIXTURE_ON_ALL(cut_anywhere),
        FIXTURE_ON_ALL(all_in_one_write),
        FIXTURE_ON_ALL(bad_frames_close),
        FIXTURE_ON_ALL(unknown_frames_are_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
