/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The figures of one worker. Written by that worker alone, with plain relaxed stores; read by
 * anyone. Gauges are differences that may wrap in one block: only their sum over all workers has a
 * meaning.
 */
#ifndef RELAY_COUNTERS_H
#define RELAY_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include <hyperderp/counters.h>

/* Each is a field of hyperderp_counters, which says what it means. */
#define COUNTERS(X)                                                                                \
    X(recv_bytes)                                                                                  \
    X(send_bytes)                                                                                  \
    X(packets_received)                                                                            \
    X(packets_delivered)                                                                           \
    X(xfer_drops)                                                                                  \
    X(send_drops)                                                                                  \
    X(send_errors)                                                                                 \
    X(recv_enobufs)                                                                                \
    X(slab_exhausts)                                                                               \
    X(frame_pool_hits)                                                                             \
    X(frame_pool_misses)                                                                           \
    X(accepts)                                                                                     \
    X(accept_errors)                                                                               \
    X(handshakes_ok)                                                                               \
    X(handshakes_denied)                                                                           \
    X(handshakes_failed)                                                                           \
    X(handshakes_timed_out)                                                                        \
    X(http_requests)                                                                               \
    X(protocol_errors)                                                                             \
    X(unknown_frames)                                                                              \
    X(pings)                                                                                       \
    X(pongs)                                                                                       \
    X(keepalives)                                                                                  \
    X(peer_gone_frames)                                                                            \
    X(control_drops)                                                                               \
    X(duplicate_connections)                                                                       \
    X(stale_completions)                                                                           \
    X(loop_turns)                                                                                  \
    X(tls_alerts_sent)                                                                             \
    X(tls_alerts_received)                                                                         \
    X(tls_key_updates)                                                                             \
    X(tls_records_opened)                                                                          \
    X(tls_records_sealed)                                                                          \
    X(connections)                                                                                 \
    X(peers_active)                                                                                \
    X(home_clients)                                                                                \
    X(tls_connections)                                                                             \
    X(tls_handshakes_active)                                                                       \
    X(tls_kernel_connections)                                                                      \
    X(client_rate_pauses)                                                                          \
    X(proxy_headers_ok)                                                                            \
    X(proxy_headers_local)                                                                         \
    X(proxy_headers_bad)                                                                           \
    X(stun_answers_ipv4)                                                                           \
    X(stun_answers_ipv6)                                                                           \
    X(stun_malformed)                                                                              \
    X(stun_unsupported)                                                                            \
    X(stun_send_errors)                                                                            \
    X(packets_forwarded_in)                                                                        \
    X(packets_forwarded_out)                                                                       \
    X(mesh_refused)                                                                                \
    X(mesh_closed_peers)                                                                           \
    X(mesh_watchers_lost)                                                                          \
    X(mesh_watchers)                                                                               \
    X(mesh_links)                                                                                  \
    X(mesh_keys)                                                                                   \
    X(health_frames)                                                                               \
    X(muted_connections)                                                                           \
    X(not_ideal_connections)                                                                       \
    X(websocket_upgrades)                                                                          \
    X(websocket_connections)                                                                       \
    X(packet_allocations)

enum counter {
#define X(name) COUNTER_##name,
    COUNTERS(X)
#undef X
    /* Shown by hyperderp_worker_info alone. */
    COUNTER_loop_events,
    COUNTER_free_chunks, /* a gauge of the worker by itself */
    COUNTER_COUNT
};

struct counters {
    _Alignas(64) _Atomic uint64_t value[COUNTER_COUNT];
    _Atomic uint64_t drops[HYPERDERP_DROP_REASONS][HYPERDERP_PACKET_KINDS];
    _Atomic uint64_t states[HYPERDERP_CONNECTION_STATES]; /* gauges */
    _Atomic uint64_t refused[HYPERDERP_REFUSALS];
    _Atomic uint64_t tls_handshakes[HYPERDERP_TLS_OUTCOMES];
};

/* No read-modify-write: there is one writer. */
static inline void counter_bump(_Atomic uint64_t *counter, uint64_t by)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + by, memory_order_relaxed);
}

static inline void counters_add(struct counters *counters, enum counter which, uint64_t by)
{
    counter_bump(&counters->value[which], by);
}

static inline void counters_refuse(struct counters *counters, hyperderp_refusal reason)
{
    counters_add(counters, COUNTER_slab_exhausts, reason <= HYPERDERP_REFUSED_DRAINING);
    counter_bump(&counters->refused[reason], 1);
}

static inline uint64_t counters_get(const struct counters *counters, enum counter which)
{
    return atomic_load_explicit(&counters->value[which], memory_order_relaxed);
}

static inline void counters_set(struct counters *counters, enum counter which, uint64_t value)
{
    atomic_store_explicit(&counters->value[which], value, memory_order_relaxed);
}

static inline void counters_drop(struct counters *counters, hyperderp_drop_reason reason,
                                 hyperderp_packet_kind kind, uint64_t packets)
{
    counter_bump(&counters->drops[reason][kind], packets);
}

/* Adds one worker's figures to a sum. */
void counters_sum(hyperderp_counters *sum, const struct counters *counters);

#endif
