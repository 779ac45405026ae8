/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys as a weapon: a million of them, keys that should collide, somebody else's, one for
 * thousands of connections. */
#include <errno.h>
#include <string.h>

#include "attack.h"

#define CHUNK 16384

/* ---- A million destinations ------------------------------------------------------------------ */

/* Keys that nobody has, each another one. What is alike in them differs from flood to flood. */
static void fill_key(uint8_t *key, uint64_t number, unsigned flood)
{
    uint64_t seed = number;

    memset(key, 0, HYPERDERP_KEY_SIZE);
    switch (flood % 4) {
    case 0: /* nothing */
        for (unsigned i = 0; i < HYPERDERP_KEY_SIZE; i += 8) {
            uint64_t word = attack_random(&seed);
            memcpy(key + i, &word, sizeof(word));
        }
        break;
    case 1: /* all but a few bits, at the end */
        memcpy(key + HYPERDERP_KEY_SIZE - sizeof(number), &number, sizeof(number));
        break;
    case 2: /* all but a few bits, in front; and what chooses the place of those at hand */
        memcpy(key + 1, &number, sizeof(number));
        break;
    default: /* one or two bits are set */
        key[number / 8 % HYPERDERP_KEY_SIZE] = (uint8_t)(1 << number % 8);
        number /= HYPERDERP_KEY_SIZE * 8;
        key[number / 8 % HYPERDERP_KEY_SIZE] ^= (uint8_t)(1 << number % 8);
        break;
    }
}

static size_t fill_packets(uint8_t *out, size_t room, size_t len, bool disco, uint64_t *number,
                           unsigned flood)
{
    hyperderp_key key;
    size_t at = 0;

    while (at + FRAME_PACKET_OVERHEAD + len <= room) {
        fill_key(key.bytes, (*number)++, flood);
        at += attack_packet(out + at, &key, len, disco);
    }
    return at;
}

static void flood_strangers(struct attacker *attacker, size_t len, bool disco)
{
    static uint8_t chunks[8][CHUNK];
    struct client_socket *client = attack_join(attacker, NULL);
    uint8_t *chunk = chunks[attacker->number];
    uint64_t number = 0;
    bool good = client != NULL;

    while (good && attack_goes_on(attacker)) {
        size_t size = fill_packets(chunk, CHUNK, len, disco, &number, attacker->number);
        good = attack_send(attacker, client, chunk, size);
        attacker->done = number;
    }
    if (client && !good && !attacker->fault)
        attack_fault(attacker, "the relay has closed", -EPIPE);
    client_socket_close(client);
}

static void run_million(struct attacker *attacker)
{
    flood_strangers(attacker, 1, false);
}

static void test_million(void **state)
{
    static const struct attack attack = {
        .name = "packets to a million keys and more that nobody has, many nearly alike",
        .unit = "keys",
        .threads = 4,
        .run = run_million,
        .least = FEWER(1000000),
        .connections = 4,
        .counted = "drop_unknown_peer_data",
    };
    attack_run(&attack, state);
}

static void run_disco(struct attacker *attacker)
{
    flood_strangers(attacker, 100, true);
}

static void test_disco(void **state)
{
    static const struct attack attack = {
        .name = "disco packets to keys that nobody has",
        .unit = "packets",
        .threads = 4,
        .run = run_disco,
        .least = FEWER(100000),
        .connections = 4,
        .counted = "drop_unknown_peer_disco",
    };
    attack_run(&attack, state);
}

/* ---- Keys that should collide ---------------------------------------------------------------- */

#define COLLIDING 64

/* A key pair whose public key begins with this byte. */
static bool grind(hyperderp_private_key *key, uint8_t first)
{
    hyperderp_key public;

    do {
        if (hyperderp_private_key_generate(key) != 0)
            return false;
        hyperderp_private_key_public(key, &public);
    } while (public.bytes[0] != first);
    return true;
}

