/* SPDX-License-Identifier: BSD-3-Clause */
/* What a simulation tells: a trace for who replays a seed, and the fault that it has found. */
#ifndef SIMULATION_REPORT_H
#define SIMULATION_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* The faults that were injected, so that a run can tell what it has gone through. */
enum fault {
    FAULT_SHORT_READ,
    FAULT_SHORT_WRITE,
    FAULT_NO_ROOM,     /* EAGAIN of a send */
    FAULT_RESET,       /* ECONNRESET or EPIPE */
    FAULT_NO_CHUNK,    /* ENOBUFS of a receive */
    FAULT_ACCEPT,      /* EMFILE and the like */
    FAULT_NO_MEMORY,   /* of malloc() */
    FAULT_SEND_MEMORY, /* ENOBUFS or ENOMEM of a send */
    FAULT_ENGINE_FULL, /* EBUSY or EAGAIN of the engine */
    FAULT_DELAY,       /* a completion that comes later */
    FAULT_STALE,       /* a receive that was done when it was cancelled */
    FAULT_INTERRUPT,   /* EINTR, EAGAIN of a receive */
    FAULT_PREEMPTION,  /* a worker stood still at a lock */
    FAULT_NO_THREAD,   /* EAGAIN of pthread_create() */
    FAULTS
};
extern const char *const fault_names[FAULTS];

struct report {
    uint64_t faults[FAULTS];
    uint64_t turns, packets_sent, packets_got, connections;
};
extern struct report report;

static inline void report_fault(enum fault fault)
{
    report.faults[fault]++;
}

/* Tells the trace what happens, when there is one. */
extern bool report_traces;
void report_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define trace(...)                                                                                 \
    do {                                                                                           \
        if (report_traces)                                                                         \
            report_line(__VA_ARGS__);                                                              \
    } while (0)

/* Says what is wrong and ends the process by SIGABRT. */
_Noreturn void report_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
