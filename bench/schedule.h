/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When bursts are due: at fixed, evenly spaced times, whatever the relay does. The bursts of all
 * threads together are evenly spaced too, as each thread starts a little after the one before.
 */
#ifndef BENCH_SCHEDULE_H
#define BENCH_SCHEDULE_H

#include <stdint.h>

struct schedule {
    double first_ns;   /* of the first burst, after start_ns */
    double spacing_ns; /* between two bursts of this thread */
    uint64_t start_ns;
};

/* The part of one thread that has `senders` of all the senders; `before` of these belong to the
 * threads before it. rate is in packets per second, of all threads. */
void schedule_init(struct schedule *schedule, uint64_t start_ns, double rate, unsigned burst,
                   unsigned before, unsigned senders, unsigned all_senders);

/* When burst number `tick` is due; the first is number 0. */
static inline uint64_t schedule_due(const struct schedule *schedule, uint64_t tick)
{
    return schedule->start_ns +
           (uint64_t)(schedule->first_ns + schedule->spacing_ns * (double)tick);
}

/* Number of bursts that are due before a time. */
uint64_t schedule_count_before(const struct schedule *schedule, uint64_t time_ns);

#endif
