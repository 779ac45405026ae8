/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's state as JSON. */
#include "status_json.h"

#include <time.h>

#include <hyperderp/mesh.h>

#include "process.h"

/* So many peers are listed; the whole number is told as well. */
#define MAX_PEERS 20000

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static hyperderp_counters counters_of(const struct status *status)
{
    hyperderp_counters counters = {.size = sizeof(counters)};

    hyperderp_relay_counters(status->relay, &counters);
    return counters;
}

bool status_is_healthy(const struct status *status)
{
    return !status->draining && status->stuck_workers == 0;
}

static const char *state_of(const struct status *status)
{
    if (status->draining)
        return "draining";
    return status->stuck_workers ? "stuck" : "ok";
}

json_t *status_json_health(const struct status *status)
{
    hyperderp_counters counters = counters_of(status);

    return json_pack("{s:s, s:s, s:s, s:I, s:i, s:o, s:o, s:o}", "status", state_of(status),
                     "version", hyperderp_version(), "engine",
                     hyperderp_engine_name(hyperderp_relay_engine(status->relay)), "uptime_seconds",
                     (json_int_t)(time(NULL) - status->started), "stuck_workers",
                     (int)status->stuck_workers, "workers", number(counters.workers), "peers",
                     number(counters.peers_active), "connections", number(counters.connections));
}

static json_t *worker_json(const hyperderp_worker_info *info)
{
    json_t *object = json_object();

#define SET(field) json_object_set_new(object, #field, number(info->field))
    SET(connections);
    SET(loop_turns);
    SET(loop_events);
    SET(cpu_ns);
    SET(recv_bytes);
    SET(send_bytes);
    SET(packets_received);
    SET(packets_delivered);
    SET(drops);
    SET(recv_enobufs);
    SET(free_chunks);
#undef SET
    return object;
}

static json_t *workers_array(const struct status *status)
{
    hyperderp_worker_info info = {.size = sizeof(info)};
    json_t *array = json_array();

    for (unsigned i = 0; hyperderp_relay_worker(status->relay, i, &info) == 0; i++) {
        json_t *worker = worker_json(&info);
        json_object_set_new(worker, "worker", number(i));
        json_array_append_new(array, worker);
        info.size = sizeof(info);
    }
    return array;
}

json_t *status_json_workers(const struct status *status)
{
    return json_pack("{s:o}", "workers", workers_array(status));
}

static json_t *drops_json(const hyperderp_counters *counters)
{
    static const char *const kinds[HYPERDERP_PACKET_KINDS] = {"data", "disco"};
    json_t *object = json_object();

    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++) {
        json_t *by_kind = json_object();
        for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            json_object_set_new(by_kind, kinds[kind], number(counters->drops[reason][kind]));
        json_object_set_new(object, hyperderp_drop_reason_name((hyperderp_drop_reason)reason),
                            by_kind);
    }
    return object;
}

static json_t *totals_json(const hyperderp_counters *counters)
{
    json_t *object = json_object();

#define SET(field) json_object_set_new(object, #field, number(counters->field))
    SET(recv_bytes);
    SET(send_bytes);
    SET(packets_received);
    SET(packets_delivered);
    SET(peers_active);
    SET(home_clients);
    SET(connections);
    SET(queued_bytes);
    SET(handshakes_ok);
    SET(handshakes_denied);
    SET(handshakes_failed);
    SET(handshakes_timed_out);
#undef SET
    json_object_set_new(object, "drops", drops_json(counters));
    return object;
}

/* Null where no listener has TLS. */
static json_t *tls_json(const struct status *status, const hyperderp_counters *counters)
{
    if (status->certificate_expires == 0)
        return json_null();
    json_t *outcomes = json_object();
    for (unsigned i = 0; i < HYPERDERP_TLS_OUTCOMES; i++)
        json_object_set_new(outcomes, hyperderp_tls_outcome_name((hyperderp_tls_outcome)i),
                            number(counters->tls_handshakes[i]));
    return json_pack("{s:I, s:o, s:o, s:o, s:o}", "certificate_expires",
                     (json_int_t)status->certificate_expires, "certificate_reload_errors",
                     number(status->certificate_reload_errors), "connections",
                     number(counters->tls_connections), "kernel_connections",
                     number(counters->tls_kernel_connections), "handshakes", outcomes);
}

