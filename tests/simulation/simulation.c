/* SPDX-License-Identifier: BSD-3-Clause */
/* The world's settings, the relay's life, and what must be true at its end. */
#include "simulation.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <hyperderp/hyperderp.h>

#include "choice.h"
#include "embedder.h"
#include "ledger.h"
#include "locals.h"
#include "loop.h"
#include "memory.h"
#include "network.h"
#include "people.h"
#include "report.h"
#include "schedule.h"
#include "transport.h"

#define NS_PER_MS 1000000

/* Simulations with TLS, whose handshakes take most of their time. */
#define TLS_ONE_IN 8

/* Acts of clients in a simulation, and steps within which each ends. */
#define MAX_ACTS  4000
#define MAX_STEPS 1000000

/* A drain that nobody helps ends within this. */
#define DRAIN_NS ((int64_t)60 * 1000 * NS_PER_MS)

static hyperderp_private_key relay_keys[NETWORK_LISTENERS];
static hyperderp_key relay_publics[NETWORK_LISTENERS];
static const uint8_t mesh_key[HYPERDERP_MESH_KEY_SIZE] = {1, 2, 3};

/* ---- Random bytes of the library ------------------------------------------------------------- */

static const char *bytes_name(void)
{
    return "simulation";
}

static uint32_t bytes_u32(void)
{
    uint32_t value;
    choice_bytes(&value, sizeof(value));
    return value;
}

static void bytes_fill(void *const out, const size_t len)
{
    choice_bytes(out, len);
}

static struct randombytes_implementation implementation = {
    .implementation_name = bytes_name, .random = bytes_u32, .buf = bytes_fill};

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags)
{
    (void)flags;
    choice_bytes(out, len);
    return (ssize_t)len;
}

void simulation_prepare(void)
{
    if (randombytes_set_implementation(&implementation) != 0 || sodium_init() < 0)
        report_failure("libsodium does not start");
    for (unsigned i = 0; i < NETWORK_LISTENERS; i++) {
        memset(relay_keys[i].bytes, (int)(0x70 + i), sizeof(relay_keys[i].bytes));
        hyperderp_private_key_public(&relay_keys[i], &relay_publics[i]);
    }
    people_make();
    transport_make();
}

/* ---- Settings -------------------------------------------------------------------------------- */

/* A fault is left out in half of the simulations, and rare or frequent in the others. */
static uint32_t rate(uint32_t most_one_in, uint32_t least_one_in)
{
    if (chance_one_in(2))
        return 0;
    return most_one_in + chance_below(least_one_in - most_one_in + 1);
}

static void begin_world(void)
{
    struct schedule_settings schedule = {.preempt_one_in = rate(2, 200),
                                         .step_ns = chance_size(100000),
                                         .no_thread_one_in = chance_one_in(50) ? 2 : 0};
    struct network_settings network = {
        .in_room = chance_between(1, 262144),
        .out_room = chance_between(1, 262144),
        .short_read_one_in = rate(1, 50),
        .short_write_one_in = rate(1, 50),
        .no_room_one_in = rate(3, 50),
        .send_memory_one_in = rate(10, 200),
        .reset_one_in = rate(100, 2000),
        .interrupt_one_in = rate(3, 100),
        .accept_fails_one_in = rate(2, 20),
    };
    struct loop_settings loop = {
        .completions = chance_one_in(2),
        .chunks = 1u << chance_between(0, 7),
        .max_events = (int)chance_size(128),
        .full_one_in = rate(3, 100),
        .delay_one_in = rate(2, 100),
        .delay_ns = chance_size(50 * NS_PER_MS),
        .no_chunk_one_in = rate(5, 100),
    };
    schedule_begin(&schedule);
    network_begin(&network);
    loop_begin(&loop);
    ledger_begin();
}

/* The other node of the region, and now and then the relay itself. */
static void add_nodes(hyperderp_relay *relay, unsigned number)
{
    hyperderp_mesh_peer_options node = {.size = sizeof(node)};
    char address[64];

    for (unsigned i = 0; i < NETWORK_LISTENERS; i++) {
        if (i == number && !script_one_in(4))
            continue;
        snprintf(address, sizeof(address), "http://" NETWORK_HOST ":%u", NETWORK_PORT + i);
        node.address = address;
        int error = hyperderp_relay_add_mesh_peer(relay, &node);
        if (error && error != -ENOMEM)
            report_failure("a node is refused: %d", error);
    }
}

