/* SPDX-License-Identifier: BSD-3-Clause */
/* The relay's memory is used up: by receivers that take nothing, and by frames that are half sent.
 */
#include <errno.h>
#include <string.h>

#include "attack.h"

/* ---- Receivers that take nothing ------------------------------------------------------------- */

#define STALLED 200
#define SIZE    4000
#define BATCH   8

static void run_receivers(struct attacker *attacker)
{
    static struct client_socket *stalled[STALLED];
    uint8_t packets[BATCH * (FRAME_PACKET_OVERHEAD + SIZE)];
    struct client_socket *sender = attack_join(attacker, NULL);
    unsigned count = FEWER(STALLED);

    memset(stalled, 0, sizeof(stalled));
    if (sender && attack_join_all(attacker, stalled, count, NULL))
        for (unsigned next = 0; attack_goes_on(attacker); next = (next + 1) % count) {
            size_t size = 0;
            for (unsigned i = 0; i < BATCH; i++)
                size +=
                    attack_packet(packets + size, client_socket_key(stalled[next]), SIZE, false);
            if (!attack_send(attacker, sender, packets, size))
                attack_fault(attacker, "the relay has closed", -EPIPE);
            attacker->done += BATCH;
        }
    client_socket_close(sender);
    attack_close_all(stalled, count);
}

static void test_receivers(void **state)
{
    static const struct attack attack = {
        .name = "200 receivers that take nothing and are sent to flat out",
        .unit = "packets of 4,000 bytes",
        .threads = 1,
        .run = run_receivers,
        /* The kernel holds some 3 MiB for each before anything waits in the relay. */
        .least = SANITIZED ? 10000 : 200000,
        .connections = STALLED + 1,
        .counted = SANITIZED ? "drop_queue_full_data" : "drop_memory_data",
    };
    attack_run(&attack, state);
}

/* ---- Frames that are half sent --------------------------------------------------------------- */

#define HALVES 1000
#define HALF   60000

static void run_halves(struct attacker *attacker)
{
    static struct client_socket *clients[HALVES];
    static uint8_t half[FRAME_PACKET_OVERHEAD + HALF];
    const hyperderp_key nobody = {{1}};
    unsigned count = FEWER(HALVES), joined = 0;

    memset(clients, 0, sizeof(clients));
    (void)attack_packet(half, &nobody, HALF, false);
    client_packet_header(half, &nobody, FRAME_MAX_PACKET);
    while (joined < count && attack_join_all(attacker, clients + joined, 1, NULL)) {
        if (!attack_send(attacker, clients[joined++], half, sizeof(half)))
            attack_fault(attacker, "the relay has closed", -EPIPE);
        attacker->done++;
    }
    /* They send the rest a byte a turn, for which each has time. */
    for (unsigned next = 0; attack_goes_on(attacker); next = (next + 1) % count)
        (void)attack_send(attacker, clients[next], half, 1);
    attack_close_all(clients, count);
}

static void test_halves(void **state)
{
    static const struct attack attack = {
        .name = "1,000 packets of 64 KiB that are sent but for their end",
        .unit = "packets",
        .threads = 1,
        .run = run_halves,
        .least = FEWER(HALVES),
        .connections = HALVES,
        .counted = SANITIZED ? NULL : "drop_memory_data",
    };
    attack_run(&attack, state);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"receivers", test_receivers, CELLS_ALL | CELLS_TLS},
        {"halves", test_halves, CELLS_ENGINES},
    };
    return matrix_run("hostile_memory", tests, sizeof(tests) / sizeof(tests[0]));
}
