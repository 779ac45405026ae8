/* SPDX-License-Identifier: BSD-3-Clause */
/* Callbacks, limits, and the public functions of a running relay. */
#include "embedder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "choice.h"
#include "locals.h"
#include "network.h"
#include "people.h"
#include "report.h"

#define MAX_TICKETS 64

/* What a queue may hold besides data: 64 frames of the relay's own, 128 of disco, and what comes
 * back from a send that was short. */
#define BESIDES_DATA (64 + 128)

/* The largest frame there is, as one may exceed a bound of bytes. */
#define LARGEST_FRAME (65536 + 37)

static hyperderp_admission *tickets[MAX_TICKETS];
static unsigned ticket_count;

/* What a relay's callbacks have told. */
static struct told {
    bool is_up[PEOPLE_MAX];    /* by peer_changed() */
    bool is_known[PEOPLE_MAX]; /* by peer_event() */
    bool has_ended;
} told[NETWORK_LISTENERS];

static bool asks;
static hyperderp_limits limits;                     /* as they are */
static size_t most_memory, most_frames, most_bytes; /* that were allowed at any time */

static void log_to_trace(void *user, hyperderp_log_level level, const char *line)
{
    (void)user;
    trace("log %d: %s", (int)level, line);
}

static hyperderp_verdict admit(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket)
{
    (void)user;
    (void)client;
    if (!asks)
        return HYPERDERP_ALLOW;
    uint32_t choice = script_below(8);
    if (choice == 7 && script_one_in(2))
        return HYPERDERP_DENY;
    if (choice == 7) {
        hyperderp_admission_deny(ticket, "not today");
        return HYPERDERP_LATER;
    }
    if (choice < 4 || ticket_count == MAX_TICKETS)
        return HYPERDERP_ALLOW;
    tickets[ticket_count++] = ticket;
    return HYPERDERP_LATER;
}

/* The calls for one key come in turn. */
static void peer_changed(void *user, const hyperderp_key *key, bool up)
{
    bool *known = ((struct told *)user)->is_up;

    for (unsigned i = 0; i < PEOPLE_MAX; i++) {
        if (!hyperderp_key_equal(key, people_key(i)))
            continue;
        if (known[i] == up)
            report_failure("peer_changed() says %s twice of client %u", up ? "up" : "down", i);
        known[i] = up;
    }
}

static void peer_event(void *user, const hyperderp_peer_event *event)
{
    struct told *by = user;

    for (unsigned i = 0; i < PEOPLE_MAX; i++) {
        if (!hyperderp_key_equal(&event->key, people_key(i)))
            continue;
        if (by->is_known[i] == (event->type == HYPERDERP_PEER_UP))
            report_failure("peer_event() says \"%s\" of client %u out of turn",
                           hyperderp_peer_event_name(event->type), i);
        by->is_known[i] = event->type != HYPERDERP_PEER_DOWN;
        if (by->is_known[i] != by->is_up[i])
            report_failure("peer_event() and peer_changed() do not agree on client %u", i);
    }
}

static void drained(void *user)
{
    struct told *by = user;

    if (by->has_ended)
        report_failure("drained() is called twice");
    by->has_ended = true;
    for (unsigned i = 0; i < PEOPLE_MAX; i++)
        if (by->is_up[i] && !locals_have((unsigned)(by - told), i))
            report_failure("a relay has ended, and client %u is still there", i);
}

static void note_bounds(void)
{
    size_t memory = limits.memory_bytes ? limits.memory_bytes : (size_t)256 << 20;
    size_t frames = limits.queue_frames ? limits.queue_frames : 1024;
    size_t bytes = limits.queue_bytes ? limits.queue_bytes : (size_t)2 << 20;

    most_memory = memory > most_memory ? memory : most_memory;
    most_frames = frames > most_frames ? frames : most_frames;
    most_bytes = bytes > most_bytes ? bytes : most_bytes;
}

static unsigned maybe(uint32_t value)
{
    return script_one_in(2) ? value : 0;
}

static void choose_limits(void)
{
    limits = (hyperderp_limits){
        .size = sizeof(limits),
        .max_connections = maybe(script_between(1, 20)),
        .queue_frames = maybe(script_size(1024)),
        .queue_bytes = maybe(131072 + script_size(1u << 21)),
        .memory_bytes = maybe(131072 + script_size(1u << 22)),
        .handshake_timeout_ms = maybe(script_size(20000)),
        .keepalive_ms = maybe(script_size(60000)),
        .write_timeout_ms = maybe(script_size(20000)),
        .accept_rate = script_one_in(8) ? script_size(1000) : 0,
        .connections_per_ip = script_one_in(8) ? script_size(8) : 0,
        .client_rate = script_one_in(4) ? 1024 + script_size(1u << 22) : 0,
        .queue_time_ms = maybe(script_size(5000)),
    };
    if (limits.max_connections == 0)
        limits.max_connections = 100;
    note_bounds();
}

