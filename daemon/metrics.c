/* SPDX-License-Identifier: BSD-3-Clause */
/* One table of what is shown: name, type, help, and how its samples are written. */
#include "metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include <hyperderp/mesh.h>

#include "access.h"
#include "log.h"
#include "process.h"

/* Everything that is read once for a scrape. */
struct figures {
    const struct status *status;
    hyperderp_counters relay;
    hyperderp_worker_info *workers;
    unsigned worker_count;
    hyperderp_mesh_peer_info *links;
    size_t link_count;
    struct access_figures access;
    struct process_figures process;
};

struct metric;
typedef void write_fn(FILE *out, const struct metric *metric, const struct figures *figures);

struct metric {
    const char *name;
    const char *type;
    const char *labels; /* for the documentation */
    const char *help;
    write_fn *write;
    size_t offset; /* for write_counter() and write_worker() */
};

/* ---- Samples ---- */

static void sample(FILE *out, const struct metric *metric, uint64_t value)
{
    fprintf(out, "%s %" PRIu64 "\n", metric->name, value);
}

static void labelled(FILE *out, const struct metric *metric, const char *label, const char *is,
                     uint64_t value)
{
    fprintf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", metric->name, label, is, value);
}

static void write_counter(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, *(const uint64_t *)((const char *)&figures->relay + metric->offset));
}

static void write_worker(FILE *out, const struct metric *metric, const struct figures *figures)
{
    for (unsigned i = 0; i < figures->worker_count; i++)
        fprintf(out, "%s{worker=\"%u\"} %" PRIu64 "\n", metric->name, i,
                *(const uint64_t *)((const char *)&figures->workers[i] + metric->offset));
}

/* A node that is this relay itself has no link, and is not one that is down. */
static bool is_link(const hyperderp_mesh_peer_info *peer)
{
    return peer->state != HYPERDERP_MESH_SELF;
}

static void write_link(FILE *out, const struct metric *metric, const struct figures *figures)
{
    for (size_t i = 0; i < figures->link_count; i++)
        if (is_link(&figures->links[i]))
            labelled(out, metric, "node", figures->links[i].address,
                     *(const uint64_t *)((const char *)&figures->links[i] + metric->offset));
}

static void write_link_up(FILE *out, const struct metric *metric, const struct figures *figures)
{
    for (size_t i = 0; i < figures->link_count; i++)
        if (is_link(&figures->links[i]))
            labelled(out, metric, "node", figures->links[i].address,
                     figures->links[i].state == HYPERDERP_MESH_CONNECTED);
}

static void write_worker_cpu(FILE *out, const struct metric *metric, const struct figures *figures)
{
    for (unsigned i = 0; i < figures->worker_count; i++)
        fprintf(out, "%s{worker=\"%u\"} %.6f\n", metric->name, i,
                (double)figures->workers[i].cpu_ns / 1e9);
}

static void write_drops(FILE *out, const struct metric *metric, const struct figures *figures)
{
    static const char *const kinds[HYPERDERP_PACKET_KINDS] = {"data", "disco"};

    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            fprintf(out, "%s{reason=\"%s\",kind=\"%s\"} %" PRIu64 "\n", metric->name,
                    hyperderp_drop_reason_name((hyperderp_drop_reason)reason), kinds[kind],
                    figures->relay.drops[reason][kind]);
}

static void write_states(FILE *out, const struct metric *metric, const struct figures *figures)
{
    for (unsigned state = 0; state < HYPERDERP_CONNECTION_STATES; state++)
        labelled(out, metric, "state",
                 hyperderp_connection_state_name((hyperderp_connection_state)state),
                 figures->relay.connections_by_state[state]);
}

static void write_refused(FILE *out, const struct metric *metric, const struct figures *figures)
{
    for (unsigned reason = 0; reason < HYPERDERP_REFUSALS; reason++)
        labelled(out, metric, "reason", hyperderp_refusal_name((hyperderp_refusal)reason),
                 figures->relay.refused[reason]);
}

static void write_handshakes(FILE *out, const struct metric *metric, const struct figures *figures)
{
    labelled(out, metric, "outcome", "ok", figures->relay.handshakes_ok);
    labelled(out, metric, "outcome", "denied", figures->relay.handshakes_denied);
    labelled(out, metric, "outcome", "failed", figures->relay.handshakes_failed);
    labelled(out, metric, "outcome", "timed_out", figures->relay.handshakes_timed_out);
}

