/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the workers' figures. */
#include "relay/counters.h"

void counters_sum(hyperderp_counters *sum, const struct counters *counters)
{
#define X(name)                                                                                    \
    sum->name += atomic_load_explicit(&counters->value[COUNTER_##name], memory_order_relaxed);
    COUNTERS(X)
#undef X
    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            sum->drops[reason][kind] +=
                atomic_load_explicit(&counters->drops[reason][kind], memory_order_relaxed);
    for (unsigned state = 0; state < HYPERDERP_CONNECTION_STATES; state++)
        sum->connections_by_state[state] +=
            atomic_load_explicit(&counters->states[state], memory_order_relaxed);
    for (unsigned outcome = 0; outcome < HYPERDERP_TLS_OUTCOMES; outcome++)
        sum->tls_handshakes[outcome] +=
            atomic_load_explicit(&counters->tls_handshakes[outcome], memory_order_relaxed);
    for (unsigned reason = 0; reason < HYPERDERP_REFUSALS; reason++)
        sum->refused[reason] +=
            atomic_load_explicit(&counters->refused[reason], memory_order_relaxed);
}

const char *hyperderp_drop_reason_name(hyperderp_drop_reason reason)
{
    switch (reason) {
    case HYPERDERP_DROP_UNKNOWN_PEER:
        return "unknown_peer";
    case HYPERDERP_DROP_QUEUE_FULL:
        return "queue_full";
    case HYPERDERP_DROP_GONE:
        return "gone";
    case HYPERDERP_DROP_WRITE_ERROR:
        return "write_error";
    case HYPERDERP_DROP_MEMORY:
        return "memory";
    case HYPERDERP_DROP_DUPLICATE_KEY:
        return "duplicate_key";
    case HYPERDERP_DROP_EXPIRED:
        return "expired";
    }
    return "unknown";
}

const char *hyperderp_connection_state_name(hyperderp_connection_state state)
{
    switch (state) {
    case HYPERDERP_CONNECTION_HTTP:
        return "http";
    case HYPERDERP_CONNECTION_HELLO:
        return "hello";
    case HYPERDERP_CONNECTION_ADMISSION:
        return "admission";
    case HYPERDERP_CONNECTION_OPEN:
        return "open";
    case HYPERDERP_CONNECTION_CLOSING:
        return "closing";
    case HYPERDERP_CONNECTION_TLS:
        return "tls";
    case HYPERDERP_CONNECTION_PROXY:
        return "proxy";
    }
    return "unknown";
}

const char *hyperderp_refusal_name(hyperderp_refusal reason)
{
    switch (reason) {
    case HYPERDERP_REFUSED_MAX_CONNECTIONS:
        return "max_connections";
    case HYPERDERP_REFUSED_MEMORY:
        return "memory";
    case HYPERDERP_REFUSED_DRAINING:
        return "draining";
    case HYPERDERP_REFUSED_ACCEPT_RATE:
        return "accept_rate";
    case HYPERDERP_REFUSED_PER_IP:
        return "per_ip";
    case HYPERDERP_REFUSED_UNTRUSTED_PROXY:
        return "untrusted_proxy";
    }
    return "unknown";
}

const char *hyperderp_tls_outcome_name(hyperderp_tls_outcome outcome)
{
    switch (outcome) {
    case HYPERDERP_TLS_OK:
        return "ok";
    case HYPERDERP_TLS_NOT_TLS:
        return "not_tls";
    case HYPERDERP_TLS_FAILED:
        return "failed";
    case HYPERDERP_TLS_TIMED_OUT:
        return "timed_out";
    case HYPERDERP_TLS_ABANDONED:
        return "abandoned";
    case HYPERDERP_TLS_GAVE_WAY:
        return "gave_way";
    }
    return "unknown";
}
