/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load: connections, the schedule by which packets are due, the threads that send and check
 * them, and what they have seen.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "histogram.h"
#include "tls/client_handshake.h"

#define LOAD_MAX_CORES 256

/* Peers are numbered from 0; idle connections come behind them. */
enum load_traffic {
    LOAD_ONE_WAY,   /* peer 0 sends to peer 1, 2 to 3, and so on */
    LOAD_BOTH_WAYS, /* they also send back */
    LOAD_RANDOM,    /* every peer sends each packet to a random other one */
};

struct load_options {
    const char *relay; /* "HOST:PORT", as it was given */
    unsigned peers;    /* connections that send or receive; an even number unless LOAD_RANDOM */
    unsigned idle;     /* connections that do neither */
    enum load_traffic traffic;
    unsigned size;  /* bytes of a packet */
    double rate;    /* packets/s of all peers together, 0: as many as the relay takes */
    unsigned burst; /* frames in each write */
    double duration_s;
    double warmup_s;
    unsigned threads;
    unsigned core_count; /* 0, or as many as threads: thread i runs on cores[i] alone */
    unsigned cores[LOAD_MAX_CORES];
    pid_t relay_pid; /* 0: no figures of the relay's process */
    bool over_tls;
    struct tls_client_options tls_options; /* whom to believe, what to offer */
    const char *server_name; /* that the certificate must be for; at first NULL: relay's host */
    struct tls_client *tls;  /* made of these; NULL: plain TCP */
};

/* What the relay's process took. */
struct load_relay {
    pid_t pid;              /* 0 when it is not known, or was gone before the end */
    char name[32];          /* of its command */
    double connecting_cpu;  /* seconds of CPU while the connections were made */
    double cpu_share;       /* of one core, in the measured time */
    uint64_t rss_before;    /* bytes: before the connections */
    uint64_t rss_connected; /* with all of them, before the first packet */
    uint64_t rss;           /* at the end of the measured time */
};

/*
 * "Measured" are the packets that were sent in the measured seconds: those after the warm-up. They
 * are followed to their end, also when that comes after these seconds.
 */
struct load_result {
    double seconds;           /* measured; less than asked for when the run ended early */
    double connecting;        /* seconds that it took to make all connections */
    uint64_t offered;         /* packets that were due in these seconds */
    uint64_t unmade;          /* ... that the loader had no time for, though there was room */
    uint64_t sent;            /* measured packets */
    uint64_t delivered;       /* ... that arrived intact */
    uint64_t arrived;         /* packets that arrived intact within the measured seconds */
    uint64_t order_unknown;   /* arrived when nothing was known of the order of their pair */
    uint64_t misordered;      /* arrived behind a later one of the same pair, or twice */
    uint64_t damaged;         /* arrived with wrong bytes, length or sender, or at the wrong peer */
    uint64_t broken;          /* connections that the relay closed or broke */
    struct histogram latency; /* of measured packets, ns from when they were due */
    struct histogram lateness; /* ns from due to sent, where the socket had room */
    double cpu_share;          /* of one core, that this process took; about */
    unsigned cores;            /* that its threads can fill */
    struct load_relay relay;
    const char *suite; /* of TLS, NULL: plain TCP */
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

static inline unsigned load_connections(const struct load_options *options)
{
    return options->peers + options->idle;
}

static inline bool load_is_flat_out(const struct load_options *options)
{
    return options->rate <= 0 && options->peers > 0;
}

/* Called about once a second by the thread that called load_run(). */
typedef void load_progress_fn(void *user, const struct load_progress *progress);

/*
 * Runs the load against the relay at address. `stop` ends it early once it is not 0 (a signal
 * handler may set it). Returns 0 when packets were measured and result is filled, -EINTR when it
 * was stopped before that, -EPIPE when all connections of a thread broke before that, or the
 * negative errno that kept the connections from being made; problem of the result then says more.
 */
int load_run(const struct load_options *options, const struct sockaddr *address, socklen_t len,
             const volatile sig_atomic_t *stop, load_progress_fn *progress, void *user,
             struct load_result *result);

#endif