/*
 * Receivers whose keys begin alike, so that a sender has but one place for them at hand: each of
 * its packets is looked up in the table. They are not read from more than they must.
 */
static void run_colliding(struct attacker *attacker)
{
    struct client_socket *clients[COLLIDING + 1] = {NULL}, *sender;
    static uint8_t chunks[8][CHUNK];
    uint8_t *chunk = chunks[attacker->number];
    unsigned count = FEWER(COLLIDING);
    size_t size = 0;
    bool good = true;

    for (unsigned i = 0; i < count && good; i++) {
        hyperderp_private_key key;
        good = grind(&key, (uint8_t)(4 * attacker->number));
        clients[i] = good ? attack_join(attacker, &key) : NULL;
        good = clients[i] != NULL;
    }
    sender = good ? attack_join(attacker, NULL) : NULL;
    for (unsigned i = 0; sender && size + FRAME_PACKET_OVERHEAD + 10 <= CHUNK; i++)
        size += attack_packet(chunk + size, client_socket_key(clients[i % count]), 10, false);
    while (sender && attack_goes_on(attacker)) {
        if (!attack_send(attacker, sender, chunk, size))
            break;
        for (unsigned i = 0; i < count; i++)
            attack_discard(client_socket_fd(clients[i]));
        attacker->done += size / (FRAME_PACKET_OVERHEAD + 10);
    }
    client_socket_close(sender);
    attack_close_all(clients, COLLIDING);
}

static void test_colliding(void **state)
{
    static const struct attack attack = {
        .name = "packets to 128 clients whose keys were sought to begin alike, in turn",
        .unit = "packets",
        .threads = 2,
        .run = run_colliding,
        .least = FEWER(20000),
        .connections = 2 * COLLIDING + 2,
    };
    attack_run(&attack, state);
}

/* ---- Somebody's key is taken over ------------------------------------------------------------ */

#define STOLEN_PACKET 1200

static hyperderp_private_key stolen;
static hyperderp_key stolen_public;

static void send_to_stolen(struct attacker *attacker)
{
    static uint8_t packets[8 * (FRAME_PACKET_OVERHEAD + STOLEN_PACKET)];
    struct client_socket *sender = attack_join(attacker, NULL);
    size_t size = 0;

    while (size < sizeof(packets))
        size += attack_packet(packets + size, &stolen_public, STOLEN_PACKET, size == 0);
    while (sender && attack_goes_on(attacker))
        if (!attack_send(attacker, sender, packets, size))
            attack_fault(attacker, "the relay has closed", -EPIPE);
    client_socket_close(sender);
}

/* Comes with the key, says something, so that there is a fight, and leaves, while others do. */
static void take_over(struct attacker *attacker)
{
    uint8_t packet[FRAME_PACKET_OVERHEAD + 10];
    size_t size = attack_packet(packet, &stolen_public, 10, false);

    while (attack_goes_on(attacker)) {
        struct client_socket *thief = attack_join(attacker, &stolen);
        if (!thief)
            return;
        if (attacker->done % 3 > 0)
            (void)attack_send(attacker, thief, packet, size);
        attack_discard(client_socket_fd(thief));
        client_socket_close(thief);
        attacker->done++;
    }
}

static void run_takeover(struct attacker *attacker)
{
    if (attacker->number == 0)
        send_to_stolen(attacker);
    else
        take_over(attacker);
}

static void test_takeover(void **state)
{
    static const struct attack attack = {
        .name = "a key that is sent to flat out is taken over and fought for",
        .unit = "takeovers",
        .threads = 4,
        .run = run_takeover,
        .least = 0,
        .connections = 64,
        .counted = "drop_duplicate_key_data",
    };

    assert_int_equal(hyperderp_private_key_generate(&stolen), 0);
    hyperderp_private_key_public(&stolen, &stolen_public);
    attack_run(&attack, state);
}

