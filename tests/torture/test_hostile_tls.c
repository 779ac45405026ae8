/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS as a weapon: handshakes that are given up, messages of the handshake behind it, KeyUpdates,
 * records of a byte. TLS 1.3 has no renegotiation: who asks for one is ended. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"
#include "tls/record.h"
#include "traffic.h"

#define THREADS 4

/* ---- Handshakes ------------------------------------------------------------------------------ */

/* A ClientHello, good for any number of connections, and gone: the relay's part of the handshake
 * is the expensive one. */
static void run_given_up(struct attacker *attacker)
{
    const struct client_tls_options *trust = client_trust();
    struct client_tls tls = {0};
    const uint8_t *hello;

    if (client_tls_begin(&tls, trust->client, "127.0.0.1") != 0) {
        attack_fault(attacker, "a ClientHello", -ENOMEM);
        return;
    }
    size_t len = client_tls_output(&tls, &hello);
    while (attack_goes_on(attacker)) {
        int fd = attack_dial(attacker);
        if (fd < 0)
            break;
        (void)!send(fd, hello, len, MSG_NOSIGNAL);
        if (attacker->done % 2)
            attack_reset(fd);
        else
            close(fd);
        attacker->done++;
    }
    client_tls_wipe(&tls);
}

static void test_given_up(void **state)
{
    static const struct attack attack = {
        .name = "ClientHellos of clients that are gone",
        .unit = "connections",
        .threads = THREADS,
        .run = run_given_up,
        .least = FEWER(4000),
        .connections = 4096, /* the backlog */
        .counted = "tls_abandoned",
    };
    attack_run(&attack, state);
}

/* ---- Messages of the handshake behind it ----------------------------------------------------- */

static void run_renegotiation(struct attacker *attacker)
{
    static const uint8_t hello_request[] = {0, 0, 0, 0};
    uint8_t client_hello[260] = {1, 0, 1, 0};

    while (attack_goes_on(attacker)) {
        bool request = attacker->done % 2;
        struct client_socket *client = attack_join(attacker, NULL);
        if (!client)
            return;
        (void)client_socket_send_record(
            client, TLS_CONTENT_HANDSHAKE, request ? hello_request : client_hello,
            request ? sizeof(hello_request) : sizeof(client_hello), 0, PATIENCE_MS);
        attack_expect_end(attacker, client_socket_fd(client));
        client_socket_close(client);
        attacker->done++;
    }
}

static void test_renegotiation(void **state)
{
    static const struct attack attack = {
        .name = "renegotiation (ClientHello, HelloRequest), a new client for each",
        .unit = "attempts",
        .threads = THREADS,
        .run = run_renegotiation,
        .least = FEWER(200),
        .connections = 4 * THREADS,
        .counted = "tls_alerts_sent",
    };
    attack_run(&attack, state);
}

/* ---- KeyUpdates ------------------------------------------------------------------------------ */

static const uint8_t ping[FRAME_HEADER_SIZE + FRAME_PING_SIZE] = {FRAME_PING, 0, 0, 0,
                                                                  FRAME_PING_SIZE};

/* So many KeyUpdates in a row; false when the relay has ended it. */
static bool update_keys(struct attacker *attacker, struct client_socket *client, unsigned count)
{
    attack_discard(client_socket_fd(client));
    for (unsigned i = 0; i < count; i++) {
        int error = client_socket_send_key_update(client, i % 2, PATIENCE_MS);
        if (error == -EPIPE || error == -ECONNRESET)
            return false;
        if (error)
            return attack_fault(attacker, "a KeyUpdate", error);
    }
    return true;
}

/* As many as are allowed without data between them, over and over. */
static void update_and_ping(struct attacker *attacker)
{
    struct client_socket *client = attack_join(attacker, NULL);

    while (client && attack_goes_on(attacker)) {
        if (!update_keys(attacker, client, TLS_MAX_IDLE_RECORDS) ||
            !attack_send(attacker, client, ping, sizeof(ping)))
            attack_fault(attacker, "the relay has closed", -EPIPE);
        attacker->done += TLS_MAX_IDLE_RECORDS;
    }
    client_socket_close(client);
}

/* More than are allowed; and again. */
static void update_without_end(struct attacker *attacker)
{
    while (attack_goes_on(attacker)) {
        struct client_socket *client = attack_join(attacker, NULL);
        if (!client)
            return;
        (void)update_keys(attacker, client, TLS_MAX_IDLE_RECORDS + 1);
        attack_expect_end(attacker, client_socket_fd(client));
        client_socket_close(client);
        attacker->done += TLS_MAX_IDLE_RECORDS + 1;
    }
}

static void run_updates(struct attacker *attacker)
{
    if (attacker->number == 0)
        update_without_end(attacker);
    else
        update_and_ping(attacker);
}

static void test_updates(void **state)
{
    static const struct attack attack = {
        .name = "KeyUpdates flat out, with and without data between them",
        .unit = "KeyUpdates",
        .threads = THREADS,
        .run = run_updates,
        .least = FEWER(10000),
        .connections = 4 * THREADS,
        .counted = "tls_key_updates",
    };
    attack_run(&attack, state);
}

/* ---- Records of a byte ----------------------------------------------------------------------- */

static void run_bytes(struct attacker *attacker)
{
    struct client_socket *client = attack_join(attacker, NULL);

    while (client && attack_goes_on(attacker)) {
        for (unsigned i = 0; i < sizeof(ping); i++)
            if (!attack_send(attacker, client, ping + i, 1))
                attack_fault(attacker, "the relay has closed", -EPIPE);
        attacker->done += sizeof(ping);
    }
    client_socket_close(client);
}

static void test_bytes(void **state)
{
    static const struct attack attack = {
        .name = "pings in records of a byte, flat out",
        .unit = "records",
        .threads = THREADS,
        .run = run_bytes,
        .least = FEWER(50000),
        .connections = THREADS,
        .counted = "pongs",
    };
    attack_run(&attack, state);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"given_up", test_given_up, CELLS_ALL | CELLS_TLS_ALONE},
        {"renegotiation", test_renegotiation, CELLS_ENGINES | CELLS_TLS_ALONE},
        {"updates", test_updates, CELLS_ENGINES | CELLS_TLS_ALONE},
        {"bytes", test_bytes, CELLS_ENGINES | CELLS_TLS_ALONE},
    };
    return matrix_run("hostile_tls", tests, sizeof(tests) / sizeof(tests[0]));
}
