/* SPDX-License-Identifier: BSD-3-Clause */
/* What the receiver checks of each packet: its length, its sender, whom it was for, its bytes, its
 * place in the order. */
#include <stdarg.h>
#include <stdio.h>

#include "clock.h"
#include "payload.h"
#include "wire/key.h"
#include "worker.h"

void load_worker_note_problem(struct load_worker *worker, const char *format, ...)
{
    va_list args;

    if (worker->result.problem[0] != '\0')
        return;
    va_start(args, format);
    vsnprintf(worker->result.problem, sizeof(worker->result.problem), format, args);
    va_end(args);
}

/* Tells whether the traffic has packets from one peer to another. */
static bool is_sent_to(const struct load_options *options, uint32_t sender, uint32_t receiver)
{
    if (receiver >= options->peers || !load_sends(options, sender))
        return false;
    return options->traffic == LOAD_RANDOM ? sender != receiver : sender == (receiver ^ 1);
}

/* Returns what is wrong with a packet, or NULL. */
static const char *find_damage(const struct load *load, const struct load_conn *conn,
                               const struct client_message *message, struct payload *payload)
{
    if (message->len != load->options->size)
        return "has another length than it was sent with";
    if (payload_read(message->payload, message->len, conn->number, payload) < 0)
        return "holds other bytes than one that was sent to it";
    if (!is_sent_to(load->options, payload->sender, conn->number))
        return "comes from a peer that sends nothing to it";
    if (!key_same(&load->keys[payload->sender], message->peer.bytes))
        return "bears the key of another sender than its own";
    return NULL;
}

/* A pair has one sender for each receiver: nothing is ever forgotten. */
static enum order_verdict check_order_in_pair(struct load_peer *peer, uint64_t sequence)
{
    if (sequence <= peer->seen)
        return ORDER_WRONG;
    peer->seen = sequence;
    return ORDER_RIGHT;
}

static void check_order(struct load_worker *worker, struct load_peer *peer,
                        const struct payload *payload)
{
    struct load_result *result = &worker->result;

    switch (worker->load->options->traffic == LOAD_RANDOM
                ? order_check(&worker->order, payload->sender, payload->receiver, payload->sequence)
                : check_order_in_pair(peer, payload->sequence)) {
    case ORDER_RIGHT:
        return;
    case ORDER_UNKNOWN:
        result->order_unknown++;
        return;
    case ORDER_WRONG:
        result->misordered++;
        load_worker_note_problem(
            worker,
            "packet %llu of connection %u came to connection %u twice or behind a later one",
            (unsigned long long)payload->sequence, payload->sender, payload->receiver);
    }
}

void load_worker_check(void *user, struct load_conn *conn, const struct client_message *message,
                       uint64_t now_ns)
{
    struct load_worker *worker = user;
    const struct load *load = worker->load;
    struct load_result *result = &worker->result;
    struct payload payload;
    const char *damage = find_damage(load, conn, message, &payload);

    worker->last_arrival_ns = now_ns;
    worker->arrived_all++;
    if (damage != NULL) {
        result->damaged++;
        load_worker_note_problem(worker, "a packet of %zu bytes to connection %u %s", message->len,
                                 conn->number, damage);
        return;
    }
    check_order(worker, (struct load_peer *)conn, &payload);
    if (now_ns >= load->measure_ns &&
        now_ns < atomic_load_explicit(&load->end_ns, memory_order_relaxed))
        result->arrived++;
    if (payload.measured) {
        result->delivered++;
        histogram_add(&result->latency, now_ns > payload.due_ns ? now_ns - payload.due_ns : 0);
    }
}
