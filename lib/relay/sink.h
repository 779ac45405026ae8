/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending half of a connection. Any worker may push to it; one at a time drains it. A sink
 * outlives its conn for as long as somebody drains it or holds a reference.
 *
 * Who finds a sink idle becomes its drainer (drainer.h): it collects what it has for the sink in
 * this turn without copying, sends it, and takes what others have queued meanwhile until nothing is
 * left. Idle means that the queue is empty, so order per sender is kept.
 */
#ifndef RELAY_SINK_H
#define RELAY_SINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/chunk.h"
#include "relay/endpoint.h"
#include "relay/frame_pool.h"
#include "relay/outq.h"
#include "tls/record.h"
#include "tls/vault.h"

struct drainer;
struct worker;

/* TLS of the sending half. */
struct sink_tls {
    /* Owned by the draining worker. */
    struct tls_tx tx;
    bool ended;    /* the alert is sealed: nothing may come behind it */
    uint64_t used; /* by_kernel: bytes of the key's limit */

    /* The client has asked for a new key of ours. Set by the conn's worker, taken by the drainer;
     * relaxed: it orders nothing. */
    atomic_bool update_asked;

    bool by_kernel;      /* fixed: the kernel makes the records (offload.h) */
    uint8_t last_alert;  /* guarded by the sink's lock: enum tls_alert, to be sent last */
    struct vault *vault; /* that it is from */
};

/* How a connection shares its key with others (duplicate.h). */
enum sink_share {
    SINK_SHARE_NONE,  /* it is the only one, or all others are muted */
    SINK_SHARE_NEW,   /* it joined as the second, and has sent nothing since */
    SINK_SHARE_SPOKE, /* it has sent something, or counts as if it had */
    SINK_SHARE_MUTED, /* it gets no packets: connections of its key take turns in sending */
};

/* Who receives by a sink. */
enum sink_kind {
    SINK_CLIENT,
    SINK_LINK,  /* a mesh partner, who forwards: takes ForwardPacket frames */
    SINK_LOCAL, /* a function of the embedder's (local.h): no socket, no drainer, no frames */
};

/* Fields stand as they pack best within what they are: there is one for each client
 * (docs/performance.md). */
struct sink {
    /* Fixed after creation. */
    int fd;          /* open until the conn has released it and nobody drains the sink; or -1 */
    uint16_t worker; /* index of the worker that owns the conn, or delivers what is sent here */

    /* Set by the conn's worker before the client joins, then fixed. */
    bool websocket; /* what it sends goes in WebSocket messages */

    uint64_t serial; /* fixed after creation: unique in the relay, never 0 */

    /* Set by the conn's worker before the client joins, then fixed. */
    struct endpoint from;  /* the client, behind a proxy as that tells; of a link, the other node */
    bool can_mesh;         /* the client has the region's mesh key */
    uint8_t kind;          /* enum sink_kind */
    bool can_ack_pings;    /* the client answers Ping frames of the relay */
    uint8_t present_flags; /* enum peer_present_flags */
    int64_t joined;        /* CLOCK_MONOTONIC in ns */
    char *app_name;        /* or NULL */
    struct sink_tls *tls;  /* NULL: in the clear, or not yet */

    /* Figures for the list of peers: relaxed, they order nothing. The first two, and home, are
     * written by the conn's worker, delivered by the draining one, drops by any; of a local peer
     * all by any. */
    _Atomic uint64_t packets_received, bytes_received;
    _Atomic uint64_t packets_delivered, bytes_delivered;
    _Atomic uint64_t drops;
    atomic_bool home;

    /* Under the lock of the key's stripe. share (enum sink_share) is only changed under it and read
     * without, relaxed: it orders nothing. */
    _Atomic uint8_t share;
    bool told_muted; /* what its Health frames have said */

    /* One each for the conn, the route table, the drainer, and senders that have it at hand. */
    atomic_uint refs;

    /* Identifies the draining worker (its index + 1), 0 when the sink is idle. Changed under lock.
     * Read without it (relaxed): a worker's own identity can only have been put there by itself;
     * anything else is looked at again under the lock. */
    atomic_uint draining;

    /* Owned by the draining worker. */
    int error; /* why a send failed, an errno; 0: none has */
    struct drainer *drainer;
    /* What must go out before all else: the frame of which the kernel has taken the beginning, and
     * records that are sealed. */
    struct frame_list pending;

    /* Guarded by lock, a leaf. */
    pthread_mutex_t lock;
    struct outq queue;
    bool closed;   /* by the conn: whoever drains it stops */
    bool released; /* by the conn: whoever drains it closes fd when it is done */
    bool broken;   /* by a drainer: the socket has failed and is shut down; the conn will notice */
    bool finish;   /* shut down the sending side once all is sent */
    uint16_t close_code; /* with websocket: what its Close frame says */