static int add_listener(hyperderp_relay *relay, unsigned number,
                        const struct people_settings *people)
{
    static const char *const proxies[] = {"10.0.0.0/8"};
    hyperderp_listener_options listener;

    hyperderp_listener_options_init(&listener);
    listener.fd = network_listen(number);
    listener.certificate = people->tls ? transport_certificate() : NULL;
    listener.proxy_protocol = people->proxied;
    listener.trusted_proxies = proxies;
    listener.trusted_proxy_count = people->proxied;
    return hyperderp_relay_add_listener(relay, &listener);
}

/* NULL when it could not be made for want of memory. */
static hyperderp_relay *make_relay(unsigned number, const struct people_settings *people)
{
    hyperderp_relay_options options;
    hyperderp_relay *relay;

    hyperderp_relay_options_init(&options);
    options.private_key = relay_keys[number];
    options.workers = script_between(1, 3);
    memcpy(options.mesh_key, people->mesh_key, sizeof(options.mesh_key));
    embedder_set_up(&options, number);
    if (hyperderp_relay_new(&relay, &options) != 0)
        return NULL;
    int error = add_listener(relay, number, people);
    if (error < 0) {
        if (error != -ENOMEM)
            report_failure("a listener is refused: %d", error);
        hyperderp_relay_free(relay);
        network_forget_listener(number);
        return NULL;
    }
    if (script_one_in(2))
        locals_begin_with(relay, number);
    if (people->relays > 1)
        add_nodes(relay, number);
    return relay;
}

/* ---- Running --------------------------------------------------------------------------------- */

static uint64_t acts, steps;

static bool act(void)
{
    memory_spare(true);
    bool acted = people_act();
    memory_spare(false);
    acts += acted;
    return acted;
}

/* One step of whoever can do something; else time goes on to when somebody can. */
static void step(void)
{
    if (++steps > MAX_STEPS)
        report_failure("no end after %d steps", MAX_STEPS);
    if (chance_one_in(4) ? act() || schedule_step() : schedule_step() || act())
        return;
    int64_t next = schedule_next(), people = people_next();
    next = people < next ? people : next;
    if (next == SCHEDULE_NEVER)
        report_failure("nobody will ever do anything");
    schedule_advance(next);
}

/* What relays have counted together. */
struct sum {
    uint64_t received, delivered;
    bool cut; /* a message of WebSocket may have been cut short where its client reads it */
};

static void check_relay(const hyperderp_relay *relay, struct sum *sum)
{
    hyperderp_counters counters = {.size = sizeof(counters)};
    uint64_t dropped = 0;

    hyperderp_relay_counters(relay, &counters);
    for (unsigned i = 0; i < HYPERDERP_DROP_REASONS; i++)
        for (unsigned j = 0; j < HYPERDERP_PACKET_KINDS; j++)
            dropped += counters.drops[i][j];
    trace("received %" PRIu64 ", delivered %" PRIu64 ", dropped %" PRIu64,
          counters.packets_received, counters.packets_delivered, dropped);
    if (counters.packets_received != counters.packets_delivered + dropped)
        report_failure("%" PRIu64 " packets received, %" PRIu64 " delivered, %" PRIu64 " dropped",
                       counters.packets_received, counters.packets_delivered, dropped);
    if (counters.connections != 0 || counters.peers_active != 0 || counters.queued_bytes != 0 ||
        counters.mesh_links != 0 || counters.mesh_keys != 0)
        report_failure("%" PRIu64 " connections, %" PRIu64 " peers, %" PRIu64
                       " queued bytes, %" PRIu64 " links, %" PRIu64 " keys of others are left",
                       counters.connections, counters.peers_active, counters.queued_bytes,
                       counters.mesh_links, counters.mesh_keys);
    sum->received += counters.packets_received;
    sum->delivered += counters.packets_delivered;
    sum->cut = sum->cut ||
               (counters.websocket_upgrades > 0 && counters.tls_handshakes[HYPERDERP_TLS_OK] == 0);
}

/* A packet that goes by a link is received and delivered by both, or lost with the link. */
static void check_sum(const struct sum *sum, unsigned relays)
{
    uint64_t came = ledger_received();

    if (relays == 1 && sum->received > ledger_sent())
        report_failure("%" PRIu64 " packets received, %" PRIu64 " sent", sum->received,
                       ledger_sent());
    if ((relays == 1 && sum->delivered > came) || (!sum->cut && sum->delivered < came))
        report_failure("%" PRIu64 " packets delivered, %" PRIu64 " came", sum->delivered, came);
}

