/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures of the last minutes, one sample a second, for the plots of the status page. */
#ifndef DAEMON_HISTORY_H
#define DAEMON_HISTORY_H

#include <pthread.h>
#include <stdint.h>

#include <jansson.h>

#include <hyperderp/hyperderp.h>

#define HISTORY_SECONDS 600

struct history_sample {
    uint64_t recv_bytes, send_bytes; /* within the second */
    uint64_t packets_in, packets_out;
    uint64_t drops[HYPERDERP_DROP_REASONS];
    uint64_t peers, resident_bytes;
    double cpu_seconds; /* of the process, within the second */
};

struct history {
    /* Owned by the thread that adds. */
    hyperderp_counters last;
    double last_cpu;
    int64_t last_ms; /* 0: none yet */

    pthread_mutex_t lock; /* guards what follows */
    struct history_sample samples[HISTORY_SECONDS];
    unsigned next, count;
};

void history_init(struct history *history);
void history_destroy(struct history *history);

/* Takes a sample of what has happened since the last one. */
void history_add(struct history *history, const hyperderp_relay *relay, int64_t now_ms);

/* The samples, oldest first, as an object of arrays: rates are per second. NULL without memory. */
json_t *history_json(struct history *history);

#endif
