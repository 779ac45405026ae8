/* SPDX-License-Identifier: BSD-3-Clause */
/* The wheel: slot = tick of the deadline modulo the wheel's size; a timer whose turn is a later
 * round stays. */
#include "io/timer.h"

#include <stddef.h>

#define SLOT(tick) ((unsigned)((uint64_t)(tick) % TIMER_SLOTS))

static void ring_init(struct timer *head)
{
    head->next = head->prev = head;
}

static void ring_append(struct timer *head, struct timer *timer)
{
    timer->prev = head->prev;
    timer->next = head;
    head->prev->next = timer;
    head->prev = timer;
}

static void ring_remove(struct timer *timer)
{
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
}

void timers_init(struct timers *timers, int64_t now)
{
    for (unsigned i = 0; i < TIMER_SLOTS; i++)
        ring_init(&timers->slots[i]);
    for (unsigned i = 0; i < TIMER_SLOTS / 64; i++)
        timers->occupied[i] = 0;
    timers->tick = now / TIMER_TICK_NS;
}

void timer_set(struct timers *timers, struct timer *timer, int64_t deadline)
{
    timer_stop(timers, timer);
    timer->deadline = deadline;
    /* Rounded up, and never into a tick that has been run. */
    int64_t tick = (deadline + TIMER_TICK_NS - 1) / TIMER_TICK_NS;
    if (tick <= timers->tick)
        tick = timers->tick + 1;
    unsigned slot = SLOT(tick);
    ring_append(&timers->slots[slot], timer);
    timers->occupied[slot / 64] |= 1ull << slot % 64;
}

void timer_stop(struct timers *timers, struct timer *timer)
{
    (void)timers; /* the slot's mark is cleared when the wheel comes by */
    if (timer_is_set(timer))
        ring_remove(timer);
}

static void run_slot(struct timers *timers, unsigned slot, int64_t now)
{
    struct timer *head = &timers->slots[slot];
    struct timer due;

    /* Moved aside first: what fire sets lands in a later slot, or in this one for a later round. */
    ring_init(&due);
    for (struct timer *timer = head->next, *next; timer != head; timer = next) {
        next = timer->next;
        if (timer->deadline > now)
            continue;
        ring_remove(timer);
        ring_append(&due, timer);
    }
    if (head->next == head)
        timers->occupied[slot / 64] &= ~(1ull << slot % 64);
    while (due.next != &due) {
        struct timer *timer = due.next;
        ring_remove(timer);
        timer->fire(timer);
    }
}

void timers_run(struct timers *timers, int64_t now)
{
    int64_t last = now / TIMER_TICK_NS;
    int64_t first = timers->tick + 1;

    if (last < first)
        return;
    if (last - first >= TIMER_SLOTS) /* a long sleep: each slot once is enough */
        first = last - TIMER_SLOTS + 1;
    for (int64_t tick = first; tick <= last; tick++) {
        unsigned slot = SLOT(tick);
        timers->tick = tick;
        if (timers->occupied[slot / 64] & 1ull << slot % 64)
            run_slot(timers, slot, now);
    }
}

/* How many ticks after the last one that was run the next marked slot comes; 0 when no slot is
 * marked. */
static unsigned ticks_to_next(const struct timers *timers)
{
    unsigned first = SLOT(timers->tick + 1);
    uint64_t word = timers->occupied[first / 64] & ~0ull << first % 64;

    /* Once around: the word that it began in comes again at the end, for the slots before the
     * first. */
    for (unsigned i = 0; i <= TIMER_SLOTS / 64; i++) {
        unsigned at = (first / 64 + i) % (TIMER_SLOTS / 64);
        if (i > 0)
            word = timers->occupied[at];
        if (word)
            return (at * 64 + (unsigned)__builtin_ctzll(word) - first) % TIMER_SLOTS + 1;
    }
    return 0;
}

int64_t timers_wait(const struct timers *timers, int64_t now)
{
    unsigned ticks = ticks_to_next(timers);
    if (ticks == 0)
        return -1;
    int64_t wait = (timers->tick + ticks) * TIMER_TICK_NS - now;
    return wait > 0 ? wait : 0;
}
