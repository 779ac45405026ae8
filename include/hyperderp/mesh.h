/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file mesh.h
 * The other nodes of a relay's region. Nodes that share hyperderp_relay_options.mesh_key pass
 * packets on to each other's clients: each connects to all others, is told there who is connected,
 * and forwards what its own clients send to those. A packet is forwarded once and never again, so
 * that none can run in circles. Nodes of derper and of this library can be members of one region.
 *
 * Every function may be called from any thread, at any time of the relay's life.
 */
#ifndef HYPERDERP_MESH_H
#define HYPERDERP_MESH_H

#include <hyperderp/relay.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Another node of a region. Set `size`, and all else to zero, before filling it in. */
typedef struct hyperderp_mesh_peer_options {
    size_t size; /**< bytes of this struct in the header you compiled with */

    /**
     * Where it is: "HOST" or "HOST:PORT", over TLS, on port 443 unless given; the same with
     * "/DIALHOST" behind it, to connect to that name or address and yet ask for HOST; or a URL,
     * "https://HOST:PORT" or, on a network that is trusted, "http://HOST:PORT" for DERP in the
     * clear. An IPv6 address stands in brackets.
     */
    const char *address;

    /** Certificates to trust besides the system's: a file of PEM, or NULL. Read at once. The node's
     * certificate must be for HOST. */
    const char *ca_file;

    /** The same as text, or NULL. */
    const char *ca_pem;
} hyperderp_mesh_peer_options;

/** How far a link to another node of a region is. */
typedef enum hyperderp_mesh_state {
    HYPERDERP_MESH_WAITING = 0,    /**< until the next try, or until the relay runs */
    HYPERDERP_MESH_RESOLVING = 1,  /**< asks for the addresses of its name */
    HYPERDERP_MESH_CONNECTING = 2, /**< connects: TCP, TLS, DERP */
    HYPERDERP_MESH_CONNECTED = 3,  /**< knows, or is being told, who is there */
    HYPERDERP_MESH_SELF = 4        /**< leads back to this relay: seldom tried again */
} hyperderp_mesh_state;
/** Number of states in this header. */
#define HYPERDERP_MESH_STATES 5

/** What is known of another node, and of the link to it. */
typedef struct hyperderp_mesh_peer_info {
    char address[256];          /**< as it was added; cut where longer */
    char remote[64];            /**< the address connected to, as in hyperderp_client_info; or "" */
    char error[160];            /**< why the last try or connection ended, or "" */
    hyperderp_key key;          /**< its public key; zero before the first connection */
    hyperderp_mesh_state state; /**< how far the link is */
    unsigned worker;            /**< the worker that owns the link */
    uint64_t state_ms;          /**< since it is in that state, in milliseconds */
    uint64_t keys;              /**< keys that are connected there */
    uint64_t connects;          /**< times that it was connected */
    uint64_t failures;          /**< tries that failed */
    uint64_t packets_forwarded; /**< packets that the kernel took for it, on this connection */
    uint64_t drops;             /**< packets for it that were dropped, on this connection */
    uint64_t queued_frames;     /**< frames that wait for it */
    uint64_t queued_bytes;      /**< bytes of those */
} hyperderp_mesh_peer_info;

/** @name The other nodes of a relay's region */
/**@{*/

/**
 * Adds another node of the region: one of the relay's workers connects to it, and again whenever
 * the connection ends: within a second at first, later every five. A node from which nothing comes
 * for 15 seconds, though it was asked, is given up and connected to again. Names are resolved anew
 * for each try, by a thread of its own, as the system's resolver blocks. A node that turns out to
 * be this relay itself is let be and tried again a minute later, so that all nodes of a region may
 * be given the same list.
 *
 * @param relay    a relay with a mesh key; the link begins when it runs.
 * @param options  the node; copied.
 * @return 0; -EINVAL for an address of another form or certificates that cannot be read (the log
 *         has the reason); -ENOKEY when the relay has no mesh key; -EEXIST when this address has
 *         been added before; -ENOSPC when there are 64 already; -EBUSY when the relay drains or has
 *         ended, and from a callback; -E2BIG for options that this library does not know; -ENOMEM.
 */
HYPERDERP_API int hyperderp_relay_add_mesh_peer(hyperderp_relay *relay,
                                                const hyperderp_mesh_peer_options *options);

/**
 * Removes a node: closes the link to it. Its clients can no longer be reached, and those who have
 * heard from them are told.
 *
 * @param relay    the relay.
 * @param address  as it was added.
 * @return 0; -ENOENT when there is none of this address; -EINVAL for NULL; -EBUSY from a callback.
 */
HYPERDERP_API int hyperderp_relay_remove_mesh_peer(hyperderp_relay *relay, const char *address);

/**@}*/

/** @name Links to the other nodes of a region */
/**@{*/

/**
 * Lists the other nodes, in the order in which they were added. Call it through the macro
 * hyperderp_relay_mesh_peers().
 *
 * @param relay  the relay.
 * @param out    receives an array of *count entries for hyperderp_mesh_peers_free(); NULL for none.
 * @param count  receives their number.
 * @param size   bytes of an entry as the caller was compiled.
 * @return 0; -EINVAL for NULL or a size of 0; -E2BIG for one beyond 4096; -EBUSY from a callback;
 *         -ENOMEM.
 */
HYPERDERP_API int hyperderp_relay_mesh_peers_sized(const hyperderp_relay *relay,
                                                   hyperderp_mesh_peer_info **out, size_t *count,
                                                   size_t size);
/** Lists the other nodes. */
#define hyperderp_relay_mesh_peers(relay, out, count)                                              \
    hyperderp_relay_mesh_peers_sized((relay), (out), (count), sizeof(hyperderp_mesh_peer_info))

/** Frees what hyperderp_relay_mesh_peers() made. NULL is allowed. */
HYPERDERP_API void hyperderp_mesh_peers_free(hyperderp_mesh_peer_info *peers);

/**@}*/

/** Names a state of a link, "connected" for example; "unknown" for a value out of range. Static
 * text. */
HYPERDERP_API const char *hyperderp_mesh_state_name(hyperderp_mesh_state state);

#ifdef __cplusplus
}
#endif

#endif
