/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A worker: one thread, one loop, the connections that were given to it. Its turn has fixed phases:
 * wait for events, timers, completions, messages, flush what was collected, and re-arm what had to
 * wait.
 */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include <pthread.h>
#include <stdint.h>

#include "io/loop.h"
#include "io/timer.h"
#include "relay/counters.h"
#include "relay/frame_pool.h"
#include "relay/mailbox.h"
#include "relay/relay.h"
#include "relay/slab.h"
#include "relay/tls_queue.h"
#include "tls/record.h"

struct conn;
struct drainer;
struct link;
struct websocket_reader;
struct websocket_writer;

/* Threads that dispatch are told apart by it (driven.c). */
typedef uint64_t thread_number;

struct worker {
    /* Fixed after creation. */
    struct hyperderp_relay *relay;
    struct counters *counters; /* aligned; written by this worker, read by anyone */
    uint16_t index;

    /* Shared. The loop for io_wake() alone. */
    struct io_loop *loop;
    struct mailbox mailbox;
    _Atomic clockid_t cpu_clock; /* of its thread, 0 before it runs; relaxed */
    atomic_uint
        load; /* connections given to it; relaxed: it guides placement, and orders nothing */

    /* Owned by the thread that starts and stops the relay. */
    pthread_t thread;
    bool has_thread;

    /* Of a relay that is driven. Shared, see driven.c. */
    _Atomic thread_number driver; /* the thread that dispatches it, 0: none yet */
    atomic_bool ended;
    bool is_ending; /* by hyperderp_relay_stop(), not by its dispatches; guarded by relay->lock */

    /* The driver's. */
    bool has_begun;

    /* Owned by the worker's thread from here on. */
    int64_t now; /* CLOCK_MONOTONIC in ns, of the beginning of the turn */
    struct timers timers;
    struct frame_pool frames;
    enum relay_phase phase;   /* what it has acted upon */
    uint64_t last_serial;     /* of sinks */
    uint64_t random;          /* state of worker_random() */
    struct message *messages; /* taken, and for the next turns */
    bool engine_failed;       /* has been logged */

    struct slab conns;
    struct conn *starved_head, *starved_tail; /* wait for a receive chunk */
    struct conn *dead;                        /* freed at the end of the turn */

    struct tls_queue tls_queue;
    struct tls_ciphers ciphers; /* see worker_ciphers() */
    struct timer cipher_pause;  /* runs while ciphers hold keys */
    uint64_t cipher_uses;       /* when it was set */

    struct watch_post watch; /* its message is shared, see there */

    struct link *links; /* that have begun */
    bool links_begin;   /* links that are added must be posted; guarded by the mesh's lock */

    struct slab drainers;
    unsigned drainer_count;
    struct drainer *flush_head, *flush_tail; /* to be sent at the end of the turn */
    struct drainer *spare_drainers;
    unsigned spare_drainer_count;

    struct websocket_reader *spare_reader; /* an empty one, or NULL */
    struct websocket_writer *writer;       /* from the first WebSocket connection on, or NULL */

    unsigned place;            /* where the search for the least loaded worker begins */
    struct timer accept_retry; /* after accepting failed */
    uint64_t listening;        /* bit i: listener i is armed */
    bool accepts_nobody;       /* its listeners are closed */
};

/* Makes a worker with its loop. 0, -ENOMEM, or what io_loop_new() said. */
int worker_new(struct worker **out, struct hyperderp_relay *relay, unsigned index);
void worker_free(struct worker *worker); /* only when its thread has ended; NULL is allowed */

/* Binds the worker to the calling thread, before its turns. 0 or -errno: then it has ended. */
int worker_attach(struct worker *worker);

/* Refuses what others have given to a worker that does not run, and takes no more. Nothing to do
 * for one that has ended. */
void worker_refuse(struct worker *worker);

/* Begins to accept, to answer, and to call other nodes; after worker_attach(). */
void worker_begin(struct worker *worker);

/* One turn, which waits for events for timeout_ns (negative: no limit). Returns 0 when the worker
 * has ended, as the relay has been drained or stopped; 1; or -errno when the engine failed: the
 * turn went on without its events, and so may the worker, after WORKER_ENGINE_PAUSE_NS. */
int worker_turn(struct worker *worker, int64_t timeout_ns);
#define WORKER_ENGINE_PAUSE_NS 10000000

/* For how long the next turn may wait for events. */
int64_t worker_time_to_wait(const struct worker *worker);

/* The body of the worker's thread: begins, and turns until the worker has ended. */
void worker_run(struct worker *worker);

/* For a worker in whose loop no event will come any more, of a relay that stops: a few turns later
 * it has ended. The turns are the calling thread's. */
void worker_abandon(struct worker *worker);

/* Gives a message to a worker; false as mailbox_post(). Any thread. */
bool worker_post(struct worker *worker, struct message *message);

/* Sees to it that cipher contexts do not keep keys while there is no traffic. */
void worker_watch_ciphers(struct worker *worker);

/* How a worker is named in a sink: never 0. */
static inline unsigned worker_identity(const struct worker *worker)
{
    return worker->index + 1u;
}

/* The worker's cipher contexts. They are wiped when nothing was sealed or opened for a second or
 * two. */
static inline struct tls_ciphers *worker_ciphers(struct worker *worker)
{
    if (!timer_is_set(&worker->cipher_pause))
        worker_watch_ciphers(worker);
    return &worker->ciphers;
}

/* The time of the turn in milliseconds, which wraps: how long a frame has waited. */
static inline uint32_t worker_ms(const struct worker *worker)
{
    return (uint32_t)(worker->now / 1000000);
}

/* CLOCK_MONOTONIC in ns, of this moment. */
int64_t worker_clock(void);

/* A number that need not be secret. */
uint64_t worker_random(struct worker *worker);

#endif
