/* SPDX-License-Identifier: BSD-3-Clause */
/* What local peers send and get is in the ledger, like that of clients. */
#include "locals.h"

#include <errno.h>
#include <string.h>

#include "choice.h"
#include "ledger.h"
#include "memory.h"
#include "network.h"
#include "people.h"
#include "report.h"

#define LOCALS 2 /* of a relay */

#define MAX_PACKET 4000

/* Packets below LEDGER_MIN_DATA, which have no order. */
#define ANSWER_SIZE 8

struct local {
    hyperderp_local_peer *peer;
    bool there;      /* callbacks may come */
    unsigned client; /* whose key it has */
    unsigned conn;   /* of the ledger */
    struct ledger_inbox *inbox;
};

static struct local locals[NETWORK_LISTENERS][LOCALS];

void locals_begin(void)
{
    memset(locals, 0, sizeof(locals));
}

static unsigned owner_of(const hyperderp_key *key)
{
    for (unsigned i = 0; i < PEOPLE_MAX; i++)
        if (hyperderp_key_equal(people_key(i), key))
            return i;
    report_failure("a local peer is told of a key that nobody has");
}

static void send_packet(struct local *local, unsigned to, bool disco, uint32_t len)
{
    uint8_t *bytes = world_alloc(len);

    ledger_send(local->conn, to, disco, bytes, len);
    int error = hyperderp_local_peer_send(local->peer, people_key(to), bytes, len);
    world_free(bytes);
    if (error && error != -ENOENT && error != -EHOSTUNREACH && error != -ENOBUFS &&
        error != -ENOMEM && error != -ESHUTDOWN)
        report_failure("a local peer cannot send: %d", error);
    report.packets_sent += error == 0;
}

static void received(void *user, const hyperderp_key *from, const void *packet, size_t len)
{
    struct local *local = user;
    unsigned sender = owner_of(from);

    if (!local->there)
        report_failure("a local peer that was removed gets a packet");
    ledger_receive(local->inbox, local->client, sender, packet, len);
    report.packets_got++;
    /* The removal waits for this: it is there until the end of the call. */
    if (local->peer && script_one_in(8))
        send_packet(local, sender, false, ANSWER_SIZE);
    if (!local->there)
        report_failure("a local peer is removed while it gets a packet");
}

static void peer_gone(void *user, const hyperderp_key *peer, hyperderp_gone_reason reason)
{
    const struct local *local = user;

    (void)owner_of(peer);
    if (!local->there)
        report_failure("a local peer that was removed hears of client %u (%d)", owner_of(peer),
                       (int)reason);
}

static void add(hyperderp_relay *relay, struct local *local)
{
    unsigned client = script_below(people_count()), conn = ledger_connect(client);
    hyperderp_local_peer_options options = {.size = sizeof(options),
                                            .key = *people_key(client),
                                            .user = local,
                                            .received = received,
                                            .peer_gone = peer_gone};

    if (conn == LEDGER_CONNS)
        return;
    *local = (struct local){
        .there = true, .client = client, .conn = conn, .inbox = world_alloc(sizeof(*local->inbox))};
    int error = hyperderp_relay_add_local_peer(relay, &options, &local->peer);
    if (error == 0) {
        trace("client %u is a local peer, connection %u", client, conn);
        return;
    }
    if (error != -EEXIST && error != -EBUSY && error != -ENOMEM)
        report_failure("a local peer is refused: %d", error);
    world_free(local->inbox);
    *local = (struct local){0};
}

static void remove_it(struct local *local)
{
    trace("client %u is no local peer any more", local->client);
    hyperderp_local_peer_remove(local->peer);
    world_free(local->inbox);
    *local = (struct local){0};
}

void locals_act(hyperderp_relay *relay, unsigned number)
{
    struct local *local = &locals[number][script_below(LOCALS)];

    if (!local->peer) {
        add(relay, local);
    } else if (script_one_in(8)) {
        remove_it(local);
    } else {
        for (uint32_t n = script_size(64); n > 0; n--) {
            bool disco = script_one_in(4);
            send_packet(local, script_below(people_count()), disco,
                        disco ? script_between(LEDGER_MIN_DISCO, LEDGER_MAX_DISCO)
                              : script_size(MAX_PACKET));
        }
    }
}

void locals_begin_with(hyperderp_relay *relay, unsigned number)
{
    for (unsigned i = 0; i < LOCALS; i++)
        if (script_one_in(2))
            add(relay, &locals[number][i]);
}

bool locals_have(unsigned number, unsigned client)
{
    for (unsigned i = 0; i < LOCALS; i++)
        if (locals[number][i].there && locals[number][i].client == client)
            return true;
    return false;
}

void locals_end(void)
{
    for (unsigned i = 0; i < NETWORK_LISTENERS; i++)
        for (unsigned j = 0; j < LOCALS; j++)
            world_free(locals[i][j].inbox);
}
