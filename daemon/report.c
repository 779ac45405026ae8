/* SPDX-License-Identifier: BSD-3-Clause */
/* The counters as log lines. */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include "log.h"

static void log_tls(const hyperderp_counters *c)
{
    char outcomes[256];
    int at = 0;

    for (unsigned i = 0; i < HYPERDERP_TLS_OUTCOMES; i++)
        at += snprintf(outcomes + at, sizeof(outcomes) - (size_t)at, "tls_%s=%" PRIu64 " ",
                       hyperderp_tls_outcome_name((hyperderp_tls_outcome)i), c->tls_handshakes[i]);
    log_print(HYPERDERP_LOG_INFO,
              "counters: %stls_alerts_sent=%" PRIu64 " tls_alerts_received=%" PRIu64
              " tls_key_updates=%" PRIu64 " tls_records_opened=%" PRIu64
              " tls_records_sealed=%" PRIu64,
              outcomes, c->tls_alerts_sent, c->tls_alerts_received, c->tls_key_updates,
              c->tls_records_opened, c->tls_records_sealed);
}

static void log_limits(const hyperderp_counters *c)
{
    char refused[512];
    int at = 0;

    for (unsigned i = 0; i < HYPERDERP_REFUSALS; i++)
        at += snprintf(refused + at, sizeof(refused) - (size_t)at, "refused_%s=%" PRIu64 " ",
                       hyperderp_refusal_name((hyperderp_refusal)i), c->refused[i]);
    log_print(HYPERDERP_LOG_INFO,
              "counters: %sclient_rate_pauses=%" PRIu64 " proxy_headers_ok=%" PRIu64
              " proxy_headers_local=%" PRIu64 " proxy_headers_bad=%" PRIu64,
              refused, c->client_rate_pauses, c->proxy_headers_ok, c->proxy_headers_local,
              c->proxy_headers_bad);
    log_print(HYPERDERP_LOG_INFO,
              "counters: websocket_upgrades=%" PRIu64 " websocket_connections=%" PRIu64,
              c->websocket_upgrades, c->websocket_connections);
}

void report_access(struct access *access)
{
    struct access_figures figures;
    char refused[512];
    int at = 0;

    access_read(access, &figures);
    for (unsigned i = 0; i < ACCESS_REASONS; i++)
        at += snprintf(refused + at, sizeof(refused) - (size_t)at, "access_refused_%s=%" PRIu64 " ",
                       access_reason_name((enum access_reason)i), figures.refused[i]);
    log_print(HYPERDERP_LOG_INFO,
              "counters: %saccess_unasked=%" PRIu64 " access_remembered=%" PRIu64
              " access_to_tailscaled=%" PRIu64 " access_to_url=%" PRIu64,
              refused, figures.unasked, figures.verify.remembered, figures.verify.to_tailscaled,
              figures.verify.to_url);
}

void report_counters(const hyperderp_relay *relay)
{
    static const char *const kinds[HYPERDERP_PACKET_KINDS] = {"data", "disco"};
    hyperderp_counters c = {.size = sizeof(c)};
    char drops[512];
    int at = 0;

    hyperderp_relay_counters(relay, &c);
    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            at += snprintf(drops + at, sizeof(drops) - (size_t)at, " drop_%s_%s=%" PRIu64,
                           hyperderp_drop_reason_name((hyperderp_drop_reason)reason), kinds[kind],
                           c.drops[reason][kind]);

#define U(name) #name "=%" PRIu64 " "
    log_print(HYPERDERP_LOG_INFO,
              "counters: packets_received=%" PRIu64 " packets_delivered=%" PRIu64 "%s",
              c.packets_received, c.packets_delivered, drops);
    log_print(HYPERDERP_LOG_INFO,
              "counters: " U(recv_bytes) U(send_bytes) U(xfer_drops) U(send_drops) U(send_errors)
                  U(recv_enobufs) U(frame_pool_hits) U(frame_pool_misses) U(packet_allocations)
                      U(loop_turns) U(stale_completions) "control_drops=%" PRIu64,
              c.recv_bytes, c.send_bytes, c.xfer_drops, c.send_drops, c.send_errors, c.recv_enobufs,
              c.frame_pool_hits, c.frame_pool_misses, c.packet_allocations, c.loop_turns,
              c.stale_completions, c.control_drops);
    log_print(HYPERDERP_LOG_INFO,
              "counters: " U(accepts) U(accept_errors) U(slab_exhausts) U(handshakes_ok)
                  U(handshakes_denied) U(handshakes_failed) U(handshakes_timed_out) U(http_requests)
                      U(protocol_errors) U(unknown_frames) U(pings) U(pongs) U(keepalives)
                          U(peer_gone_frames) U(health_frames) "duplicate_connections=%" PRIu64,
              c.accepts, c.accept_errors, c.slab_exhausts, c.handshakes_ok, c.handshakes_denied,
              c.handshakes_failed, c.handshakes_timed_out, c.http_requests, c.protocol_errors,
              c.unknown_frames, c.pings, c.pongs, c.keepalives, c.peer_gone_frames, c.health_frames,
              c.duplicate_connections);
    log_tls(&c);
    log_limits(&c);
    log_print(HYPERDERP_LOG_INFO,
              "counters: " U(packets_forwarded_in) U(packets_forwarded_out) U(mesh_refused)
                  U(mesh_closed_peers) "mesh_watchers_lost=%" PRIu64,
              c.packets_forwarded_in, c.packets_forwarded_out, c.mesh_refused, c.mesh_closed_peers,
              c.mesh_watchers_lost);
    log_print(HYPERDERP_LOG_INFO,
              "counters: " U(connections) U(peers_active) U(home_clients) U(not_ideal_connections)
                  U(muted_connections) U(queued_bytes) "workers=%" PRIu64,
              c.connections, c.peers_active, c.home_clients, c.not_ideal_connections,
              c.muted_connections, c.queued_bytes, c.workers);
#undef U
}
