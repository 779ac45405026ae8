/* SPDX-License-Identifier: BSD-3-Clause */
/* The schedule of bench/schedule.h. */
#include "schedule.h"

void schedule_init(struct schedule *schedule, uint64_t start_ns, double rate, unsigned burst,
                   unsigned before, unsigned senders, unsigned all_senders)
{
    double spacing = burst * 1e9 / rate;

    schedule->start_ns = start_ns;
    schedule->spacing_ns = spacing * all_senders / senders;
    /* A thread's share of the time between two of its own bursts. */
    schedule->first_ns = schedule->spacing_ns * before / all_senders;
}

uint64_t schedule_count_before(const struct schedule *schedule, uint64_t time_ns)
{
    uint64_t low = 0, high = 1, middle;

    if (schedule_due(schedule, 0) >= time_ns)
        return 0;
    while (schedule_due(schedule, high) < time_ns)
        high *= 2;
    while (high - low > 1) {
        middle = low + (high - low) / 2;
        if (schedule_due(schedule, middle) < time_ns)
            low = middle;
        else
            high = middle;
    }
    return high;
}
