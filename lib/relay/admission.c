/* SPDX-License-Identifier: BSD-3-Clause */
/* Tickets: a question on its way out and back. */
#include "relay/admission.h"

#include <string.h>

#include "memory/memory.h"
#include "relay/handshake.h"
#include "relay/sink.h"
#include "relay/worker.h"
#include "wire/utf8.h"

struct hyperderp_admission {
    struct message message; /* first: the answer travels as this */
    struct worker *worker;
    uint32_t slot, generation; /* of the conn, which may be gone when the answer comes */
    hyperderp_verdict verdict;
    char reason[HYPERDERP_MAX_DENY_REASON + 1]; /* of a denial, or "" */
};

_Static_assert(HYPERDERP_MAX_DENY_REASON <= FRAME_MAX_HEALTH - FRAME_HEADER_SIZE,
               "a Health frame holds the reason");

static void answer_arrived(struct worker *worker, struct message *message)
{
    hyperderp_admission *ticket = (hyperderp_admission *)message;
    struct conn *conn = slab_find(&worker->conns, ticket->slot, ticket->generation);

    if (conn && conn->state == CONN_ADMISSION) {
        if (*ticket->reason)
            handshake_denied(conn, ticket->reason);
        else
            handshake_decided(conn, ticket->verdict);
        conn_arm(conn);
    }
    memory_free(ticket);
}

static void send_answer(hyperderp_admission *ticket)
{
    if (!worker_post(ticket->worker, &ticket->message))
        memory_free(ticket); /* the worker has ended, and the client with it */
}

void hyperderp_admission_answer(hyperderp_admission *ticket, hyperderp_verdict verdict)
{
    if (!ticket)
        return;
    ticket->verdict = verdict == HYPERDERP_ALLOW ? HYPERDERP_ALLOW : HYPERDERP_DENY;
    send_answer(ticket);
}

void hyperderp_admission_deny(hyperderp_admission *ticket, const char *reason)
{
    if (!ticket)
        return;
    ticket->verdict = HYPERDERP_DENY;
    if (reason)
        utf8_copy_printable(ticket->reason, HYPERDERP_MAX_DENY_REASON, reason,
                            strnlen(reason, HYPERDERP_MAX_DENY_REASON + UTF8_MAX_SIZE));
    send_answer(ticket);
}

void admission_ask(struct conn *conn, const struct client_info *info)
{
    struct worker *worker = conn->worker;
    struct hyperderp_relay *relay = worker->relay;
    char address[ENDPOINT_TEXT_SIZE];

    /* For the list of peers; without memory it does without. */
    if (info->app_name[0])
        conn->sink->app_name = memory_strdup(info->app_name);
    conn->sink->can_ack_pings = info->can_ack_pings;
    /* A mesh partner has shown that it may: it is part of the relay's region, not of a network. */
    if (!relay->admit || conn->sink->can_mesh) {
        handshake_decided(conn, HYPERDERP_ALLOW);
        return;
    }
    hyperderp_admission *ticket = memory_calloc(1, sizeof(*ticket));
    if (!ticket) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    ticket->message.deliver = answer_arrived;
    ticket->worker = worker;
    ticket->slot = conn->slot;
    ticket->generation = conn->generation;

    endpoint_format(&conn->sink->from, address);
    hyperderp_client_info client = {.size = sizeof(client),
                                    .key = conn->key,
                                    .address = address,
                                    .app_name = info->app_name,
                                    .can_ack_pings = info->can_ack_pings,
                                    .is_prober = info->is_prober};
    hyperderp_verdict verdict = relay->admit(relay->user, &client, ticket);
    if (verdict == HYPERDERP_LATER)
        return; /* the ticket is the callee's, and may be gone already */
    memory_free(ticket);
    handshake_decided(conn, verdict);
}
