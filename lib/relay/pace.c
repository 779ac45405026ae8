/* SPDX-License-Identifier: BSD-3-Clause */
/* The bucket of a client. */
#include "relay/pace.h"

#include "relay/conn.h"
#include "relay/sink.h"
#include "relay/worker.h"

#define NS_PER_S 1000000000ull

void pace_charge(struct conn *conn, size_t bytes)
{
    struct worker *worker = conn->worker;
    const struct limits *limits = &worker->relay->limits;
    uint64_t rate = limits_client_rate(limits);
    struct pace *pace = &conn->pace;

    if (rate == 0 || conn->sink->can_mesh)
        return; /* a mesh partner carries the packets of many */
    if (pace->full_at < worker->now)
        pace->full_at = worker->now;
    pace->full_at += (int64_t)(bytes * NS_PER_S / rate);
    int64_t ready =
        pace->full_at - atomic_load_explicit(&limits->client_ahead_ns, memory_order_relaxed);
    if (ready <= worker->now)
        return;
    if (!pace->resume_at)
        counters_add(worker->counters, COUNTER_client_rate_pauses, 1);
    conn_pause(conn, ready);
}
