/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames as a weapon: the largest, those of a wrong length, pings, and pings of WebSocket. */
#include <errno.h>
#include <string.h>
#include <sys/param.h>

#include "attack.h"

#define CHUNK   16384
#define THREADS 4

/* ---- The largest packets --------------------------------------------------------------------- */

#define LARGEST 65535

static void run_largest(struct attacker *attacker)
{
    static uint8_t packets[THREADS][FRAME_PACKET_OVERHEAD + LARGEST];
    uint8_t *packet = packets[attacker->number];
    struct client_socket *ends[2] = {NULL};

    if (attack_join_all(attacker, ends, 2, NULL)) {
        size_t size = attack_packet(packet, client_socket_key(ends[1]), LARGEST, false);
        while (attack_goes_on(attacker)) {
            if (!attack_send(attacker, ends[0], packet, size))
                attack_fault(attacker, "the relay has closed", -EPIPE);
            attack_discard(client_socket_fd(ends[1]));
            attacker->done++;
        }
    }
    attack_close_all(ends, 2);
}

static void test_largest(void **state)
{
    static const struct attack attack = {
        .name = "packets of 65,535 bytes, four senders flat out",
        .unit = "packets",
        .threads = THREADS,
        .run = run_largest,
        .least = FEWER(2000),
        .connections = 2 * THREADS,
        .counted = "packets_delivered",
    };
    attack_run(&attack, state);
}

/* ---- Wrong lengths --------------------------------------------------------------------------- */

/* The lengths that a frame from a client may have. */
static const struct shape {
    uint8_t type;
    uint32_t min, max;
} shapes[] = {
    {FRAME_SEND_PACKET, HYPERDERP_KEY_SIZE, HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET},
    {FRAME_CLIENT_INFO, HYPERDERP_KEY_SIZE + 40, FRAME_MAX_CLIENT_INFO},
    {FRAME_NOTE_PREFERRED, 1, 1},
    {FRAME_WATCH_CONNS, 0, 0},
    {FRAME_CLOSE_PEER, HYPERDERP_KEY_SIZE, HYPERDERP_KEY_SIZE},
    {FRAME_FORWARD_PACKET, 2 * HYPERDERP_KEY_SIZE, 2 * HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET},
    {FRAME_PING, FRAME_PING_SIZE, FRAME_MAX_PING},
    {FRAME_PONG, FRAME_PING_SIZE, FRAME_MAX_PING},
    {0x7f, 0, FRAME_MAX_SKIPPED},
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* Of those that are too long, each distance from the longest that is a power of two. */
#define TOO_LONG 32

static unsigned count_wrong(void)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < SHAPES; i++)
        sum += shapes[i].min + TOO_LONG;
    return sum;
}

static struct frame_header wrong_header(unsigned number)
{
    const struct shape *shape = shapes;

    number %= count_wrong();
    for (; number >= shape->min + TOO_LONG; shape++)
        number -= shape->min + TOO_LONG;
    uint32_t length = number;
    if (number >= shape->min)
        length = number + 1 < shape->min + TOO_LONG ? shape->max + (1u << (number - shape->min))
                                                    : UINT32_MAX;
    return (struct frame_header){.type = shape->type, .length = length};
}

static void run_lengths(struct attacker *attacker)
{
    uint8_t frame[FRAME_HEADER_SIZE + 100];

    memset(frame, 0x5a, sizeof(frame));
    for (unsigned number = attacker->number; attack_goes_on(attacker); number += THREADS) {
        struct frame_header header = wrong_header(number);
        struct client_socket *client = attack_join(attacker, NULL);
        if (!client)
            return;
        frame_header_encode(frame, header.type, header.length);
        (void)attack_send(attacker, client, frame,
                          FRAME_HEADER_SIZE + (size_t)MIN(header.length, 100));
        (void)attack_expect_end(attacker, client_socket_fd(client));
        client_socket_close(client);
        attacker->done++;
    }
}

static void test_lengths(void **state)
{
    struct attack attack = {
        .name = "frames of each type and each wrong length, a new client for each",
        .unit = "frames",
        .threads = THREADS,
        .run = run_lengths,
        .least = count_wrong(),
        .connections = 4 * THREADS,
        .counted = "protocol_errors",
    };
    attack_run(&attack, state);
}

/* ---- Pings ----------------------------------------------------------------------------------- */

static void run_pings(struct attacker *attacker)
{
    static uint8_t chunks[THREADS][CHUNK];
    struct client_socket *client = attack_join(attacker, NULL);
    uint8_t *chunk = chunks[attacker->number];
    size_t size = 0;

    memset(chunk, 0, CHUNK);
    for (; size + FRAME_HEADER_SIZE + FRAME_PING_SIZE <= CHUNK;
         size += FRAME_HEADER_SIZE + FRAME_PING_SIZE)
        frame_header_encode(chunk + size, FRAME_PING, FRAME_PING_SIZE);
    while (client && attack_goes_on(attacker)) {
        if (!attack_send(attacker, client, chunk, size))
            attack_fault(attacker, "the relay has closed", -EPIPE);
        attacker->done += size / (FRAME_HEADER_SIZE + FRAME_PING_SIZE);
    }
    client_socket_close(client);
}

static void test_pings(void **state)
{
    static const struct attack attack = {
        .name = "pings, four clients flat out",
        .unit = "pings",
        .threads = THREADS,
        .run = run_pings,
        .least = FEWER(100000),
        .connections = THREADS,
        .counted = "pongs",
    };
    attack_run(&attack, state);
}

#define OPCODE_PING 9
#define PING_BYTES  4

static void run_websocket_pings(struct attacker *attacker)
{
    static uint8_t chunks[THREADS][CHUNK];
    uint8_t *chunk = chunks[attacker->number];
    struct client_stream stream;
    size_t size = 0, one = 0;

    for (; size + PING_BYTES + ATTACK_MESSAGE_OVERHEAD <= CHUNK; size += one)
        one = attack_message(chunk + size, OPCODE_PING, "ping", PING_BYTES);
    bool good = attack_join_websocket(attacker, &stream);
    while (good && attack_goes_on(attacker)) {
        attack_discard(stream.fd);
        if (!attack_write(attacker, &stream, chunk, size))
            attack_fault(attacker, "the relay has closed", -EPIPE);
        attacker->done += size / one;
    }
    client_stream_close(&stream);
}

static void test_websocket_pings(void **state)
{
    static const struct attack attack = {
        .name = "pings of WebSocket, four clients flat out",
        .unit = "pings",
        .threads = THREADS,
        .run = run_websocket_pings,
        .least = FEWER(100000),
        .connections = THREADS,
        .counted = "websocket_upgrades",
    };
    attack_run(&attack, state);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"largest", test_largest, CELLS_ALL},
        {"lengths", test_lengths, CELLS_ENGINES},
        {"pings", test_pings, CELLS_ENGINES},
        {"websocket_pings", test_websocket_pings, CELLS_ENGINES | CELLS_TLS},
    };
    return matrix_run("hostile_frames", tests, sizeof(tests) / sizeof(tests[0]));
}
