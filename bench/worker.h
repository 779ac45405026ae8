/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thread of the load generator, with its own connections. Pairs are never split over threads;
 * with random destinations a packet may well be sent by one thread and arrive at another, so what
 * the receiver must know of the sender stands in the packet.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "conn.h"
#include "histogram.h"
#include "load.h"
#include "order.h"
#include "random.h"
#include "schedule.h"
#include "wait.h"

/* A connection, what it sends and what it has got. */
struct load_peer {
    struct load_conn conn; /* first, so that one leads to the other */
    uint64_t due_bursts;   /* bursts that have become due */
    uint64_t made_bursts;  /* ... and that were written */
    uint64_t sequence;     /* of the last packet made */
    uint64_t seen;         /* in pairs: sequence of the last packet that arrived in order */
    uint64_t free_ns;      /* since when the socket has had room */
    bool measured;         /* the packets that it makes now are measured */
};

_Static_assert(offsetof(struct load_peer, conn) == 0, "a conn of a peer is at its start");

/* What all workers share. */
struct load {
    /* Fixed before the threads start. */
    const struct load_options *options;
    const struct sockaddr *address;
    socklen_t address_len;
    hyperderp_key *keys; /* of all peers, by number */
    struct load_worker *workers;
    unsigned worker_count;
    unsigned senders; /* of all workers */

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

    /* Workers that may still send. Released by a worker when its shown_sent is final, acquired
     * before these are added up. */
    atomic_uint sending;
};

struct load_worker {
    struct load *load;
    unsigned index;
    pthread_t thread;

    /* Fixed before the threads start. */
    unsigned peer_count;     /* of peers[], without the idle ones behind them */
    unsigned conn_count;     /* with those */
    unsigned sender_count;   /* of these: see load_worker_sender() */
    unsigned senders_before; /* of the workers before this one */

    /* Owned by the thread between its start and its join. */
    struct load_peer *peers;
    struct schedule schedule;
    struct order order; /* with random destinations */
    struct load_tls tls;
    struct random random;
    struct load_wait wait;
    uint8_t *scratch; /* to read into */
    uint8_t *burst;   /* to make bursts in */
    bool sending;     /* between the first packet's time and the last one's */
    uint64_t tick;    /* bursts of all its senders that have become due */
    uint64_t last_arrival_ns;
    uint64_t sent_all; /* packets, those of the warm-up too */
    uint64_t arrived_all;
    int error; /* why connecting failed */
    struct load_result result;

    /* Written by the thread, read by others: relaxed, but for the last of shown_sent. */
    _Atomic unsigned connected;
    _Atomic uint64_t shown_sent, shown_arrived;
};

/* Makes a worker: its first peer and its first idle connection have these numbers. The keys of its
 * peers are put into load->keys. 0 or a negative errno; load_worker_free() is right in both cases.
 */
int load_worker_init(struct load_worker *worker, unsigned first_peer, unsigned peers,
                     unsigned first_idle, unsigned idle);
void load_worker_free(struct load_worker *worker);

/* The thread's function: connects, waits at the gate, sends and checks, waits for stragglers. */
void *load_worker_main(void *worker);

/* Sender number `index` of a worker, and its number. */
static inline struct load_peer *load_worker_sender(const struct load_worker *worker, size_t index)
{
    return &worker->peers[worker->load->options->traffic == LOAD_ONE_WAY ? 2 * index : index];
}

static inline size_t load_worker_sender_index(const struct load_worker *worker,
                                              const struct load_peer *peer)
{
    size_t index = (size_t)(peer - worker->peers);

    return worker->load->options->traffic == LOAD_ONE_WAY ? index / 2 : index;
}

/* Tells whether the peer with this number sends. */
static inline bool load_sends(const struct load_options *options, uint32_t number)
{
    return number < options->peers && (options->traffic != LOAD_ONE_WAY || number % 2 == 0);
}

/* Connects all of the worker's connections, some at a time. 0 or a negative errno. */
int load_worker_connect(struct load_worker *worker);

/* Keeps the first fault's description for the report. */
void load_worker_note_problem(struct load_worker *worker, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Checks and counts a packet that arrived: a load_conn_packet_fn whose user is the worker. */
void load_worker_check(void *worker, struct load_conn *conn, const struct client_message *message,
                       uint64_t now_ns);

#endif
