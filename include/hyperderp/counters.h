/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file counters.h
 * What a relay tells of itself: counters, its workers, its peers.
 *
 * @par Threads
 * Every function may be called by any thread while the relay exists, also before its start and
 * after its end, and stops no worker. All but hyperderp_relay_peers() and hyperderp_relay_peer()
 * may be
 * called from callbacks too.
 */
#ifndef HYPERDERP_COUNTERS_H
#define HYPERDERP_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hyperderp/key.h>
#include <hyperderp/relay.h>
#include <hyperderp/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Why a packet was not delivered. */
typedef enum hyperderp_drop_reason {
    HYPERDERP_DROP_UNKNOWN_PEER = 0, /**< no peer of that key is connected */
    /** the destination is slow, and no room was left: an old packet of one of those that have sent
     * most went */
    HYPERDERP_DROP_QUEUE_FULL = 1,
    HYPERDERP_DROP_GONE = 2,        /**< the destination left while the packet waited */
    HYPERDERP_DROP_WRITE_ERROR = 3, /**< the destination's connection broke or timed out */
    /** memory_bytes is used up, or the system has no memory; one for which not even the receiving
     * found memory counts as HYPERDERP_PACKET_DATA */
    HYPERDERP_DROP_MEMORY = 4,
    /** several clients with the destination's key take turns in sending, so none receives */
    HYPERDERP_DROP_DUPLICATE_KEY = 5,
    HYPERDERP_DROP_EXPIRED = 6 /**< the packet has waited for queue_time_ms */
} hyperderp_drop_reason;
/** Number of drop reasons in this header. */
#define HYPERDERP_DROP_REASONS 7

/** What kind of packet was dropped. */
typedef enum hyperderp_packet_kind {
    HYPERDERP_PACKET_DATA = 0, /**< anything that is not disco */
    HYPERDERP_PACKET_DISCO = 1 /**< path discovery */
} hyperderp_packet_kind;
/** Number of packet kinds in this header. */
#define HYPERDERP_PACKET_KINDS 2

/** How far a client's connection is. */
typedef enum hyperderp_connection_state {
    HYPERDERP_CONNECTION_HTTP = 0,      /**< its request is read */
    HYPERDERP_CONNECTION_HELLO = 1,     /**< its ClientInfo is waited for */
    HYPERDERP_CONNECTION_ADMISSION = 2, /**< admit() has not answered yet */
    HYPERDERP_CONNECTION_OPEN = 3,      /**< a client that has joined */
    HYPERDERP_CONNECTION_CLOSING = 4,   /**< the last bytes are sent to it */
    HYPERDERP_CONNECTION_TLS = 5,       /**< its TLS handshake is not done */
    HYPERDERP_CONNECTION_PROXY = 6      /**< the header of the PROXY protocol is waited for */
} hyperderp_connection_state;
/** Number of connection states in this header. */
#define HYPERDERP_CONNECTION_STATES 7

/** How a TLS handshake ended. */
typedef enum hyperderp_tls_outcome {
    HYPERDERP_TLS_OK = 0,      /**< HTTP goes on behind it */
    HYPERDERP_TLS_NOT_TLS = 1, /**< what came was no ClientHello */
    HYPERDERP_TLS_FAILED = 2,  /**< the two found no common ground, or the client broke the rules */
    HYPERDERP_TLS_TIMED_OUT = 3, /**< handshake_timeout_ms passed */
    HYPERDERP_TLS_ABANDONED = 4, /**< the client closed the connection */
    HYPERDERP_TLS_GAVE_WAY = 5 /**< too many at once: this one had waited longest for its client */
} hyperderp_tls_outcome;
/** Number of outcomes in this header. */
#define HYPERDERP_TLS_OUTCOMES 6

/** Why a connection was closed as soon as it had been accepted, or behind a proxy as soon as that
 * had told its address. */
typedef enum hyperderp_refusal {
    HYPERDERP_REFUSED_MAX_CONNECTIONS = 0, /**< there are max_connections already */
    HYPERDERP_REFUSED_MEMORY = 1,          /**< the system has no memory */
    HYPERDERP_REFUSED_DRAINING = 2,        /**< a drain had begun */
    HYPERDERP_REFUSED_ACCEPT_RATE = 3,     /**< more than accept_rate came */
    HYPERDERP_REFUSED_PER_IP = 4, /**< there are connections_per_ip from its address already */
    HYPERDERP_REFUSED_UNTRUSTED_PROXY = 5 /**< not from a trusted proxy, to a listener for these */
} hyperderp_refusal;
/** Number of reasons to refuse a connection in this header. */
#define HYPERDERP_REFUSALS 6

