/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling the embedder what becomes of keys. */
#include "relay/peer_event.h"

#include "relay/peer.h"
#include "relay/within.h"
#include "relay/worker.h"
#include "wire/frame.h"

#define NS_PER_MS 1000000

/* What the key has done until its end. One that comes back while its peer is still known, as
 * others have it at hand, has another peer: so this begins at 0 with each UP, but for a key that a
 * mesh partner has as well. */
static void take_figures(struct peer *peer, hyperderp_peer_event *event)
{
    struct peer_past *past = peer->past;
    int64_t now = worker_clock();

    event->connected_ms = now > past->since ? (uint64_t)(now - past->since) / NS_PER_MS : 0;
    event->packets_received = past->packets_received;
    event->bytes_received = past->bytes_received;
    event->packets_delivered = past->packets_delivered;
    event->bytes_delivered = past->bytes_delivered;
    event->drops = past->drops;
    *past = (struct peer_past){0};
}

static void tell(const struct peer_callbacks *callbacks, hyperderp_peer_event_type type,
                 struct peer *peer, const struct sink *sink)
{
    char address[ENDPOINT_TEXT_SIZE];
    hyperderp_peer_event event = {.size = sizeof(event),
                                  .type = type,
                                  .key = peer->key,
                                  .address = address,
                                  .app_name = sink->app_name ? sink->app_name : "",
                                  .can_ack_pings = sink->can_ack_pings,
                                  .is_prober = sink->present_flags & PEER_PRESENT_PROBER,
                                  .mesh = sink->can_mesh,
                                  .websocket = sink->websocket,
                                  .worker = sink->worker};

    endpoint_format(&sink->from, address);
    if (type == HYPERDERP_PEER_DOWN)
        take_figures(peer, &event);
    callbacks->peer_event(callbacks->user, &event);
}

void peer_event_tell(const struct peer_callbacks *callbacks, hyperderp_peer_event_type type,
                     struct peer *peer, const struct sink *sink)
{
    struct within here;

    within_enter(&here, callbacks->log, WITHIN_EVENT);
    if (callbacks->peer_changed && (type == HYPERDERP_PEER_UP || type == HYPERDERP_PEER_DOWN))
        callbacks->peer_changed(callbacks->user, &peer->key, type == HYPERDERP_PEER_UP);
    if (callbacks->peer_event)
        tell(callbacks, type, peer, sink);
    within_leave(&here);
}

const char *hyperderp_peer_event_name(hyperderp_peer_event_type type)
{
    switch (type) {
    case HYPERDERP_PEER_UP:
        return "up";
    case HYPERDERP_PEER_DOWN:
        return "down";
    case HYPERDERP_PEER_MOVED:
        return "moved";
    case HYPERDERP_PEER_MUTED:
        return "muted";
    }
    return "unknown";
}