/* ---- Thousands of one key -------------------------------------------------------------------- */

#define DUPLICATES 2000
#define SENDERS    8

/*
 * Each connection of the key receives for a while, as the one that joined last; all senders have
 * then sent to each of them. That is what each sender's set of recipients is filled with, and what
 * is to be told when it leaves.
 */
static bool join_duplicates(struct attacker *attacker, struct client_socket **clients,
                            struct client_socket *const *senders)
{
    uint8_t packet[FRAME_PACKET_OVERHEAD + 10];
    size_t size = attack_packet(packet, &stolen_public, 10, false);

    for (unsigned i = 0; i < FEWER(DUPLICATES); i++) {
        clients[i] = attack_join(attacker, &stolen);
        if (!clients[i])
            return false;
        for (unsigned k = 0; k < SENDERS; k++)
            if (!attack_send(attacker, senders[k], packet, size))
                return attack_fault(attacker, "the relay has closed", -EPIPE);
        attacker->done++;
    }
    return true;
}

/* Packets to the key and to another one that a sender cannot have at hand beside it, so that each
 * is noted anew. */
static void send_in_turn(struct attacker *attacker, const struct client_socket *last,
                         const struct client_socket *other, struct client_socket *const *senders)
{
    static uint8_t chunk[CHUNK];
    size_t size = 0;

    for (unsigned i = 0; size + FRAME_PACKET_OVERHEAD + 1 <= CHUNK; i++)
        size += attack_packet(chunk + size, i % 2 ? client_socket_key(other) : &stolen_public, 1,
                              false);
    for (unsigned turn = 0; attack_goes_on(attacker) || turn < 20; turn++) {
        if (attacker->fault || !attack_send(attacker, senders[turn % SENDERS], chunk, size))
            return;
        attack_discard(client_socket_fd(last));
        attack_discard(client_socket_fd(other));
    }
}

static void run_duplicates(struct attacker *attacker)
{
    static struct client_socket *clients[DUPLICATES];
    struct client_socket *senders[SENDERS] = {NULL}, *other = NULL;
    hyperderp_private_key key;
    uint8_t ping[FRAME_HEADER_SIZE + FRAME_PING_SIZE] = {0};
    unsigned count = FEWER(DUPLICATES);

    memset(clients, 0, sizeof(clients));
    frame_header_encode(ping, FRAME_PING, FRAME_PING_SIZE);
    if (grind(&key, stolen_public.bytes[0]))
        other = attack_join(attacker, &key);
    if (other && attack_join_all(attacker, senders, SENDERS, NULL) &&
        join_duplicates(attacker, clients, senders)) {
        send_in_turn(attacker, clients[count - 1], other, senders);
        attack_close_all(senders, SENDERS);
        /* And then all fight. */
        for (unsigned i = 0; i < count && !attacker->fault; i++)
            (void)attack_send(attacker, clients[i], ping, sizeof(ping));
    }
    attack_close_all(senders, SENDERS);
    attack_close_all(clients, count);
    client_socket_close(other);
}

static void test_duplicates(void **state)
{
    static const struct attack attack = {
        .name = "2,000 connections of one key, eight senders to them, and a fight of all",
        .unit = "connections",
        .threads = 1,
        .run = run_duplicates,
        .least = FEWER(DUPLICATES),
        .connections = DUPLICATES + SENDERS + 1,
    };

    assert_int_equal(hyperderp_private_key_generate(&stolen), 0);
    hyperderp_private_key_public(&stolen, &stolen_public);
    attack_run(&attack, state);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"million", test_million, CELLS_ALL},         {"disco", test_disco, CELLS_ENGINES},
        {"colliding", test_colliding, CELLS_ENGINES}, {"takeover", test_takeover, CELLS_ALL},
        {"duplicates", test_duplicates, CELLS_ALL},
    };
    return matrix_run("hostile_keys", tests, sizeof(tests) / sizeof(tests[0]));
}
