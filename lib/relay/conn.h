/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiving half of a connection: its state, its deadline, and the frame that is half received.
 * Owned by one worker, touched by no other thread. Nothing in it blocks.
 */
#ifndef RELAY_CONN_H
#define RELAY_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "io/chunk.h"
#include "io/loop.h"
#include "io/timer.h"
#include "relay/endpoint.h"
#include "relay/frame_pool.h"
#include "relay/pace.h"
#include "wire/frame.h"

struct address;
struct link;
struct listener;
struct peer;
struct secure;
struct sink;
struct websocket;
struct worker;

enum conn_state {
    CONN_PROXY,     /* reads the PROXY protocol's header; deadline: handshake */
    CONN_TLS,       /* shakes hands; deadline: handshake */
    CONN_HTTP,      /* reads the request; deadline: handshake */
    CONN_HELLO,     /* has sent ServerKey, reads ClientInfo; deadline: handshake */
    CONN_ADMISSION, /* reads nothing until admit() has answered; deadline: handshake */
    CONN_OPEN,      /* passes packets; deadline: the next KeepAlive, the rest of a frame */
    CONN_DRAINING,  /* sends what is queued, discards what comes; deadline: the next look at it */
    CONN_CLOSED,    /* waits for the last completion of its receive; none needed */
};

enum conn_end {
    CONN_END_BY_PEER,      /* end of stream, or a reset */
    CONN_END_PROTOCOL,     /* the peer broke the protocol */
    CONN_END_TIMEOUT,      /* a deadline passed */
    CONN_END_DENIED,       /* admit() said no */
    CONN_END_ANSWERED,     /* an HTTP request got its page, or a drain its last frame */
    CONN_END_RESOURCES,    /* memory or file descriptors are used up */
    CONN_END_STOPPED,      /* the relay stops */
    CONN_END_NOT_TLS,      /* what came to a TLS listener was no ClientHello */
    CONN_END_GAVE_WAY,     /* too many TLS handshakes at once */
    CONN_END_NEW_KEY,      /* the client has changed its key, and the kernel cannot follow */
    CONN_END_PROXY_HEADER, /* a trusted proxy sent no good header */
    CONN_END_TOO_SLOW,     /* a watcher did not take what it asked for */
    CONN_END_CROWDED,      /* that tells an address with as many connections as it may have */
};

/* Destinations that a connection has at hand. */
#define CONN_DESTINATIONS 4

struct destination {
    struct peer *peer; /* a reference, or NULL */
    struct sink *sink; /* a reference */
};

/* Fields stand as they pack best: there is one for each client (docs/performance.md). */
struct conn {
    /* Fixed after creation. */
    struct worker *worker;
    struct sink *sink;           /* a reference */
    struct secure *secure;       /* NULL: in the clear */
    struct websocket *websocket; /* from the upgrade on; NULL: it speaks DERP itself */
    uint32_t slot, generation;

    /* Of one that this relay has made, to another node of the region (link.h), until it ends; NULL:
     * a client's. */
    struct link *link;

    /* State. */
    uint8_t state;  /* enum conn_state; changed by conn_set_state() alone */
    bool receiving; /* the engine has a receive of it */
    bool drained;   /* the last read found less than a chunk */
    bool starved;   /* in the worker's list of those that wait for a chunk */
    bool kept;      /* in CONN_DRAINING: see conn_turn_away(); nothing is read */
    struct timer deadline;
    int64_t keepalive_due; /* in CONN_OPEN; of a relay that leaves, when it is sent away */
    union {
        int64_t rest_due;     /* in CONN_OPEN, of the frame in partial */
        int64_t linger_until; /* in CONN_DRAINING, unless kept */
    };
    struct pace pace;        /* in CONN_OPEN */
    struct address *address; /* counts it, see addresses.h; NULL: not counted, or not yet */
    struct conn *next;       /* in the worker's list of starved or of dead ones */

    /* Input. */
    uint8_t requests;   /* HTTP requests that were answered */
    uint8_t header_len; /* bytes in header */
    uint8_t header[FRAME_HEADER_SIZE];
    uint8_t gone_tokens;    /* see gone_counted */
    uint32_t skip;          /* bytes still to be skipped of a frame that is not understood */
    uint32_t filled;        /* bytes in partial */
    struct frame *partial;  /* the header, request head or frame that is half received */
    struct frame *held;     /* bytes that came while admit() was asked */
    struct frame *greeting; /* ServerInfo, until the client is let in */