json_t *status_json_page(const struct status *status, struct history *history)
{
    hyperderp_counters counters = counters_of(status);
    struct process_figures process;

    process_read(&process);
    json_t *object = status_json_health(status);
    if (!object)
        return NULL;
    json_object_set_new(object, "totals", totals_json(&counters));
    json_object_set_new(object, "tls", tls_json(status, &counters));
    json_object_set_new(object, "workers", workers_array(status));
    json_object_set_new(object, "resident_bytes", number(process.resident_bytes));
    json_object_set_new(object, "open_files", number(process.open_files));
    json_object_set_new(object, "max_files", number(process.max_files));
    json_object_set_new(object, "history", history_json(history));
    return object;
}

static json_t *peer_json(const hyperderp_peer_info *peer)
{
    char key[HYPERDERP_KEY_TEXT_SIZE];

    hyperderp_key_format(&peer->key, key);
    return json_pack(
        "{s:s, s:s, s:s*, s:i, s:b, s:b, s:b, s:b, s:b, s:b, s:b, "
        "s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "key", key, "address", peer->address, "app_name", *peer->app_name ? peer->app_name : NULL,
        "worker", (int)peer->worker, "active", peer->active, "muted", peer->muted, "home",
        peer->home, "not_ideal", peer->not_ideal, "can_ack_pings", peer->can_ack_pings, "is_prober",
        peer->is_prober, "websocket", peer->websocket, "connected_ms", number(peer->connected_ms),
        "packets_received", number(peer->packets_received), "bytes_received",
        number(peer->bytes_received), "packets_delivered", number(peer->packets_delivered),
        "bytes_delivered", number(peer->bytes_delivered), "drops", number(peer->drops),
        "queued_frames", number(peer->queued_frames), "queued_bytes", number(peer->queued_bytes));
}

json_t *status_json_peers(const struct status *status)
{
    hyperderp_peer_info *peers;
    size_t count;

    if (hyperderp_relay_peers(status->relay, &peers, &count) != 0)
        return NULL;
    json_t *array = json_array();
    for (size_t i = 0; i < count && i < MAX_PEERS; i++)
        json_array_append_new(array, peer_json(&peers[i]));
    hyperderp_peers_free(peers);
    return json_pack("{s:o, s:o}", "count", number(count), "peers", array);
}

static json_t *link_json(const hyperderp_mesh_peer_info *peer)
{
    char key[HYPERDERP_KEY_TEXT_SIZE] = "";

    if (!hyperderp_key_is_zero(&peer->key))
        hyperderp_key_format(&peer->key, key);
    return json_pack(
        "{s:s, s:s, s:s*, s:s*, s:s*, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "node",
        peer->address, "state", hyperderp_mesh_state_name(peer->state), "key", *key ? key : NULL,
        "remote", *peer->remote ? peer->remote : NULL, "error", *peer->error ? peer->error : NULL,
        "worker", (int)peer->worker, "state_ms", number(peer->state_ms), "keys", number(peer->keys),
        "connects", number(peer->connects), "failures", number(peer->failures), "packets_forwarded",
        number(peer->packets_forwarded), "drops", number(peer->drops), "queued_frames",
        number(peer->queued_frames), "queued_bytes", number(peer->queued_bytes));
}

json_t *status_json_mesh(const struct status *status)
{
    hyperderp_counters counters = counters_of(status);
    hyperderp_mesh_peer_info *peers;
    size_t count;

    if (hyperderp_relay_mesh_peers(status->relay, &peers, &count) != 0)
        return NULL;
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, link_json(&peers[i]));
    hyperderp_mesh_peers_free(peers);
    return json_pack("{s:o, s:o}", "links", array, "watchers", number(counters.mesh_watchers));
}
