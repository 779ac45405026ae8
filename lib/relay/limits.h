/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The limits of a relay. They may be changed while it runs: each is an atomic of its own, read and
 * written relaxed, as each stands for itself and orders nothing.
 */
#ifndef RELAY_LIMITS_H
#define RELAY_LIMITS_H

#include <stdatomic.h>
#include <stdint.h>

#include <hyperderp/relay.h>

#include "relay/outq.h"

struct limits {
    atomic_uint max_connections;
    _Atomic uint32_t queue_frames, queue_bytes;
    _Atomic uint32_t queue_time_ms; /* 0: no limit */
    _Atomic int64_t handshake_timeout_ns, keepalive_ns, write_timeout_ns;
    atomic_uint connections_per_ip;                      /* 0: no limit */
    _Atomic int64_t accept_interval_ns, accept_ahead_ns; /* 0: no limit; see pace.h */
    _Atomic uint64_t client_rate, client_burst;          /* 0: no limit */
    _Atomic int64_t client_ahead_ns;
};

/* Takes values that options_check_limits() has checked. */
void limits_set(struct limits *limits, const hyperderp_limits *from);

static inline struct outq_limits limits_queue(const struct limits *limits)
{
    return (struct outq_limits){
        .frames = atomic_load_explicit(&limits->queue_frames, memory_order_relaxed),
        .bytes = atomic_load_explicit(&limits->queue_bytes, memory_order_relaxed),
        .age_ms = atomic_load_explicit(&limits->queue_time_ms, memory_order_relaxed),
    };
}

static inline unsigned limits_connections(const struct limits *limits)
{
    return atomic_load_explicit(&limits->max_connections, memory_order_relaxed);
}

static inline int64_t limits_handshake(const struct limits *limits)
{
    return atomic_load_explicit(&limits->handshake_timeout_ns, memory_order_relaxed);
}

static inline int64_t limits_keepalive(const struct limits *limits)
{
    return atomic_load_explicit(&limits->keepalive_ns, memory_order_relaxed);
}

static inline unsigned limits_per_ip(const struct limits *limits)
{
    return atomic_load_explicit(&limits->connections_per_ip, memory_order_relaxed);
}

static inline uint64_t limits_client_rate(const struct limits *limits)
{
    return atomic_load_explicit(&limits->client_rate, memory_order_relaxed);
}

static inline uint64_t limits_client_burst(const struct limits *limits)
{
    return atomic_load_explicit(&limits->client_burst, memory_order_relaxed);
}

static inline int64_t limits_write(const struct limits *limits)
{
    return atomic_load_explicit(&limits->write_timeout_ns, memory_order_relaxed);
}

#endif
