/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load: pairs of connections, the schedule by which packets are due, the threads that send and
 * check them, and what they have seen.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "histogram.h"

struct load_options {
    const char *relay; /* "HOST:PORT", as it was given */
    unsigned pairs;
    unsigned size;  /* bytes of a packet */
    double rate;    /* packets/s of all pairs together, 0: as many as the relay takes */
    unsigned burst; /* frames in each write */
    double duration_s;
    double warmup_s;
    unsigned threads;
    bool both_ways; /* the second of each pair sends too */
};

/*
 * "Measured" are the packets that were sent in the measured seconds: those after the warm-up. They
 * are followed to their end, also when that comes after these seconds.
 */
struct load_result {
    double seconds;            /* measured; less than asked for when the run ended early */
    uint64_t offered;          /* packets that were due in these seconds */
    uint64_t unmade;           /* ... that the loader had no time for, though there was room */
    uint64_t sent;             /* measured packets */
    uint64_t delivered;        /* ... that arrived intact */
    uint64_t arrived;          /* packets that arrived intact within the measured seconds */
    uint64_t misordered;       /* arrived behind a later one of the same sender, or twice */
    uint64_t damaged;          /* arrived with wrong bytes, length or sender */
    uint64_t broken;           /* connections that the relay closed or broke */
    struct histogram latency;  /* of measured packets, ns from when they were due */
    struct histogram lateness; /* ns from due to sent, where the socket had room */
    double cpu_share;          /* of one core, that this process took; about */
    bool interrupted;
    char problem[160]; /* the first fault seen, or "" */
};

/* What a progress line needs, while the load runs. */
struct load_progress {
    enum { LOAD_CONNECTING, LOAD_WARMUP, LOAD_MEASURING, LOAD_WAITING } phase;
    unsigned connected, connections;
    double elapsed_s, total_s; /* since the first packet */
    uint64_t sent, delivered;  /* all packets, those of the warm-up too */
};

/* Called about once a second by the thread that called load_run(). */
typedef void load_progress_fn(void *user, const struct load_progress *progress);

/*
 * Runs the load against the relay at address. `stop` ends it early once it is not 0 (a signal
 * handler may set it). Returns 0 when packets were measured and result is filled, -EINTR when it was
 * stopped before that, -EPIPE when all connections of a thread broke before that, or the negative
 * errno that kept the connections from being made; problem of the result then says more.
 */
int load_run(const struct load_options *options, const struct sockaddr *address, socklen_t len,
             const volatile sig_atomic_t *stop, load_progress_fn *progress, void *user,
             struct load_result *result);

#endif
