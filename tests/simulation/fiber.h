/* SPDX-License-Identifier: BSD-3-Clause */
/* Coroutines: what the relay takes for threads. One runs at a time, until it yields to whoever
 * resumed it. */
#ifndef SIMULATION_FIBER_H
#define SIMULATION_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <ucontext.h>

struct within;

struct fiber {
    ucontext_t context;
    void *stack; /* kept for the next one */
    void *(*run)(void *arg);
    void *arg;
    bool done;
    struct within *within; /* while others run */
    void *fake_stack;      /* of the address sanitizer */
    void *tsan;            /* of the thread sanitizer */
};

/* Makes a fiber that has not run yet; its memory is zero, or that of one that is done. */
void fiber_start(struct fiber *fiber, void *(*run)(void *arg), void *arg);

/* Runs it until it yields or is done. From outside of fibers only. */
void fiber_resume(struct fiber *fiber);

/* Goes back to who resumed the fiber that runs. */
void fiber_yield(void);

/* The fiber that runs, NULL outside of all. */
struct fiber *fiber_current(void);

/* Ends one that is done, or that never will be. */
void fiber_end(struct fiber *fiber);

#endif