void embedder_begin(void)
{
    ticket_count = 0;
    locals_begin();
    memset(told, 0, sizeof(told));
    asks = script_one_in(2);
    most_memory = most_frames = most_bytes = 0;
}

void embedder_set_up(hyperderp_relay_options *options, unsigned number)
{
    choose_limits();
    told[number].has_ended = false;
    options->user = &told[number];
    options->log = log_to_trace;
    options->log_level = HYPERDERP_LOG_DEBUG;
    options->admit = admit;
    options->peer_changed = peer_changed;
    options->peer_event = peer_event;
    options->drained = drained;
    options->max_connections = limits.max_connections;
    options->queue_frames = limits.queue_frames;
    options->queue_bytes = limits.queue_bytes;
    options->memory_bytes = limits.memory_bytes;
    options->handshake_timeout_ms = limits.handshake_timeout_ms;
    options->keepalive_ms = limits.keepalive_ms;
    options->write_timeout_ms = limits.write_timeout_ms;
    options->accept_rate = limits.accept_rate;
    options->connections_per_ip = limits.connections_per_ip;
    options->client_rate = limits.client_rate;
    options->queue_time_ms = limits.queue_time_ms;
}

static void answer(void)
{
    hyperderp_admission *ticket;

    if (ticket_count == 0)
        return;
    uint32_t at = script_below(ticket_count);
    ticket = tickets[at];
    tickets[at] = tickets[--ticket_count];
    if (!script_one_in(4))
        hyperderp_admission_answer(ticket, HYPERDERP_ALLOW);
    else if (script_one_in(2))
        hyperderp_admission_answer(ticket, HYPERDERP_DENY);
    else
        hyperderp_admission_deny(ticket, "not today either");
}

static void look_at_peers(const hyperderp_relay *relay)
{
    hyperderp_peer_info *peers;
    size_t count;

    if (hyperderp_relay_peers(relay, &peers, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (peers[i].queued_frames > most_frames + BESIDES_DATA)
            report_failure("%" PRIu64 " frames wait for a client", peers[i].queued_frames);
        if (peers[i].queued_bytes > most_bytes + LARGEST_FRAME)
            report_failure("%" PRIu64 " bytes wait for a client", peers[i].queued_bytes);
    }
    hyperderp_peers_free(peers);
}

/* Takes a node out, or lists them. */
static void touch_nodes(hyperderp_relay *relay, unsigned number)
{
    hyperderp_mesh_peer_options node = {.size = sizeof(node)};
    hyperderp_mesh_peer_info *nodes;
    char address[64];
    size_t count;

    if (hyperderp_relay_mesh_peers(relay, &nodes, &count) != 0)
        return;
    hyperderp_mesh_peers_free(nodes);
    if (count == 0 || script_one_in(2))
        return;
    snprintf(address, sizeof(address), "http://" NETWORK_HOST ":%u", NETWORK_PORT + 1 - number);
    (void)hyperderp_relay_remove_mesh_peer(relay, address);
    if (script_one_in(2))
        return;
    node.address = address;
    (void)hyperderp_relay_add_mesh_peer(relay, &node);
}

void embedder_act(hyperderp_relay *relay, unsigned number)
{
    hyperderp_worker_info info = {.size = sizeof(info)};

    switch (script_below(10)) {
    case 0:
        (void)hyperderp_relay_close_peer(relay, people_key(script_below(PEOPLE_MAX)));
        break;
    case 1:
        choose_limits();
        if (hyperderp_relay_set_limits(relay, &limits) != 0)
            report_failure("limits are refused");
        break;
    case 2:
        hyperderp_relay_wake(relay);
        break;
    case 3:
        (void)hyperderp_relay_worker(relay, script_below(3), &info);
        break;
    case 4:
        look_at_peers(relay);
        break;
    case 5:
        touch_nodes(relay, number);
        break;
    case 6:
    case 7:
        locals_act(relay, number);
        break;
    default:
        answer();
        break;
    }
}

void embedder_look(const hyperderp_relay *relay)
{
    hyperderp_counters counters = {.size = sizeof(counters)};

    hyperderp_relay_counters(relay, &counters);
    if (counters.queued_bytes > most_memory)
        report_failure("%" PRIu64 " bytes are queued, of %zu", counters.queued_bytes, most_memory);
}

void embedder_answer_all(void)
{
    while (ticket_count > 0)
        answer();
}

void embedder_end(void)
{
    locals_end();
    for (unsigned i = 0; i < NETWORK_LISTENERS; i++)
        for (unsigned j = 0; j < PEOPLE_MAX; j++)
            if (told[i].is_up[j])
                report_failure("nobody has told that client %u has gone", j);
}