static void write_tls_outcomes(FILE *out, const struct metric *metric,
                               const struct figures *figures)
{
    for (unsigned outcome = 0; outcome < HYPERDERP_TLS_OUTCOMES; outcome++)
        labelled(out, metric, "outcome", hyperderp_tls_outcome_name((hyperderp_tls_outcome)outcome),
                 figures->relay.tls_handshakes[outcome]);
}

static void write_tls_alerts(FILE *out, const struct metric *metric, const struct figures *figures)
{
    labelled(out, metric, "direction", "sent", figures->relay.tls_alerts_sent);
    labelled(out, metric, "direction", "received", figures->relay.tls_alerts_received);
}

static void write_tls_records(FILE *out, const struct metric *metric, const struct figures *figures)
{
    labelled(out, metric, "direction", "opened", figures->relay.tls_records_opened);
    labelled(out, metric, "direction", "sealed", figures->relay.tls_records_sealed);
}

/* Without TLS there is no sample: an alert on 0 would be false. */
static void write_expiry(FILE *out, const struct metric *metric, const struct figures *figures)
{
    int64_t expires = figures->status->certificate_expires;

    if (expires != 0)
        fprintf(out, "%s %" PRId64 "\n", metric->name, expires);
}

static void write_certificate_reloads(FILE *out, const struct metric *metric,
                                      const struct figures *figures)
{
    labelled(out, metric, "outcome", "ok", figures->status->certificate_reloads);
    labelled(out, metric, "outcome", "failed", figures->status->certificate_reload_errors);
}

static void write_proxy_headers(FILE *out, const struct metric *metric,
                                const struct figures *figures)
{
    labelled(out, metric, "outcome", "ok", figures->relay.proxy_headers_ok);
    labelled(out, metric, "outcome", "local", figures->relay.proxy_headers_local);
    labelled(out, metric, "outcome", "bad", figures->relay.proxy_headers_bad);
}

static void write_stun_answers(FILE *out, const struct metric *metric,
                               const struct figures *figures)
{
    labelled(out, metric, "family", "ipv4", figures->relay.stun_answers_ipv4);
    labelled(out, metric, "family", "ipv6", figures->relay.stun_answers_ipv6);
}

static void write_stun_ignored(FILE *out, const struct metric *metric,
                               const struct figures *figures)
{
    labelled(out, metric, "reason", "malformed", figures->relay.stun_malformed);
    labelled(out, metric, "reason", "unsupported", figures->relay.stun_unsupported);
}

static void write_frames(FILE *out, const struct metric *metric, const struct figures *figures)
{
    labelled(out, metric, "frame", "keep_alive", figures->relay.keepalives);
    labelled(out, metric, "frame", "pong", figures->relay.pongs);
    labelled(out, metric, "frame", "peer_gone", figures->relay.peer_gone_frames);
    labelled(out, metric, "frame", "health", figures->relay.health_frames);
}

static void write_forwarded(FILE *out, const struct metric *metric, const struct figures *figures)
{
    labelled(out, metric, "direction", "in", figures->relay.packets_forwarded_in);
    labelled(out, metric, "direction", "out", figures->relay.packets_forwarded_out);
}

static void write_access(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, *(const uint64_t *)((const char *)&figures->access + metric->offset));
}

static void write_reasons(FILE *out, const struct metric *metric, const struct figures *figures)
{
    const uint64_t *values =
        (const uint64_t *)(const void *)((const char *)&figures->access + metric->offset);

    for (unsigned i = 0; i < ACCESS_REASONS; i++)
        labelled(out, metric, "reason", access_reason_name((enum access_reason)i), values[i]);
}

static void write_requests(FILE *out, const struct metric *metric, const struct figures *figures)
{
    labelled(out, metric, "to", "tailscaled", figures->access.verify.to_tailscaled);
    labelled(out, metric, "to", "verify_url", figures->access.verify.to_url);
}

static void write_questions(FILE *out, const struct metric *metric, const struct figures *figures)
{
    labelled(out, metric, "state", "asked", figures->access.verify.asking);
    labelled(out, metric, "state", "waiting", figures->access.verify.waiting);
}