/**
 * Counters since the relay was made, and a few gauges of this moment. Every figure is read without
 * stopping a worker: figures of one call may be some packets apart from each other while traffic
 * flows, and are exact at rest. Then packets_received = packets_delivered + the sum of drops.
 *
 * Memory from the heap, which packet_allocations counts, is taken for buffers (frame_pool_misses),
 * for more destinations that are sent to at once than before, for whom a client has sent to, for
 * readers of half received WebSocket frames, and for contexts of ciphers, which are given up after
 * a second without traffic.
 */
typedef struct hyperderp_counters {
    size_t size; /**< bytes of this struct in your header; set it before the call */

    uint64_t recv_bytes; /**< bytes read from clients */
    uint64_t send_bytes; /**< bytes the kernel took for clients */
    /** packets that clients sent: whole SendPacket frames, and those there was no memory for */
    uint64_t packets_received;
    uint64_t packets_delivered; /**< packets the kernel took whole for their destination */
    uint64_t drops[HYPERDERP_DROP_REASONS]
                  [HYPERDERP_PACKET_KINDS]; /**< packets, by reason and kind */
    /** drops, but unknown_peer, whose sender is on another worker than the destination */
    uint64_t xfer_drops;
    uint64_t send_drops;   /**< all other drops but unknown_peer */
    uint64_t send_errors;  /**< connections that broke or timed out while being written */
    uint64_t recv_enobufs; /**< reads that had to wait for a free receive chunk */
    /** connections refused, or closed in the handshake, as connections or their memory were used
     * up; also those that came at the very moment when a drain began */
    uint64_t slab_exhausts;
    uint64_t frame_pool_hits;   /**< frames kept in memory that found a buffer in the pool */
    uint64_t frame_pool_misses; /**< frames kept in memory whose buffer was allocated anew */
    uint64_t accepts;           /**< connections accepted */
    uint64_t accept_errors;     /**< accept calls that failed (out of file descriptors, for one) */
    uint64_t handshakes_ok;     /**< clients that joined */
    uint64_t handshakes_denied; /**< clients that admit() denied */
    uint64_t handshakes_failed; /**< connections that broke the protocol before joining */
    uint64_t handshakes_timed_out; /**< connections closed at the handshake's deadline */
    uint64_t http_requests;    /**< requests answered by a page or an error instead of an upgrade */
    uint64_t protocol_errors;  /**< joined clients closed for a frame that breaks the rules */
    uint64_t unknown_frames;   /**< frames skipped, as this version does not handle their type */
    uint64_t pings;            /**< Ping frames received */
    uint64_t pongs;            /**< Pong frames queued */
    uint64_t keepalives;       /**< KeepAlive frames queued */
    uint64_t peer_gone_frames; /**< PeerGone frames queued */
    uint64_t control_drops;    /**< frames of the relay's own that found their queue full */
    uint64_t duplicate_connections; /**< connections that found their key connected already */
    /** completions of the kernel for a connection already gone: harmless */
    uint64_t stale_completions;
    uint64_t loop_turns; /**< turns of all workers' loops */

    uint64_t tls_handshakes[HYPERDERP_TLS_OUTCOMES]; /**< TLS handshakes, by outcome */
    uint64_t tls_alerts_sent;     /**< fatal alerts: what a client sent broke the rules of TLS */
    uint64_t tls_alerts_received; /**< fatal alerts of clients */
    uint64_t tls_key_updates;     /**< keys changed while a connection lived, either direction */
    uint64_t tls_records_opened;  /**< records received and decrypted by the workers */
    uint64_t tls_records_sealed;  /**< records encrypted by the workers */

    uint64_t connections;  /**< gauge: open connections, in whatever state */
    uint64_t peers_active; /**< gauge: keys with at least one connection */
    uint64_t
        home_clients; /**< gauge: connections that named this relay their home (NotePreferred) */
    /** gauge: bytes of frames that wait or are only half received, which memory_bytes bounds */
    uint64_t queued_bytes;
    uint64_t workers;                /**< gauge: workers */
    uint64_t tls_connections;        /**< gauge: connections whose TLS handshake is done */
    uint64_t tls_handshakes_active;  /**< gauge: TLS handshakes that hold memory */
    uint64_t tls_kernel_connections; /**< gauge: of tls_connections, those the kernel encrypts */

    /** gauge: connections by state; the sum is `connections` but for those that wait to be freed */
    uint64_t connections_by_state[HYPERDERP_CONNECTION_STATES];
    /** connections, by reason; the first three are slab_exhausts */
    uint64_t refused[HYPERDERP_REFUSALS];
    /** times that reading from a client paused, as it had sent more than client_rate allows */
    uint64_t client_rate_pauses;

    uint64_t stun_answers_ipv4; /**< STUN requests answered, of clients with IPv4 */
    uint64_t stun_answers_ipv6; /**< the same, with IPv6 */
    uint64_t stun_malformed;    /**< datagrams ignored as they were no message of STUN */
    uint64_t stun_unsupported;  /**< messages of STUN ignored as they asked for something else */
    uint64_t stun_send_errors;  /**< answers that could not be sent at once */

    uint64_t packets_forwarded_in;  /**< of packets_received, those that mesh partners forwarded */
    uint64_t packets_forwarded_out; /**< of packets_received, those for keys at mesh partners */
    uint64_t mesh_refused;          /**< clients closed for a mesh frame without the mesh key */
    uint64_t mesh_closed_peers;     /**< connections closed as a mesh partner asked for it */
    uint64_t mesh_watchers_lost;    /**< watchers closed as they did not take what they watch */
    uint64_t mesh_watchers; /**< gauge: connections that are told who is connected (WatchConns) */
    uint64_t mesh_links;    /**< gauge: other nodes of the region that the relay is connected to */
    uint64_t mesh_keys; /**< gauge: keys that those have told of; one at two nodes counts twice */
    uint64_t proxy_headers_ok; /**< headers of the PROXY protocol that told the client's address */
    uint64_t proxy_headers_local; /**< those that told none: the proxy's own checks, for one */
    uint64_t proxy_headers_bad; /**< connections of trusted proxies closed for want of a good one */

    /** Health frames queued: clients were muted, or are so no longer, or were denied with a reason
     */
    uint64_t health_frames;
    uint64_t muted_connections; /**< gauge: connections that get nothing as several clients use the
                                     same key */
    uint64_t not_ideal_connections; /**< gauge: clients that prefer another node (Ideal-Node) */
    uint64_t websocket_upgrades;    /**< connections that were upgraded to WebSocket */
    uint64_t websocket_connections; /**< gauge: connections that speak DERP in WebSocket messages */
    /** times that passing packets took memory from the heap: frame_pool_misses, more destinations
     * that are sent to at once than before, whom a client has sent to, readers of half received
     * WebSocket frames, and contexts of ciphers, which are given up after a second without traffic.
     * At rest as long as traffic is no heavier than it has been. Without the copy that each
     * hyperderp_local_peer_send() makes. */
    uint64_t packet_allocations;
    uint64_t local_peers;   /**< gauge: local peers (local.h), which are no connections, and not
                                 among peers_active */
    uint64_t local_refused; /**< packets that local peers could not send for want of room */
} hyperderp_counters;

