/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread of the load generator: it owns whole pairs, so that nothing of a packet's way but the
 * relay is shared between threads.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "conn.h"
#include "histogram.h"
#include "load.h"

/* The packets from one connection to another. */
struct load_flow {
    struct load_conn *from, *to;
    uint64_t due_bursts;  /* bursts that have become due */
    uint64_t made_bursts; /* ... and that were written */
    uint64_t sequence;    /* of the last packet made */
    uint64_t seen;        /* sequence of the last packet that arrived in order */
    uint64_t measured;    /* sequence of the first measured packet, 0 before that */
    uint64_t free_ns;     /* since when the socket has had room */
};

/* What all workers share. */
struct load {
    /* Fixed before the threads start. */
    const struct load_options *options;
    const struct sockaddr *address;
    socklen_t address_len;
    unsigned flows; /* of all workers */

    /* Guarded by mutex; changed is signalled with each change. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned ready;    /* workers that have connected, or failed to */
    unsigned finished; /* workers that have ended */
    enum { GATE_CLOSED, GATE_OPEN, GATE_ABORT } gate;

    /* Set before the gate opens, then fixed. */
    uint64_t start_ns;   /* the first packet is due */
    uint64_t measure_ns; /* the warm-up is over */

    /* The last packet is due. Only ever moved to an earlier time, to end early: relaxed is enough,
     * as a worker that sees it late sends a little longer. */
    _Atomic uint64_t end_ns;
    atomic_bool abort; /* give up connecting; relaxed for the same reason */
};

struct load_worker {
    struct load *load;
    unsigned index;
    pthread_t thread;

    /* Owned by the thread between its start and its join. */
    struct load_conn *conns; /* first sends, second receives, and so on */
    unsigned conn_count;
    struct load_flow *flows; /* see load_flow_from() and load_flow_to() */
    unsigned flow_count;
    int epoll;
    uint8_t *scratch;
    bool sending;  /* between the first packet's time and the last one's */
    uint64_t tick; /* bursts of all its flows that have become due */
    uint64_t last_arrival_ns;
    uint64_t sent_all; /* packets, those of the warm-up too */
    uint64_t arrived_all;
    int error; /* why connecting failed */
    struct load_result result;

    /* Written by the thread, read by the one that shows the progress: relaxed, each alone. */
    _Atomic unsigned connected;
    _Atomic uint64_t shown_sent, shown_arrived;
};

/* Makes a worker for the given number of pairs, whose connections are numbered from first on. 0 or
 * a negative errno; load_worker_free() is right in both cases. */
int load_worker_init(struct load_worker *worker, struct load *load, unsigned index, unsigned first,
                     unsigned pairs);
void load_worker_free(struct load_worker *worker);

/* The thread's function: connects, waits at the gate, sends and checks, waits for stragglers. */
void *load_worker_main(void *worker);

/* The flow that a connection sends, and the one that it gets; NULL when there is none. */
struct load_flow *load_flow_from(struct load_worker *worker, const struct load_conn *conn);
struct load_flow *load_flow_to(struct load_worker *worker, const struct load_conn *conn);

/* Connects all of the worker's connections, some at a time. 0 or a negative errno. */
int load_worker_connect(struct load_worker *worker);

/* Keeps the first fault's description for the report. */
void load_worker_note_problem(struct load_worker *worker, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Checks and counts a packet that arrived: a load_conn_packet_fn whose user is the worker. */
void load_worker_check(void *worker, struct load_conn *conn, const struct client_message *message,
                       uint64_t now_ns);

#endif
