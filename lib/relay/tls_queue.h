/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TLS handshakes of a worker, bounded in time and number. Answering a ClientHello costs as much
 * CPU as passing a hundred packets: ClientHellos wait in a queue, from which each turn takes what
 * fits into a fraction of a millisecond, behind the packets. So a storm of connections does not
 * starve those that are there. Handshakes that have been answered hold memory; when there are too
 * many, the one whose client has been silent for longest gives way.
 */
#ifndef RELAY_TLS_QUEUE_H
#define RELAY_TLS_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct worker;

/* Answered handshakes of a worker at once. */
#define TLS_QUEUE_SHAKING 512

struct tls_queue {
    struct conn *waiting_head, *waiting_tail; /* whole ClientHellos */
    struct conn *shaking_head, *shaking_tail; /* answered, the oldest in front */
    unsigned shaking;
};

/* Appends a connection whose ClientHello is whole. */
void tls_queue_wait(struct conn *conn);

/* Takes a connection out of whichever list it is in. */
void tls_queue_leave(struct conn *conn);

/* Answers some of those that wait: the worker's turn. */
void tls_queue_run(struct worker *worker);

/* How long the worker may sleep, given that it may for timeout_ns. */
int64_t tls_queue_wait_time(const struct worker *worker, int64_t timeout_ns);

#endif