/** Figures of one worker, since it started. */
typedef struct hyperderp_worker_info {
    size_t size;                /**< bytes of this struct in your header; set it before the call */
    uint64_t connections;       /**< gauge: those that it owns */
    uint64_t loop_turns;        /**< turns of its loop */
    uint64_t loop_events;       /**< completions that it handled */
    uint64_t cpu_ns;            /**< CPU time of its thread; 0 when it does not run */
    uint64_t recv_bytes;        /**< as in hyperderp_counters */
    uint64_t send_bytes;        /**< as in hyperderp_counters */
    uint64_t packets_received;  /**< as in hyperderp_counters */
    uint64_t packets_delivered; /**< by this worker: sent out, whoever owns the receiver */
    uint64_t drops;             /**< packets, of all reasons and kinds */
    uint64_t recv_enobufs;      /**< reads that had to wait for a free receive chunk */
    uint64_t free_chunks;       /**< gauge: receive chunks that nobody uses */
} hyperderp_worker_info;

/** What is known of one connected client. */
typedef struct hyperderp_peer_info {
    hyperderp_key key;          /**< its node key */
    char address[64];           /**< as in hyperderp_client_info; "local" for a local peer */
    char app_name[65];          /**< as in hyperderp_client_info */
    unsigned worker;            /**< the worker that owns its connection */
    bool active;                /**< packets for its key go to this connection */
    bool home;                  /**< it named this relay its home */
    uint64_t connected_ms;      /**< since it joined, in milliseconds */
    uint64_t packets_received;  /**< that it sent to others */
    uint64_t bytes_received;    /**< bytes of those packets' frames, whose heads have 37 bytes, and
                                     69 of packets that a mesh partner forwards */
    uint64_t packets_delivered; /**< that the kernel took whole for it */
    uint64_t bytes_delivered;   /**< bytes that the kernel took for it: of packets, of the relay's
                                     own frames, and what TLS and WebSocket add */
    uint64_t drops;             /**< packets for it that were dropped */
    uint64_t queued_frames;     /**< frames that wait for it */
    uint64_t queued_bytes;      /**< bytes of those */
    bool can_ack_pings;         /**< it answers Ping frames of the relay */
    bool is_prober;             /**< it is a monitoring client */
    bool not_ideal;             /**< it prefers another node of the region (Ideal-Node) */
    bool muted;                 /**< it gets nothing, as several clients use its key */
    bool websocket;             /**< it speaks DERP in WebSocket messages */
    bool mesh;                  /**< it is a mesh partner: it has shown the region's mesh key */
} hyperderp_peer_info;

