/* SPDX-License-Identifier: BSD-3-Clause */
/* What the receiver checks of each packet: its length, its sender, its bytes, its place in the
 * order. */
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

/* Returns what is wrong with a packet, or NULL. */
static const char *find_damage(const struct load_worker *worker, const struct load_flow *flow,
                               const struct client_message *message, struct payload *payload)
{
    if (flow == NULL || !key_same(&flow->from->client.public_key, message->peer.bytes))
        return "comes from a peer that sends nothing to it";
    if (message->len != worker->load->options->size)
        return "has another length than it was sent with";
    if (payload_read(message->payload, message->len, payload) < 0)
        return "holds other bytes than it was sent with";
    if (payload->sender != flow->from->number)
        return "bears the key of another sender than its own";
    if (payload->sequence > flow->sequence)
        return "was never sent";
    return NULL;
}

void load_worker_check(void *user, struct load_conn *conn, const struct client_message *message,
                       uint64_t now_ns)
{
    struct load_worker *worker = user;
    const struct load *load = worker->load;
    struct load_result *result = &worker->result;
    struct load_flow *flow = load_flow_to(worker, conn);
    struct payload payload;
    const char *damage = find_damage(worker, flow, message, &payload);

    worker->last_arrival_ns = now_ns;
    worker->arrived_all++;
    if (damage != NULL) {
        result->damaged++;
        load_worker_note_problem(worker, "a packet of %zu bytes to connection %u %s", message->len,
                                 conn->number, damage);
        return;
    }
    if (payload.sequence > flow->seen) {
        flow->seen = payload.sequence;
    } else {
        result->misordered++;
        load_worker_note_problem(worker, "packet %llu of connection %u came behind its packet %llu",
                                 (unsigned long long)payload.sequence, payload.sender,
                                 (unsigned long long)flow->seen);
    }
    if (now_ns >= load->measure_ns &&
        now_ns < atomic_load_explicit(&load->end_ns, memory_order_relaxed))
        result->arrived++;
    if (flow->measured != 0 && payload.sequence >= flow->measured) {
        result->delivered++;
        histogram_add(&result->latency, now_ns > payload.due_ns ? now_ns - payload.due_ns : 0);
    }
}
