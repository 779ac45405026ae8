/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames: headers, the bounds of every type, names, and the bytes of the relay's own frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <hyperderp/hyperderp.h>

#include "wire/frame.h"

static void test_header_needs_five_bytes(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0x04, 0x01, 0x02, 0x03, 0x84};
    struct frame_header header = {0xee, 0xeeeeeeee};

    for (size_t n = 0; n < FRAME_HEADER_SIZE; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, bytes, n);
        assert_int_equal(frame_header_decode(copy, n, &header), 0);
        assert_int_equal(header.type, 0xee);
        free(copy);
    }
    assert_int_equal(frame_header_decode(bytes, sizeof(bytes), &header), FRAME_HEADER_SIZE);
    assert_int_equal(header.type, FRAME_SEND_PACKET);
    assert_int_equal(header.length, 0x01020384);
}

static void test_header_round_trip(void **state)
{
    (void)state;
    const uint32_t lengths[] = {0,       1,        0xff,      0x100,     0xffff,
                                0x10000, 0xffffff, 0x1000000, UINT32_MAX};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t bytes[FRAME_HEADER_SIZE];
        struct frame_header header;

        frame_header_encode(bytes, (uint8_t)(i * 31), lengths[i]);
        assert_int_equal(frame_header_decode(bytes, sizeof(bytes), &header), FRAME_HEADER_SIZE);
        assert_int_equal(header.type, (uint8_t)(i * 31));
        assert_int_equal(header.length, lengths[i]);
    }
}

struct bounds {
    uint8_t type;
    uint32_t min;
    uint32_t max;
};

static const struct bounds known_bounds[] = {
    {0x02, 72, 16384},      /* ClientInfo */
    {0x04, 32, 32 + 65536}, /* SendPacket */
    {0x07, 1, 1},           /* NotePreferred */
    {0x0a, 64, 64 + 65536}, /* ForwardPacket */
    {0x10, 0, 0},           /* WatchConns */
    {0x11, 32, 32},         /* ClosePeer */
    {0x12, 8, 1000},        /* Ping */
    {0x13, 8, 1000},        /* Pong */
};

static int check(uint8_t type, uint32_t length)
{
    struct frame_header header = {type, length};
    return frame_check_from_client(&header);
}

static void test_bounds_of_every_type(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        struct bounds b = {(uint8_t)type, 0, 1048576};

        for (size_t i = 0; i < sizeof(known_bounds) / sizeof(known_bounds[0]); i++) {
            if (known_bounds[i].type == type)
                b = known_bounds[i];
        }
        assert_int_equal(check(b.type, b.min), 0);
        assert_int_equal(check(b.type, b.max), 0);
        assert_int_equal(check(b.type, b.min + (b.max - b.min) / 2), 0);
        assert_int_equal(check(b.type, b.max + 1), -EMSGSIZE);
        assert_int_equal(check(b.type, UINT32_MAX), -EMSGSIZE);
        if (b.min > 0) {
            assert_int_equal(check(b.type, b.min - 1), -EBADMSG);
            assert_int_equal(check(b.type, 0), -EBADMSG);
        }
    }
}

static void test_type_names(void **state)
{
    (void)state;
    static const char *const names[256] = {
        [0x01] = "ServerKey",     [0x02] = "ClientInfo", [0x03] = "ServerInfo",
        [0x04] = "SendPacket",    [0x05] = "RecvPacket", [0x06] = "KeepAlive",
        [0x07] = "NotePreferred", [0x08] = "PeerGone",   [0x09] = "PeerPresent",
        [0x0a] = "ForwardPacket", [0x10] = "WatchConns", [0x11] = "ClosePeer",
        [0x12] = "Ping",          [0x13] = "Pong",       [0x14] = "Health",
        [0x15] = "Restarting",
    };

    for (unsigned type = 0; type < 256; type++)
        assert_string_equal(frame_type_name((uint8_t)type), names[type] ? names[type] : "unknown");
}

/* Encoders write to a buffer of the exact size, so that one byte too many is found by ASan. */
static void assert_frame(size_t (*encode)(uint8_t *out), const uint8_t *want, size_t size)
{
    uint8_t *out = malloc(size);

    assert_non_null(out);
    memset(out, 0xaa, size);
    assert_int_equal(encode(out), size);
    assert_memory_equal(out, want, size);
    free(out);
}

static size_t pong(uint8_t *out)
{
    const uint8_t ping[FRAME_PING_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8};
    return frame_encode_pong(out, ping);
}

static hyperderp_key peer_key(void)
{
    hyperderp_key key;

    for (size_t i = 0; i < sizeof(key.bytes); i++)
        key.bytes[i] = (uint8_t)(0x40 + i);
    return key;
}

