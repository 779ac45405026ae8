/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for events of connections until a given time, at little cost: a short wait is spent by
 * looking again and again, as to sleep and to be woken takes longer; for a long one there is one
 * timer, which stays set while events come before its time. Used by one thread only.
 */
#ifndef BENCH_WAIT_H
#define BENCH_WAIT_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>

/* A wait up to so long is not slept. Setting a timer and being woken takes 3 us where a processor's
 * timer is set by a register, and 15 in a virtual machine that has to ask its host. */
#define LOAD_WAIT_SHORT_NS 10000u

struct load_wait {
    int epoll; /* whose events have a pointer that is not NULL */
    int timer;
    uint64_t set_ns; /* that the timer is set to */

    /* How long it has looked in vain in all: CPU time that was not needed. Relaxed: a figure. */
    _Atomic uint64_t idle_ns;
};

/* 0 or a negative errno; load_wait_free() is right in both cases. */
int load_wait_init(struct load_wait *wait);
void load_wait_free(struct load_wait *wait);

/* Waits for events, from now on until wake_ns, or somewhat less. Returns how many there are, 0 too,
 * or -1 as epoll_wait() does. */
int load_wait(struct load_wait *wait, uint64_t now_ns, uint64_t wake_ns, struct epoll_event *events,
              int room);

#endif
