/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a peer, and whom it has sent to. */
#include "relay/peer.h"

#include "memory/memory.h"

struct peer *peer_new(const hyperderp_key *key, uint64_t hash, bool has_past)
{
    struct peer *peer = memory_calloc(1, sizeof(*peer) + (has_past ? sizeof(peer->past[0]) : 0));
    if (!peer)
        return NULL;
    peer->has_past = has_past;
    peer->key = *key;
    peer->hash = hash;
    atomic_init(&peer->refs, 1);
    atomic_init(&peer->active, NULL);
    atomic_init(&peer->health_due, false);
    pthread_mutex_init(&peer->lock, NULL);
    return peer;
}

void peer_unref(struct peer *peer)
{
    /* Release, then acquire by the last: it sees what the others did before they let go. */
    if (!peer || atomic_fetch_sub_explicit(&peer->refs, 1, memory_order_acq_rel) > 1)
        return;
    recipients_destroy(&peer->recipients);
    pthread_mutex_destroy(&peer->lock);
    memory_free(peer);
}

bool peer_note_recipient(struct peer *peer, const struct peer *to, const struct sink *sink)
{
    const struct recipient recipient = {.hash = to->hash, .serial = sink->serial, .key = to->key};
    bool alone = atomic_load_explicit(&sink->share, memory_order_relaxed) == SINK_SHARE_NONE;

    pthread_mutex_lock(&peer->lock);
    bool grew = recipients_add(&peer->recipients, &recipient, alone);
    pthread_mutex_unlock(&peer->lock);
    return grew;
}

static void add(uint64_t *to, const _Atomic uint64_t *figure)
{
    *to += atomic_load_explicit(figure, memory_order_relaxed);
}

void peer_note_past(struct peer *peer, const struct sink *sink)
{
    struct peer_past *past = peer->past;

    if (!peer->has_past)
        return;
    if (past->since == 0 || sink->joined < past->since)
        past->since = sink->joined;
    add(&past->packets_received, &sink->packets_received);
    add(&past->bytes_received, &sink->bytes_received);
    add(&past->packets_delivered, &sink->packets_delivered);
    add(&past->bytes_delivered, &sink->bytes_delivered);
    add(&past->drops, &sink->drops);
}

struct recipients peer_take_recipients(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    struct recipients recipients = peer->recipients;
    peer->recipients = (struct recipients){0};
    pthread_mutex_unlock(&peer->lock);
    return recipients;
}