static void write_log_lines(FILE *out, const struct metric *metric, const struct figures *figures)
{
    (void)figures;
    labelled(out, metric, "level", "error", log_lines(HYPERDERP_LOG_ERROR));
    labelled(out, metric, "level", "warn", log_lines(HYPERDERP_LOG_WARN));
    labelled(out, metric, "level", "info", log_lines(HYPERDERP_LOG_INFO));
    labelled(out, metric, "level", "debug", log_lines(HYPERDERP_LOG_DEBUG));
}

static void write_suppressed(FILE *out, const struct metric *metric, const struct figures *figures)
{
    (void)figures;
    sample(out, metric, log_suppressed());
}

static void write_build(FILE *out, const struct metric *metric, const struct figures *figures)
{
    fprintf(out, "%s{version=\"%s\",engine=\"%s\"} 1\n", metric->name, hyperderp_version(),
            hyperderp_engine_name(hyperderp_relay_engine(figures->status->relay)));
}

static void write_draining(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, figures->status->draining);
}

static void write_stuck(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, figures->status->stuck_workers);
}

static void write_reloads(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, figures->status->config_reloads);
}

static void write_reload_errors(FILE *out, const struct metric *metric,
                                const struct figures *figures)
{
    sample(out, metric, figures->status->config_reload_errors);
}

static void write_reload_time(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, (uint64_t)figures->status->config_last_success);
}

static void write_resident(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, figures->process.resident_bytes);
}

static void write_virtual(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, figures->process.virtual_bytes);
}

static void write_cpu(FILE *out, const struct metric *metric, const struct figures *figures)
{
    fprintf(out, "%s %.6f\n", metric->name, figures->process.cpu_seconds);
}

static void write_open_files(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, figures->process.open_files);
}

static void write_max_files(FILE *out, const struct metric *metric, const struct figures *figures)
{
    sample(out, metric, figures->process.max_files);
}

static void write_start(FILE *out, const struct metric *metric, const struct figures *figures)
{
    fprintf(out, "%s %.3f\n", metric->name, figures->process.started);
}

/* ---- The table ---- */

#define RELAY(field)   write_counter, offsetof(hyperderp_counters, field)
#define WORKER(field)  write_worker, offsetof(hyperderp_worker_info, field)
#define LINK(field)    write_link, offsetof(hyperderp_mesh_peer_info, field)
#define ACCESS(field)  write_access, offsetof(struct access_figures, field)
#define REASONS(field) write_reasons, offsetof(struct access_figures, field)

