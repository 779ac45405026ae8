/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections that come to nothing: slow ones in every state, half-open ones, storms of them. A
 * flood of SYNs is the kernel's affair and needs raw sockets: half open is here what has connected
 * and says nothing, or half of what is due, at TLS, HTTP or DERP.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"
#include "traffic.h"

/* ---- A byte at a time ------------------------------------------------------------------------ */

enum place { /* where a connection dawdles */
             PLACE_HELLO_OF_TLS,
             PLACE_HTTP,
             PLACE_CLIENT_INFO,
             PLACE_HEADER,
             PLACE_PACKET,
             PLACE_WEBSOCKET,
             PLACES,
};

#define DAWDLERS    300
#define DAWDLE_MS   20
#define DAWDLE_SIZE 2048

/* One that has got to its place, and what it says from there, without end but for the deadline. */
struct dawdler {
    struct client_socket *client; /* of one that has joined, instead of the stream */
    struct client_stream stream;
    bool unsealed;
    uint8_t bytes[DAWDLE_SIZE];
    size_t at;
};

/* The longest request head, or DERP's: what a client could go on saying for long. */
static bool begin_dawdling(struct attacker *attacker, struct dawdler *dawdler, enum place place)
{
    static const char request[] = "GET /derp HTTP/1.1\r\nHost: relay.example\r\nX-Slow: ";
    static const char upgrade[] = "GET /derp HTTP/1.1\r\nHost: relay.example\r\n"
                                  "Connection: Upgrade\r\nUpgrade: DERP\r\n\r\n";
    static const uint8_t client_hello[] = {22, 3, 1, 4, 0, 1, 0, 3, 0xfc, 3, 3};
    uint8_t *bytes = dawdler->bytes;

    memset(bytes, 'a', DAWDLE_SIZE);
    dawdler->stream.fd = -1;
    if (place == PLACE_HELLO_OF_TLS) {
        dawdler->unsealed = true;
        memcpy(bytes, client_hello, sizeof(client_hello));
        dawdler->stream.fd = attack_dial(attacker);
        return dawdler->stream.fd >= 0;
    }
    if (place == PLACE_WEBSOCKET) {
        (void)attack_message(bytes, 2, "", 0);
        bytes[1] = 0x80 | 126; /* 64 KiB are announced */
        bytes[2] = bytes[3] = 0xff;
        return attack_join_websocket(attacker, &dawdler->stream);
    }
    if (!attack_connect(attacker, &dawdler->stream))
        return false;
    if (place == PLACE_HTTP)
        memcpy(bytes, request, strlen(request));
    else if (!attack_write(attacker, &dawdler->stream, upgrade, strlen(upgrade)))
        return false;
    if (place == PLACE_CLIENT_INFO)
        frame_header_encode(bytes, FRAME_CLIENT_INFO, 1000);
    return true;
}

/* One that has joined before it dawdles: in the headers of frames that nobody knows and that have
 * no content, or in a packet. */
static bool join_dawdler(struct attacker *attacker, struct dawdler *dawdler, enum place place)
{
    const hyperderp_key nobody = {{1}};

    if (place == PLACE_PACKET)
        client_packet_header(dawdler->bytes, &nobody, FRAME_MAX_PACKET);
    dawdler->client = attack_join(attacker, NULL);
    return dawdler->client != NULL;
}

/* Who has been closed at a deadline, or for what it said, has been dealt with. */
static void say_a_byte(struct attacker *attacker, struct dawdler *dawdler)
{
    const uint8_t *byte = &dawdler->bytes[dawdler->at % DAWDLE_SIZE];
    bool good;

    if (dawdler->client) {
        good = attack_send(attacker, dawdler->client, byte, 1);
    } else {
        attack_discard(dawdler->stream.fd);
        good = dawdler->unsealed ? send(dawdler->stream.fd, byte, 1, MSG_NOSIGNAL) == 1
                                 : attack_write(attacker, &dawdler->stream, byte, 1);
    }
    dawdler->at++;
    attacker->done += good;
}

static void run_slow(struct attacker *attacker)
{
    static struct dawdler dawdlers[DAWDLERS];
    unsigned count = FEWER(DAWDLERS), begun = 0;

    memset(dawdlers, 0, sizeof(dawdlers));
    for (bool good = true; begun < count && good; begun++) {
        enum place place = begun % PLACES;
        bool joined = place == PLACE_PACKET || place == PLACE_HEADER;
        good = joined ? join_dawdler(attacker, &dawdlers[begun], place)
                      : begin_dawdling(attacker, &dawdlers[begun], place);
    }
    while (attack_goes_on(attacker)) {
        for (unsigned i = 0; i < begun && !attacker->fault; i++)
            say_a_byte(attacker, &dawdlers[i]);
        (void)poll(NULL, 0, DAWDLE_MS); /* the slowness */
    }
    for (unsigned i = 0; i < begun; i++) {
        if (dawdlers[i].client)
            client_socket_close(dawdlers[i].client);
        else
            client_stream_close(&dawdlers[i].stream);
    }
}

static void test_slow(void **state)
{
    static const struct attack attack = {
        .name = "a byte every 20 ms from 300 connections in six states",
        .unit = "bytes",
        .threads = 1,
        .run = run_slow,
        .least = FEWER(DAWDLERS) * 20,
        .connections = DAWDLERS,
    };
    attack_run(&attack, state);
}

/* ---- Half open ------------------------------------------------------------------------------- */

#define HALF_OPEN 3000

