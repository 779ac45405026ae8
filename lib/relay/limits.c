/* SPDX-License-Identifier: BSD-3-Clause */
/* The public functions that change what a running relay was made with. */
#include "relay/limits.h"

#include <errno.h>
#include <string.h>

#include "memory/sized.h"
#include "relay/options.h"
#include "relay/relay.h"
#include "relay/within.h"

#define NS_PER_MS 1000000
#define NS_PER_S  1000000000

/* How long a limit's burst would take at its rate. */
static int64_t burst_time(uint64_t burst, uint64_t rate)
{
    return rate ? (int64_t)((double)burst * NS_PER_S / (double)rate) : 0;
}

void limits_set(struct limits *limits, const hyperderp_limits *from)
{
#define SET(field, value) atomic_store_explicit(&limits->field, (value), memory_order_relaxed)
    SET(max_connections, from->max_connections);
    SET(queue_frames, from->queue_frames);
    SET(queue_bytes, (uint32_t)from->queue_bytes);
    SET(queue_time_ms, from->queue_time_ms);
    SET(handshake_timeout_ns, (int64_t)from->handshake_timeout_ms * NS_PER_MS);
    SET(keepalive_ns, (int64_t)from->keepalive_ms * NS_PER_MS);
    SET(write_timeout_ns, (int64_t)from->write_timeout_ms * NS_PER_MS);
    SET(accept_interval_ns, burst_time(1, from->accept_rate));
    SET(accept_ahead_ns, burst_time(from->accept_burst, from->accept_rate));
    SET(connections_per_ip, from->connections_per_ip);
    SET(client_rate, from->client_rate);
    SET(client_burst, from->client_burst);
    SET(client_ahead_ns, burst_time(from->client_burst, from->client_rate));
#undef SET
}

int hyperderp_relay_set_limits(hyperderp_relay *relay, const hyperderp_limits *given)
{
    hyperderp_limits limits = {0};

    int error = relay ? sized_read(&limits, sizeof(limits), given) : -EINVAL;
    if (error == 0)
        error =
            within_relay(&relay->log) ? -EBUSY : options_check_limits(&limits, relay->worker_count);
    if (error)
        return error;
    limits.size = sizeof(limits);
    pthread_mutex_lock(&relay->lock);
    limits_set(&relay->limits, &limits);
    relay->in_use = limits;
    pthread_mutex_unlock(&relay->lock);
    frame_depot_set_limit(&relay->frames, limits.memory_bytes);
    relay_set_user_timeout(relay);
    return 0;
}

int hyperderp_relay_limits(const hyperderp_relay *relay, hyperderp_limits *limits)
{
    if (!relay || !limits || limits->size < sizeof(limits->size))
        return -EINVAL;
    size_t size = limits->size;
    /* The lock is no part of what the relay is: taking it changes nothing. */
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&relay->lock;
    pthread_mutex_lock(lock);
    memcpy(limits, &relay->in_use, size < sizeof(*limits) ? size : sizeof(*limits));
    pthread_mutex_unlock(lock);
    limits->size = size;
    return 0;
}

void hyperderp_relay_set_log_level(hyperderp_relay *relay, hyperderp_log_level level)
{
    if (relay && level >= HYPERDERP_LOG_ERROR && level <= HYPERDERP_LOG_DEBUG)
        atomic_store_explicit(&relay->log.level, level, memory_order_relaxed);
}