static const struct metric metrics[] = {
    {"hyper_derp_recv_bytes_total", "counter", "", "Bytes read from clients.", RELAY(recv_bytes)},
    {"hyper_derp_send_bytes_total", "counter", "", "Bytes sent to clients.", RELAY(send_bytes)},
    {"hyper_derp_send_drops_total", "counter", "",
     "Packets dropped behind the look-up whose receiver is on the sender's worker.",
     RELAY(send_drops)},
    {"hyper_derp_xfer_drops_total", "counter", "",
     "Packets dropped behind the look-up whose receiver is on another worker than the sender.",
     RELAY(xfer_drops)},
    {"hyper_derp_slab_exhausts_total", "counter", "",
     "Connections refused as connections or memory were used up, or as a drain had begun.",
     RELAY(slab_exhausts)},
    {"hyper_derp_send_errors_total", "counter", "",
     "Connections that broke or timed out while they were written to.", RELAY(send_errors)},
    {"hyper_derp_recv_enobufs_total", "counter", "",
     "Reads that had to wait for a free receive buffer.", RELAY(recv_enobufs)},
    {"hyper_derp_frame_pool_hits_total", "counter", "",
     "Frames that had to wait and found a buffer in the pool.", RELAY(frame_pool_hits)},
    {"hyper_derp_frame_pool_misses_total", "counter", "",
     "Frames that had to wait and whose buffer was allocated anew.", RELAY(frame_pool_misses)},
    {"hyper_derp_packet_allocations_total", "counter", "",
     "Times that passing packets took memory from the heap; no more under steady traffic.",
     RELAY(packet_allocations)},
    {"hyper_derp_peers_active", "gauge", "", "Keys with at least one connection.",
     RELAY(peers_active)},
    {"hyper_derp_workers", "gauge", "", "Threads that move packets.", RELAY(workers)},

    {"hyper_derp_build_info", "gauge", "version, engine", "Always 1.", write_build, 0},
    {"hyper_derp_packets_received_total", "counter", "", "Packets that clients sent.",
     RELAY(packets_received)},
    {"hyper_derp_packets_delivered_total", "counter", "",
     "Packets that the kernel took whole for their receiver.", RELAY(packets_delivered)},
    {"hyper_derp_drops_total", "counter", "reason, kind",
     "Packets dropped: no such peer, its queue full, it left, its connection broke, no memory, "
     "several clients that use its key.",
     write_drops, 0},
    {"hyper_derp_connections", "gauge", "state", "Open connections, by how far they are.",
     write_states, 0},
    {"hyper_derp_home_clients", "gauge", "", "Connections that named this relay their home.",
     RELAY(home_clients)},
    {"hyper_derp_not_ideal_connections", "gauge", "",
     "Connections of clients that prefer another node of the region.",
     RELAY(not_ideal_connections)},
    {"hyper_derp_muted_connections", "gauge", "",
     "Connections that get no packets, as several clients use their key and send.",
     RELAY(muted_connections)},
    {"hyper_derp_queued_bytes", "gauge", "", "Bytes of frames that wait or are half received.",
     RELAY(queued_bytes)},
    {"hyper_derp_accepts_total", "counter", "", "Connections accepted.", RELAY(accepts)},
    {"hyper_derp_accept_errors_total", "counter", "",
     "Accepts that failed, for want of files usually.", RELAY(accept_errors)},
    {"hyper_derp_accepts_refused_total", "counter", "reason",
     "Connections closed as soon as they had been accepted.", write_refused, 0},
    {"hyper_derp_handshakes_total", "counter", "outcome",
     "Handshakes of clients, by how they ended.", write_handshakes, 0},
    {"hyper_derp_http_requests_total", "counter", "",
     "Requests answered by a page or an error instead of an upgrade.", RELAY(http_requests)},
    {"hyper_derp_websocket_upgrades_total", "counter", "",
     "Connections upgraded to DERP in WebSocket messages.", RELAY(websocket_upgrades)},
    {"hyper_derp_websocket_connections", "gauge", "",
     "Connections that speak DERP in WebSocket messages.", RELAY(websocket_connections)},
    {"hyper_derp_protocol_errors_total", "counter", "",
     "Joined clients closed for a frame that breaks the rules.", RELAY(protocol_errors)},
    {"hyper_derp_unknown_frames_total", "counter", "", "Frames skipped, as their type is unknown.",
     RELAY(unknown_frames)},
    {"hyper_derp_duplicate_connections_total", "counter", "",
     "Connections whose key was connected already.", RELAY(duplicate_connections)},
    {"hyper_derp_pings_total", "counter", "", "Ping frames received.", RELAY(pings)},
    {"hyper_derp_control_frames_total", "counter", "frame",
     "Frames of the relay's own that it queued.", write_frames, 0},
    {"hyper_derp_control_drops_total", "counter", "",
     "Frames of the relay's own that found their queue full.", RELAY(control_drops)},
    {"hyper_derp_client_rate_pauses_total", "counter", "",
     "Times that reading from a client paused, as it had sent more than limits.client_rate.",
     RELAY(client_rate_pauses)},

    {"hyper_derp_proxy_headers_total", "counter", "outcome",
     "Headers of the PROXY protocol: ok told the client's address, local none (a proxy's own check "
     "of the relay, for one), and bad were none or malformed: these connections are closed.",
     write_proxy_headers, 0},

    {"hyper_derp_tls_handshakes_total", "counter", "outcome",
     "TLS handshakes, by how they ended: not_tls is something else on the port, gave_way one of "
     "too "
     "many at once.",
     write_tls_outcomes, 0},
    {"hyper_derp_tls_alerts_total", "counter", "direction",
     "Fatal alerts: sent to clients that broke the rules of TLS, and received from clients.",
     write_tls_alerts, 0},
    {"hyper_derp_tls_key_updates_total", "counter", "",
     "Keys changed while a connection lived, either direction.", RELAY(tls_key_updates)},
    {"hyper_derp_tls_records_total", "counter", "direction",
     "Records that the workers decrypted and encrypted; those of the kernel are not counted.",
     write_tls_records, 0},
    {"hyper_derp_tls_connections", "gauge", "", "Connections whose TLS handshake is done.",
     RELAY(tls_connections)},
    {"hyper_derp_tls_kernel_connections", "gauge", "",
     "Of hyper_derp_tls_connections, those that the kernel encrypts.",
     RELAY(tls_kernel_connections)},
    {"hyper_derp_tls_handshakes_active", "gauge", "", "TLS handshakes under way.",
     RELAY(tls_handshakes_active)},
    {"hyper_derp_tls_certificate_expiry_seconds", "gauge", "",
     "When the certificate in use expires, in seconds since the epoch; no sample without TLS.",
     write_expiry, 0},
    {"hyper_derp_tls_certificate_reloads_total", "counter", "outcome",
     "Certificates that came into use after the start, and changed files that held none.",
     write_certificate_reloads, 0},

    {"hyper_derp_stun_answers_total", "counter", "family", "STUN requests answered.",
     write_stun_answers, 0},
    {"hyper_derp_stun_ignored_total", "counter", "reason",
     "Datagrams on the port of STUN that were not answered: malformed is no message of STUN, "
     "unsupported one that asks for something else.",
     write_stun_ignored, 0},
    {"hyper_derp_stun_send_errors_total", "counter", "", "STUN answers that could not be sent.",
     RELAY(stun_send_errors)},
    {"hyper_derp_packets_forwarded_total", "counter", "direction",
     "Packets between the nodes of the region: in, from a mesh partner; out, for a key that is "
     "there.",
     write_forwarded, 0},
    {"hyper_derp_mesh_link_up", "gauge", "node",
     "Whether this node is connected to the other one, 0 or 1.", write_link_up, 0},
    {"hyper_derp_mesh_link_keys", "gauge", "node", "Keys that are connected at the other node.",
     LINK(keys)},
    {"hyper_derp_mesh_link_connects_total", "counter", "node",
     "Times that this node was connected to the other one.", LINK(connects)},
    {"hyper_derp_mesh_link_failures_total", "counter", "node",
     "Tries to connect that failed, and connections that broke.", LINK(failures)},
    {"hyper_derp_mesh_link_queued_bytes", "gauge", "node", "Bytes that wait for the other node.",
     LINK(queued_bytes)},
    {"hyper_derp_mesh_watchers", "gauge", "", "Mesh partners that are told who is connected here.",
     RELAY(mesh_watchers)},
    {"hyper_derp_mesh_watchers_lost_total", "counter", "",
     "Mesh partners closed as they did not take what they are told.", RELAY(mesh_watchers_lost)},
    {"hyper_derp_mesh_refused_total", "counter", "",
     "Clients closed for a mesh frame without the mesh key.", RELAY(mesh_refused)},
    {"hyper_derp_mesh_closed_peers_total", "counter", "",
     "Connections closed as a mesh partner asked for it.", RELAY(mesh_closed_peers)},

    {"hyper_derp_access_refused_total", "counter", "reason",
     "Clients refused: not in the file of keys, not known to tailscaled, denied by the URL; or as "
     "these could not be asked, were too slow or too busy, or the daemon ended.",
     REASONS(refused)},
    {"hyper_derp_access_unasked_total", "counter", "",
     "Clients let in though the URL did not answer (verify_client_url_fail_open).",
     ACCESS(unasked)},
    {"hyper_derp_access_closed_total", "counter", "reason",
     "Clients closed by a reload that took their access away.", REASONS(closed)},
    {"hyper_derp_access_requests_total", "counter", "to", "Requests made about clients.",
     write_requests, 0},
    {"hyper_derp_access_remembered_total", "counter", "",
     "Questions about clients answered by a verdict that was still remembered.",
     ACCESS(verify.remembered)},
    {"hyper_derp_access_questions", "gauge", "state",
     "Questions about clients that are asked at this moment, and that wait for their turn.",
     write_questions, 0},
    {"hyper_derp_access_allow_keys", "gauge", "", "Keys in the file of those that may join.",
     ACCESS(listed)},

    {"hyper_derp_worker_connections", "gauge", "worker", "Connections that the worker owns.",
     WORKER(connections)},
    {"hyper_derp_worker_cpu_seconds_total", "counter", "worker", "CPU time of the worker's thread.",
     write_worker_cpu, 0},
    {"hyper_derp_worker_loop_turns_total", "counter", "worker", "Turns of the worker's loop.",
     WORKER(loop_turns)},
    {"hyper_derp_worker_loop_events_total", "counter", "worker",
     "Completions that the worker handled.", WORKER(loop_events)},
    {"hyper_derp_worker_packets_received_total", "counter", "worker",
     "Packets from clients of the worker.", WORKER(packets_received)},
    {"hyper_derp_worker_packets_delivered_total", "counter", "worker",
     "Packets that the worker sent out.", WORKER(packets_delivered)},
    {"hyper_derp_worker_free_chunks", "gauge", "worker", "Receive buffers that nobody uses.",
     WORKER(free_chunks)},

    {"hyper_derp_draining", "gauge", "", "1 while the daemon stops.", write_draining, 0},
    {"hyper_derp_stuck_workers", "gauge", "", "Workers that made no turn when asked to.",
     write_stuck, 0},
    {"hyper_derp_config_reloads_total", "counter", "",
     "Reloads of the configuration that were tried.", write_reloads, 0},
    {"hyper_derp_config_reload_errors_total", "counter", "",
     "Reloads that changed nothing, as the configuration was wrong.", write_reload_errors, 0},
    {"hyper_derp_config_last_reload_success_timestamp_seconds", "gauge", "",
     "When the configuration was last read and taken; the start counts.", write_reload_time, 0},
    {"hyper_derp_log_lines_total", "counter", "level", "Lines written to the log.", write_log_lines,
     0},
    {"hyper_derp_log_suppressed_total", "counter", "",
     "Lines kept back as too many like them had come, or lost as the log was not read.",
     write_suppressed, 0},

    {"process_resident_memory_bytes", "gauge", "", "Resident memory size in bytes.", write_resident,
     0},
    {"process_virtual_memory_bytes", "gauge", "", "Virtual memory size in bytes.", write_virtual,
     0},
    {"process_cpu_seconds_total", "counter", "", "Total user and system CPU time spent in seconds.",
     write_cpu, 0},
    {"process_open_fds", "gauge", "", "Number of open file descriptors.", write_open_files, 0},
    {"process_max_fds", "gauge", "", "Maximum number of open file descriptors.", write_max_files,
     0},
    {"process_start_time_seconds", "gauge", "",
     "Start time of the process since unix epoch in seconds.", write_start, 0},
};