    bool close_sent; /* owned by the draining worker; with websocket: the Close frame is made */

    /* Guarded by the lock of the key's stripe of the route table. */
    struct sink *next_of_key, *prev_of_key;
};

/* Makes a sink for a socket, which it owns from now on; one reference for the caller. NULL when
 * memory is out: then the socket is still the caller's. */
struct sink *sink_new(struct worker *worker, int fd);

/* Makes a sink of memory that is zero: a part of something larger that begins with it, and that the
 * last sink_unref() frees. One reference for the caller. */
void sink_init(struct sink *sink, enum sink_kind kind, uint16_t worker, uint64_t serial);

static inline void sink_ref(struct sink *sink)
{
    atomic_fetch_add_explicit(&sink->refs, 1, memory_order_relaxed);
}

/* Frees the sink with the last reference. NULL is allowed. */
void sink_unref(struct sink *sink);

/* Sends or queues a frame, whose ownership passes; any worker. A frame that cannot be kept is
 * counted as a drop; then it returns false. */
bool sink_push(struct worker *worker, struct sink *sink, struct frame *frame);

/* The same for a whole frame that lies in a receive chunk of the calling worker: sent from there
 * when the sink is idle, copied when it must wait. */
void sink_push_chunk(struct worker *worker, struct sink *sink, struct io_chunk *chunk,
                     uint8_t *frame, size_t size, enum frame_kind kind);

/* Seals all that is pushed from now on; offload leaves that to the kernel, if it can. False when
 * there is no memory, or a drainer still has something in the clear, which cannot be unless a
 * client knows what it has not been sent. The conn's worker only, once, before the client joins. */
bool sink_secure(struct worker *worker, struct sink *sink, const struct tls_tx *tx, bool offload);

/* From now on what is sent goes in WebSocket messages, but for frames that are bare. The conn's
 * worker only, once, before the client joins. */
void sink_wrap(struct sink *sink);

/* What the Close frame of WebSocket says instead of "going away". The conn's worker only, before
 * sink_finish() or sink_close(). */
void sink_set_close(struct sink *sink, uint16_t code);

/* Tells whether its drainer makes records. */
static inline bool sink_seals(const struct sink *sink)
{
    return sink->tls && !sink->tls->by_kernel;
}

/* Tells whether what is sent is made of the queue's frames, and cannot go back there. */
static inline bool sink_makes_sealed(const struct sink *sink)
{
    return sink->websocket || sink_seals(sink);
}

/* Tells whether the kernel makes them. */
static inline bool sink_is_offloaded(const struct sink *sink)
{
    return sink->tls && sink->tls->by_kernel;
}

/* Shuts down the sending side, when all has been sent. Not where the kernel makes the records: it
 * may still have some that TCP had no room for, and would drop them. There the alert alone says it.
 */
void sink_shut(struct sink *sink);

/* The client wants us to change our key: before the next record (RFC 8446 section 4.6.3). The
 * conn's worker only. */
void sink_ask_update(struct sink *sink);

/* What the last record says instead of close_notify. The conn's worker only, before
 * sink_finish(). */
void sink_set_alert(struct sink *sink, uint8_t alert);

/* Shuts down the sending side when all that is queued has been sent, and with TLS an alert behind
 * it. The conn's worker only. */
void sink_finish(struct worker *worker, struct sink *sink);

/* Bytes that the kernel has taken and the other side's TCP has not acknowledged. The socket must be
 * open: for its drainer, and the conn's worker. */
int sink_unacknowledged(const struct sink *sink);

/* Tells whether all that was queued has been sent, and acknowledged by the other side's TCP. The
 * conn's worker only. */
bool sink_is_acknowledged(struct sink *sink);

/* Shuts the socket down and drops what waits; from now on the sink takes nothing. With TLS it says
 * so where that is possible at once. The conn's worker only. */
void sink_close(struct worker *worker, struct sink *sink);

/* Breaks the connection from whatever thread: the conn sees the end of its stream, and closes in
 * its own time. Nothing to do for one that is closed. */
void sink_break(struct sink *sink);

/*
 * Closes the socket, now or as soon as nobody drains the sink. The conn's worker only, once, when
 * no receive of it is left: a request that the kernel has not seen yet names the socket by its
 * number, which must not be somebody else's by then.
 */
void sink_release_socket(struct sink *sink);

/* Drops what has waited for too long; any worker. */
void sink_expire(struct worker *worker, struct sink *sink);

/* Counts and frees frames that will not be sent. */
void sink_drop(struct worker *worker, struct sink *sink, struct frame_list *frames,
               hyperderp_drop_reason reason);

/* Counts a packet that will not be sent. */
void sink_count_drop(struct worker *worker, struct sink *sink, uint16_t from_worker,
                     enum frame_kind kind, hyperderp_drop_reason reason);

#endif