/* What has been said when nothing more comes: nothing, half a request or ClientHello, a whole one.
 */
static bool half_open(struct attacker *attacker, unsigned number, int *fd)
{
    const struct client_tls_options *trust = client_trust();
    static const char request[] = "GET /derp HTTP/1.1\r\nHost: relay.example\r\n"
                                  "Connection: Upgrade\r\nUpgrade: DERP\r\n\r\n";
    const uint8_t *bytes = (const uint8_t *)request;
    size_t len = sizeof(request) - 1;
    struct client_tls tls = {0};

    *fd = attack_dial(attacker);
    if (*fd < 0)
        return false;
    if (trust && number % 3 > 0) {
        if (client_tls_begin(&tls, trust->client, "127.0.0.1") != 0)
            return attack_fault(attacker, "a ClientHello", -ENOMEM);
        len = client_tls_output(&tls, &bytes);
    }
    if (number % 3 > 0)
        (void)!send(*fd, bytes, number % 3 == 1 ? len / 2 : len, MSG_NOSIGNAL);
    client_tls_wipe(&tls);
    return true;
}

static void run_half_open(struct attacker *attacker)
{
    static int fds[HALF_OPEN];
    unsigned count = FEWER(HALF_OPEN), next = 0;

    for (unsigned i = 0; i < count; i++)
        fds[i] = -1;
    /* The oldest makes way for the next one, by a reset or not. */
    while (attack_goes_on(attacker)) {
        if (fds[next] >= 0 && next % 2)
            attack_reset(fds[next]);
        else if (fds[next] >= 0)
            close(fds[next]);
        if (!half_open(attacker, next, &fds[next]))
            break;
        attacker->done++;
        next = (next + 1) % count;
    }
    for (unsigned i = 0; i < count; i++)
        attack_reset(fds[i]);
}

static void test_half_open(void **state)
{
    static const struct attack attack = {
        .name = "a flood of 3,000 half-open connections",
        .unit = "connections",
        .threads = 1,
        .run = run_half_open,
        .least = FEWER(HALF_OPEN) + 100,
        .connections = HALF_OPEN,
    };
    attack_run(&attack, state);
}

/* ---- Storms ---------------------------------------------------------------------------------- */

/* Connects and is gone: by a reset, by a close, or with a request behind which nobody is. */
static void run_connects(struct attacker *attacker)
{
    static const char request[] = "GET /derp HTTP/1.1\r\nHost: relay.example\r\n"
                                  "Connection: Upgrade\r\nUpgrade: DERP\r\n\r\n";

    while (attack_goes_on(attacker)) {
        int fd = attack_dial(attacker);
        if (fd < 0)
            return;
        if (attacker->done % 4 == 3)
            (void)!send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
        if (attacker->done % 2)
            attack_reset(fd);
        else
            close(fd);
        attacker->done++;
    }
}

static void test_connects(void **state)
{
    static const struct attack attack = {
        .name = "connections opened and closed at once, as fast as can be",
        .unit = "connections",
        .threads = 4,
        .run = run_connects,
        .least = FEWER(5000),
        .connections = 4096, /* the backlog */
    };
    attack_run(&attack, state);
}

/* Joins with a new key, and leaves. */
static void run_joins(struct attacker *attacker)
{
    while (attack_goes_on(attacker)) {
        struct client_socket *client = attack_join(attacker, NULL);
        if (!client)
            return;
        client_socket_close(client);
        attacker->done++;
    }
}

static void test_joins(void **state)
{
    static const struct attack attack = {
        .name = "clients that join and leave at once",
        .unit = "clients",
        .threads = 4,
        .run = run_joins,
        .least = FEWER(400),
        .connections = 64,
    };
    attack_run(&attack, state);
}

/* ---- Denied ---------------------------------------------------------------------------------- */

#define DENIED         3000
#define DENIED_THREADS 2

/* The relay says why and keeps who was denied for a while, so that it does not come again at once:
 * as many as that hang on, and come again for all that. */
static void run_denied(struct attacker *attacker)
{
    static int all[DENIED_THREADS][DENIED / DENIED_THREADS];
    int *fds = all[attacker->number];
    unsigned count = FEWER(DENIED / DENIED_THREADS), next = 0;

    for (unsigned i = 0; i < count; i++)
        fds[i] = -1;
    while (attack_goes_on(attacker)) {
        attack_reset(fds[next]);
        fds[next] = attack_knock(attacker);
        if (fds[next] < 0)
            break;
        attacker->done++;
        next = (next + 1) % count;
    }
    for (unsigned i = 0; i < count; i++)
        attack_reset(fds[i]);
}

static void test_denied(void **state)
{
    static const struct attack attack = {
        .name = "clients that are denied, hang on and come again",
        .unit = "clients",
        .threads = DENIED_THREADS,
        .run = run_denied,
        .least = FEWER(1000),
        .connections = DENIED,
        .counted = "handshakes_denied",
        .by_list = true,
    };
    attack_run(&attack, state);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"slow", test_slow, CELLS_ENGINES | CELLS_TLS_ALONE},
        {"half_open", test_half_open, CELLS_ENGINES | CELLS_TLS},
        {"connects", test_connects, CELLS_ALL},
        {"joins", test_joins, CELLS_ENGINES | CELLS_TLS},
        {"denied", test_denied, CELLS_ENGINES | CELLS_TLS},
    };
    return matrix_run("hostile_connect", tests, sizeof(tests) / sizeof(tests[0]));
}