/**
 * Reads the counters. Costs some hundred loads and holds up nobody. Nothing is written when `size`
 * has no room for itself, or an argument is NULL.
 *
 * @param relay  the relay; for NULL nothing is filled in.
 * @param out    its `size` is set by the caller; receives as much of the struct as that allows.
 * What a longer struct has beyond the fields that the library knows is left as it is, so that it is
 * best zeroed before.
 *
 * @par Example
 * @code
 * hyperderp_counters counters = {.size = sizeof(counters)};
 *
 * hyperderp_relay_counters(relay, &counters);
 * for (int reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
 *     printf("%s: %" PRIu64 " data, %" PRIu64 " disco\n",
 *            hyperderp_drop_reason_name((hyperderp_drop_reason)reason),
 *            counters.drops[reason][HYPERDERP_PACKET_DATA],
 *            counters.drops[reason][HYPERDERP_PACKET_DISCO]);
 * @endcode
 */
HYPERDERP_API void hyperderp_relay_counters(const hyperderp_relay *relay, hyperderp_counters *out);

/** Names a drop reason, "queue_full" for example; "unknown" for a value out of range. Static
 * text. */
HYPERDERP_API const char *hyperderp_drop_reason_name(hyperderp_drop_reason reason);

/** Names a connection state, "admission" for example; "unknown" for a value out of range. Static
 * text. */
HYPERDERP_API const char *hyperderp_connection_state_name(hyperderp_connection_state state);

/** Names an outcome of a TLS handshake, "not_tls" for example; "unknown" for a value out of range.
 * Static text. */
HYPERDERP_API const char *hyperderp_tls_outcome_name(hyperderp_tls_outcome outcome);

/** Names a reason to refuse a connection, "max_connections" for example; "unknown" for a value out
 * of range. Static text. */
HYPERDERP_API const char *hyperderp_refusal_name(hyperderp_refusal reason);

/**
 * Reads the figures of one worker.
 *
 * @param relay   the relay.
 * @param worker  its number, from 0 to hyperderp_counters.workers - 1.
 * @param out     its `size` is set by the caller; receives as much of the struct as that allows.
 * @return 0, or -EINVAL for a number that is not a worker's, or NULL.
 */
HYPERDERP_API int hyperderp_relay_worker(const hyperderp_relay *relay, unsigned worker,
                                         hyperderp_worker_info *out);

/** @name The clients of a relay */
/**@{*/

/**
 * Lists the connected clients, in no order. A key that is connected several times has an entry for
 * each connection; `active` marks the one that receives. The table of keys is locked in 256 parts,
 * one at a time and for some microseconds: workers that look up a key of that part wait so long.
 * Not from a callback. Call it through the macro hyperderp_relay_peers().
 *
 * @param relay  the relay.
 * @param out    receives an array of *count entries for hyperderp_peers_free(); NULL for none.
 * @param count  receives their number.
 * @param size   bytes of an entry as the caller was compiled.
 * @return 0; -EINVAL for NULL or a size of 0; -E2BIG for one beyond 4096; -EBUSY from a callback;
 *         -ENOMEM.
 */
HYPERDERP_API int hyperderp_relay_peers_sized(const hyperderp_relay *relay,
                                              hyperderp_peer_info **out, size_t *count,
                                              size_t size);
/** Lists the connected clients. */
#define hyperderp_relay_peers(relay, out, count)                                                   \
    hyperderp_relay_peers_sized((relay), (out), (count), sizeof(hyperderp_peer_info))

/**
 * Looks one key up among the connected clients: its connection that receives, or, while none does
 * (`muted`), one of them. A part of the table of keys is locked for less than a microsecond. Call
 * it through the macro hyperderp_relay_peer().
 *
 * @param relay  the relay, at any time of its life.
 * @param key    the node key.
 * @param out    receives what is known.
 * @param size   bytes of *out as the caller was compiled.
 * @return 0; -ENOENT when the key has no connection at this relay, also when it is at another node
 *         of the region; -EINVAL for NULL or a size of 0; -E2BIG for a size that no struct has;
 *         -EBUSY from a callback. On error *out is as it was.
 */
HYPERDERP_API int hyperderp_relay_peer_sized(const hyperderp_relay *relay, const hyperderp_key *key,
                                             hyperderp_peer_info *out, size_t size);
/** Looks one key up among the connected clients. */
#define hyperderp_relay_peer(relay, key, out)                                                      \
    hyperderp_relay_peer_sized((relay), (key), (out), sizeof(hyperderp_peer_info))

/** Frees what hyperderp_relay_peers() made. NULL is allowed. */
HYPERDERP_API void hyperderp_peers_free(hyperderp_peer_info *peers);

/**@}*/

#ifdef __cplusplus
}
#endif

#endif