#define METRICS (sizeof(metrics) / sizeof(metrics[0]))

static void read_workers(struct figures *figures)
{
    unsigned count = (unsigned)figures->relay.workers;

    figures->workers = calloc(count, sizeof(*figures->workers));
    for (unsigned i = 0; figures->workers && i < count; i++) {
        figures->workers[i].size = sizeof(figures->workers[i]);
        if (hyperderp_relay_worker(figures->status->relay, i, &figures->workers[i]) == 0)
            figures->worker_count = i + 1;
    }
}

void metrics_write(const struct status *status, FILE *out)
{
    struct figures figures = {.status = status, .relay = {.size = sizeof(figures.relay)}};

    hyperderp_relay_counters(status->relay, &figures.relay);
    read_workers(&figures);
    (void)hyperderp_relay_mesh_peers(status->relay, &figures.links, &figures.link_count);
    access_read(status->access, &figures.access);
    process_read(&figures.process);
    for (size_t i = 0; i < METRICS; i++) {
        fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metrics[i].name, metrics[i].help,
                metrics[i].name, metrics[i].type);
        metrics[i].write(out, &metrics[i], &figures);
    }
    free(figures.workers);
    hyperderp_mesh_peers_free(figures.links);
}

void metrics_describe(FILE *out)
{
    fputs("| name | type | labels | meaning |\n| --- | --- | --- | --- |\n", out);
    for (size_t i = 0; i < METRICS; i++)
        fprintf(out, "| `%s` | %s | %s | %s |\n", metrics[i].name, metrics[i].type,
                metrics[i].labels, metrics[i].help);
}