    /* From the handshake on. */
    hyperderp_key key;
    struct peer *peer; /* a reference, from CONN_OPEN on */
    struct destination destinations[CONN_DESTINATIONS];
    struct watcher *watcher;       /* it asked for WatchConns (watch.h); or NULL */
    struct mesh_flows *mesh_flows; /* of a mesh partner that forwards (forward_mesh.h); or NULL */

    /* Limit on PeerGone "not here": tokens, and when they were last counted. */
    int64_t gone_counted;
};

/* What handshakes may still take when a drain begins: who has connected a moment before is told to
 * come back, instead of finding the door shut; and those that say nothing do not keep it up. */
#define CONN_HANDSHAKE_GRACE_NS 250000000

/* A socket that has been accepted, until it is a conn. */
struct arrival {
    int fd;
    struct listener *listener;
    struct endpoint from;    /* the socket's peer */
    struct address *address; /* has counted it, or NULL */
};

/* Takes a new socket in. False when memory is out: then the socket and the address are still the
 * caller's. */
bool conn_adopt(struct worker *worker, const struct arrival *arrival);

/* Makes a link's connection of a socket that is about to connect: what is sent waits for that. NULL
 * when memory is out, or for a host that TLS cannot ask for: then the socket is still the caller's.
 */
struct conn *conn_call(struct worker *worker, int fd, const struct endpoint *to, struct link *link);

/* Deals with a RECV event; a stale one has been sorted out before. */
void conn_received(struct conn *conn, const struct io_event *event);

/* Feeds bytes that lie in a chunk (or, with chunk NULL, elsewhere) to the connection. */
void conn_input(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len);

/* The same for what was in a client's WebSocket messages, or came without any. */
void conn_content(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len);

/* The one place where a state changes. */
void conn_set_state(struct conn *conn, enum conn_state state);

/* Ends a connection. The conn stays valid until the end of the turn. */
void conn_close(struct conn *conn, enum conn_end end);

/* Stops taking input, sends what is queued, then closes. */
void conn_finish(struct conn *conn, enum conn_end end);

/* Denies a client that waits for admission, and tells it why by a Health frame. It would come back
 * as soon as its connection ends: so that is kept for a while. */
void conn_turn_away(struct conn *conn, const char *problem);

/* Every request of it got its answer, and the next one has not begun. */
bool conn_is_between_requests(const struct conn *conn);

/* 1 for a client that would rather be at another node of the region, otherwise 0: as such it is
 * counted. */
uint64_t conn_prefers_another(const struct conn *conn);

/* Lets the client in: from admission to open. */
void conn_open(struct conn *conn);

/* The relay drains: sends Restarting and finishes; a handshake may go on for a moment. */
void conn_restart(struct conn *conn);

/* The relay leaves: conn_restart() at a moment of its own, until leave_by. */
void conn_leave(struct conn *conn);

/* A deadline of one that stops, by conn_finish() or conn_turn_away(). A client that got its last
 * bytes closes, and that is seen as the end of its stream. One that does not is waited for, as
 * closing first could cost it those bytes (RFC 9112, section 9.6); a relay that drains is content
 * when the client's side has acknowledged them. */
void conn_linger(struct conn *conn);

/* Arms the receive that the state asks for, if there is none. */
void conn_arm(struct conn *conn);

/* Cancels it: it has ended, or conn->receiving stays set until its last event. */
void conn_disarm(struct conn *conn);

/* Stops reading a connection in CONN_OPEN until this time, and then goes on. What has been received
 * already is dealt with as ever. */
void conn_pause(struct conn *conn, int64_t until);

/* A frame has begun to come in: its rest is waited for, but not for ever. */
void conn_expect_rest(struct conn *conn);

/* It need not starve any longer: reads on, or is freed if it was closed meanwhile. */
void conn_feed(struct conn *conn);

/* Queues a frame of the relay's own. Without memory it is dropped and counted. Returns false
 * then. */
bool conn_send_control(struct conn *conn, const uint8_t *bytes, size_t size);

/* Has a closed connection freed at the end of the turn, as callers up the stack may still look at
 * it. */
void conn_bury(struct conn *conn);

/* Frees a closed connection for good. */
void conn_free(struct conn *conn);

/* Writes a line of the log about a connection, at the level debug. */
void conn_log(const struct conn *conn, const char *what);

#endif