/* A relay that drains ends by itself, whatever its clients do: within the time that it gives them,
 * and that of a receiver that takes nothing. */
static void drain(hyperderp_relay *relay)
{
    int64_t end = schedule_now() + DRAIN_NS;

    (void)hyperderp_relay_drain(relay, 0);
    for (unsigned turns = 1; hyperderp_relay_drain(relay, 0) != 0; turns++) {
        if (schedule_now() > end)
            report_failure("a drain does not end");
        step();
        /* Clients that have something to do every microsecond do not make it last for ever. */
        if (turns % 64 == 0)
            schedule_advance(schedule_now() + 5 * NS_PER_MS);
    }
}

/* The relays of a simulation; NULL: it could not be made or started. */
static hyperderp_relay *relays[NETWORK_LISTENERS];

static void live(void)
{
    int64_t end = schedule_now() + (int64_t)script_size(60000) * NS_PER_MS;
    uint64_t most = script_size(MAX_ACTS);
    uint32_t act_one_in = script_one_in(2) ? 0 : script_size(500);

    while (schedule_now() < end && acts < most) {
        step();
        unsigned which = chance_below(NETWORK_LISTENERS);
        if (relays[which] && chance_one_in(act_one_in))
            embedder_act(relays[which], which);
        if (relays[which] && chance_one_in(8))
            embedder_look(relays[which]);
    }
}

/* Sends its clients away by and by, as if another process went on with its listeners. */
static void hand_over(hyperderp_relay *relay)
{
    int64_t end = schedule_now() + (int64_t)script_size(2000) * NS_PER_MS;
    unsigned most = script_size(2000);

    (void)hyperderp_relay_hand_over(relay, script_size(2000));
    while (schedule_now() < end && most-- > 0)
        step();
}

static void end_relay(hyperderp_relay *relay)
{
    if (script_one_in(4))
        hand_over(relay);
    if (script_one_in(2)) {
        if (script_one_in(2))
            people_go_home();
        drain(relay);
    }
    hyperderp_relay_stop(relay);
}

static void start_relays(const struct people_settings *people)
{
    for (unsigned i = 0; i < people->relays; i++) {
        relays[i] = make_relay(i, people);
        if (!relays[i] || hyperderp_relay_start(relays[i]) == 0)
            continue;
        hyperderp_relay_free(relays[i]);
        relays[i] = NULL;
    }
}

static void end_relays(const struct people_settings *people)
{
    unsigned first = script_below(people->relays);
    struct sum sum = {0};

    for (unsigned i = 0; i < people->relays; i++)
        if (relays[first ^ i])
            end_relay(relays[first ^ i]);
    embedder_answer_all();
    memory_set_failures(0);
    people_end();
    for (unsigned i = 0; i < people->relays; i++) {
        if (relays[i])
            check_relay(relays[i], &sum);
        hyperderp_relay_free(relays[i]);
        relays[i] = NULL;
    }
    check_sum(&sum, people->relays);
}

static struct people_settings choose_people(void)
{
    struct people_settings people = {
        .count = script_between(2, PEOPLE_MAX),
        .relay_keys = relay_publics,
        .leave_one_in = script_one_in(2) ? 0 : 30,
        .rude_one_in = script_one_in(2) ? 0 : 50,
        .stranger_one_in = script_one_in(4) ? 4 : 0,
        .same_key_one_in = script_one_in(2) ? 0 : 4,
        .websocket_one_in = script_one_in(2) ? 0 : script_size(8),
        .mesh_one_in = script_one_in(2) ? 0 : 4,
        .mesh_key = mesh_key,
        .proxied = script_one_in(8),
        .tls = script_one_in(TLS_ONE_IN),
        .max_packet = script_one_in(4) ? 65536 : 2000,
        .pause_us = script_size(1000000),
        .slow = script_one_in(2),
    };

    people.relays = people.tls || people.proxied || !script_one_in(4) ? 1 : NETWORK_LISTENERS;
    return people;
}

void simulation_run(uint64_t seed, const uint8_t *script, size_t len)
{
    acts = steps = 0;
    choice_begin(seed, script, len);
    begin_world();
    uint32_t no_memory_one_in = rate(20, 2000);
    memory_begin(chance_one_in(32) ? 20 : 0);
    struct people_settings people = choose_people();
    embedder_begin();
    people_begin(&people);
    start_relays(&people);
    memory_set_failures(no_memory_one_in);
    live();
    end_relays(&people);
    embedder_end();
    schedule_end();
    network_end();
    ledger_end();
    memory_end();
}
