/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time, and who runs next. The threads of the relay are fibers; one runs until it waits for events,
 * waits for a lock or a condition, or is preempted at one of these. Which one then goes on is
 * chance. Time goes on a little with each step, and jumps when nobody can do anything.
 */
#ifndef SIMULATION_SCHEDULE_H
#define SIMULATION_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* CLOCK_MONOTONIC when a simulation begins, in ns. */
#define SCHEDULE_BEGIN ((int64_t)1000 * 1000000000)
#define SCHEDULE_NEVER INT64_MAX

struct schedule_settings {
    uint32_t preempt_one_in; /* locks at which another thread goes on; 0: none */
    uint32_t step_ns;        /* at most that long takes a step */
    uint32_t no_thread_one_in;
};

void schedule_begin(const struct schedule_settings *settings);

/* All threads have ended; otherwise a failure. */
void schedule_end(void);

int64_t schedule_now(void);
void schedule_advance(int64_t until);

/* Who runs: "worker 1", or "world". */
const char *schedule_name(void);

/* Whether the relay's thread runs, and not the world around it. */
bool schedule_in_thread(void);

/* Lets some thread that can go on do so. False when none can. From the world only. */
bool schedule_step(void);

/* When the first thread can go on though nothing happens; SCHEDULE_NEVER when none can. */
int64_t schedule_next(void);

/* The thread that runs waits until ready(of) or the time has come. */
void schedule_wait(bool (*ready)(void *of), int64_t (*next)(void *of), void *of, int64_t until);

/* A place where the thread that runs may be preempted. */
void schedule_point(void);

/* It cannot go on until another one has done something. In the world, lets the others run. */
void schedule_blocked(void);

#endif
