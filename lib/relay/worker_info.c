/* SPDX-License-Identifier: BSD-3-Clause */
/* The public functions about workers. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "relay/relay.h"
#include "relay/worker.h"

/* CPU time of the worker's thread; 0 when it does not run, or has ended: its clock went with it. */
static uint64_t cpu_time(struct worker *worker)
{
    clockid_t clock = atomic_load_explicit(&worker->cpu_clock, memory_order_relaxed);
    struct timespec time;

    if (clock == 0 || clock_gettime(clock, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

int hyperderp_relay_worker(const hyperderp_relay *relay, unsigned index, hyperderp_worker_info *out)
{
    if (!relay || !out || out->size < sizeof(out->size) || index >= relay->worker_count)
        return -EINVAL;
    struct worker *worker = relay->workers[index];
    hyperderp_counters sum = {0};
    counters_sum(&sum, worker->counters);
    hyperderp_worker_info info = {
        .size = out->size,
        .connections = atomic_load_explicit(&worker->load, memory_order_relaxed),
        .loop_turns = sum.loop_turns,
        .loop_events = counters_get(worker->counters, COUNTER_loop_events),
        .cpu_ns = cpu_time(worker),
        .recv_bytes = sum.recv_bytes,
        .send_bytes = sum.send_bytes,
        .packets_received = sum.packets_received,
        .packets_delivered = sum.packets_delivered,
        .recv_enobufs = sum.recv_enobufs,
        .free_chunks = counters_get(worker->counters, COUNTER_free_chunks),
    };
    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            info.drops += sum.drops[reason][kind];
    memcpy(out, &info, out->size < sizeof(info) ? out->size : sizeof(info));
    return 0;
}

void hyperderp_relay_wake(hyperderp_relay *relay)
{
    for (unsigned i = 0; relay && i < relay->worker_count; i++)
        io_wake(relay->workers[i]->loop);
}