static size_t peer_gone(uint8_t *out)
{
    hyperderp_key key = peer_key();
    return frame_encode_peer_gone(out, &key, PEER_GONE_NOT_HERE);
}

static size_t peer_left(uint8_t *out)
{
    hyperderp_key key = peer_key();
    return frame_encode_peer_gone(out, &key, PEER_GONE_DISCONNECTED);
}

static size_t restarting(uint8_t *out)
{
    return frame_encode_restarting(out, 0x01020384, 0xfeedf00d);
}

static size_t health(uint8_t *out)
{
    return frame_encode_health(out, "no!");
}

static size_t healthy(uint8_t *out)
{
    return frame_encode_health(out, "");
}

/* A text that is too long is cut, and its end is not read. */
static void test_long_health(void **state)
{
    char text[FRAME_MAX_HEALTH];
    uint8_t frame[FRAME_MAX_HEALTH + 1];

    (void)state;
    memset(text, 'x', sizeof(text));
    frame[FRAME_MAX_HEALTH] = 0xee;
    assert_int_equal(frame_encode_health(frame, text), FRAME_MAX_HEALTH);
    assert_int_equal(frame[FRAME_HEADER_SIZE - 1], FRAME_MAX_HEALTH - FRAME_HEADER_SIZE);
    assert_int_equal(frame[FRAME_MAX_HEALTH - 1], 'x');
    assert_int_equal(frame[FRAME_MAX_HEALTH], 0xee);
}

static void test_encoders(void **state)
{
    (void)state;
    static const uint8_t keep_alive_bytes[] = {0x06, 0, 0, 0, 0};
    static const uint8_t pong_bytes[] = {0x13, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t restarting_bytes[] = {0x15, 0,    0,    0,    8,    0x01, 0x02,
                                               0x03, 0x84, 0xfe, 0xed, 0xf0, 0x0d};
    static const uint8_t health_bytes[] = {0x14, 0, 0, 0, 3, 'n', 'o', '!'};
    static const uint8_t healthy_bytes[] = {0x14, 0, 0, 0, 0};
    uint8_t gone_bytes[5 + 32 + 1] = {0x08, 0, 0, 0, 33};
    hyperderp_key key = peer_key();

    assert_frame(frame_encode_keep_alive, keep_alive_bytes, sizeof(keep_alive_bytes));
    assert_frame(pong, pong_bytes, sizeof(pong_bytes));
    assert_frame(restarting, restarting_bytes, sizeof(restarting_bytes));
    assert_frame(health, health_bytes, sizeof(health_bytes));
    assert_frame(healthy, healthy_bytes, sizeof(healthy_bytes));
    memcpy(gone_bytes + 5, key.bytes, 32);
    assert_frame(peer_left, gone_bytes, sizeof(gone_bytes));
    gone_bytes[37] = 1;
    assert_frame(peer_gone, gone_bytes, sizeof(gone_bytes));

    assert_int_equal(FRAME_KEEP_ALIVE_SIZE, sizeof(keep_alive_bytes));
    assert_int_equal(FRAME_PONG_SIZE, sizeof(pong_bytes));
    assert_int_equal(FRAME_RESTARTING_SIZE, sizeof(restarting_bytes));
    assert_int_equal(FRAME_PEER_GONE_SIZE, sizeof(gone_bytes));
}

static void test_disco(void **state)
{
    (void)state;
    uint8_t packet[63] = {'T', 'S', 0xf0, 0x9f, 0x92, 0xac};

    assert_true(packet_is_disco(packet, 62));
    assert_true(packet_is_disco(packet, 63));
    for (size_t n = 0; n < 62; n++)
        assert_false(packet_is_disco(packet, n));
    for (size_t i = 0; i < 6; i++) {
        packet[i] ^= 0x80;
        assert_false(packet_is_disco(packet, 63));
        packet[i] ^= 0x80;
    }
    packet[6] = 0xff; /* the sender's key may be anything */
    assert_true(packet_is_disco(packet, 62));
}

static void test_version(void **state)
{
    (void)state;
    char want[32];

    snprintf(want, sizeof(want), "%d.%d.%d", HYPERDERP_VERSION_MAJOR, HYPERDERP_VERSION_MINOR,
             HYPERDERP_VERSION_PATCH);
    assert_string_equal(hyperderp_version(), want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_needs_five_bytes),
        cmocka_unit_test(test_header_round_trip),
        cmocka_unit_test(test_bounds_of_every_type),
        cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_encoders),
        cmocka_unit_test(test_long_health),
        cmocka_unit_test(test_disco),
        cmocka_unit_test(test_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
