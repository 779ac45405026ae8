/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deadlines of a worker: a hashed wheel of intrusive timers. Setting, moving and stopping one costs
 * a few stores and never allocates. A timer fires at its deadline or up to two ticks later, never
 * earlier. Belongs to one thread.
 */
#ifndef IO_TIMER_H
#define IO_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#define TIMER_SLOTS   1024
#define TIMER_TICK_NS 32000000 /* 32 ms: the wheel turns once in 32.8 s */

struct timer {
    struct timer *next, *prev; /* NULL while it is not set */
    int64_t deadline;          /* ns, of the clock that timers_run() is given */
    void (*fire)(struct timer *timer);
};

struct timers {
    struct timer slots[TIMER_SLOTS]; /* heads of rings */
    uint64_t occupied[TIMER_SLOTS / 64];
    int64_t tick; /* the last one that was run */
};

void timers_init(struct timers *timers, int64_t now);

/* Sets a timer, also one that is set already. Its fire must be set. */
void timer_set(struct timers *timers, struct timer *timer, int64_t deadline);
void timer_stop(struct timers *timers, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
    return timer->next != 0;
}

/* Fires what is due. A timer is stopped before it fires; fire may set and stop any. */
void timers_run(struct timers *timers, int64_t now);

/* How long timers_run() need not be called, in ns; -1 when nothing is set. */
int64_t timers_wait(const struct timers *timers, int64_t now);

#endif
