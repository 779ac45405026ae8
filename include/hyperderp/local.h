/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file local.h
 * Local peers: keys of a relay that are the embedding program's own. What clients send to such a
 * key is given to a function, and what the program sends as that key reaches them like any packet;
 * there is no connection, no socket and no handshake in between. So a control plane answers disco
 * or signalling packets itself, or a gateway has its end of a tunnel in the relay's own process.
 *
 * To everybody else a local peer is a peer like any other: clients get PeerGone when it is removed,
 * the other nodes of the region are told that it is there and forward to it,
 * hyperderp_relay_options.peer_changed() and hyperderp_relay_peers() tell of it (with the address
 * "local"). It has its key alone: a client that comes with the same one is denied, with a warning
 * in the log. admit() is not asked about local peers.
 *
 * Contents are what peers make of them: the relay encrypts nothing for a local peer, as it decrypts
 * nothing for others.
 *
 * Functions are safe to call from any thread unless their comment says otherwise. A local peer is
 * valid until it is removed or its relay freed; no other call for it may overlap these two, but
 * for those of its own callbacks.
 */
#ifndef HYPERDERP_LOCAL_H
#define HYPERDERP_LOCAL_H

#include <hyperderp/packet.h>
#include <hyperderp/relay.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A peer that is this program itself. Opaque. */
typedef struct hyperderp_local_peer hyperderp_local_peer;

/** Settings of a local peer. Set `size`, and all else to zero, before filling it in. */
typedef struct hyperderp_local_peer_options {
    size_t size; /**< bytes of this struct in the header you compiled with */

    /** Its node key: not zero, and not the relay's own. */
    hyperderp_key key;

    /** Passed to its callbacks as it is. */
    void *user;

    /**
     * A packet for the key. It runs on the worker that has received the packet, at once, without a
     * queue: several workers may call at the same time. The packets of one sender's connection come
     * one after the other, in their order. What it may not do is wait: nobody whom that worker
     * serves gets anything meanwhile. It may call hyperderp_local_peer_send(), of whatever local
     * peer, besides what all callbacks may call.
     *
     * @param user    as in the options.
     * @param from    who sent it; valid during the call.
     * @param packet  its bytes, valid during the call, at any alignment; never NULL.
     * @param len     their number, 0 to HYPERDERP_MAX_PACKET.
     */
    void (*received)(void *user, const hyperderp_key *from, const void *packet, size_t len);

    /**
     * A peer that has sent to this one has left the region; or one to which this one has sent a
     * disco packet had left when its turn came. Runs on any worker, as received() does and with the
     * same rules; not while the relay drains. May be NULL.
     *
     * @param user    as in the options.
     * @param peer    who has left; valid during the call.
     * @param reason  why it is told.
     */
    void (*peer_gone)(void *user, const hyperderp_key *peer, hyperderp_gone_reason reason);
} hyperderp_local_peer_options;

/**
 * Adds a local peer. When this returns, packets for its key reach it; callbacks may come before.
 *
 * @param relay    the relay, before its start or while it runs.
 * @param options  the key and the callbacks; copied.
 * @param out      receives the local peer, which the caller removes; NULL on error.
 * @return 0; -EINVAL for NULL, without received(), for a key of zeros or the relay's own; -EEXIST
 *         when a client or a local peer with this key is there (see hyperderp_relay_close_peer());
 *         -EBUSY when the relay drains or has ended, and from a callback; -E2BIG for options that
 *         this library does not know; -ENOMEM.
 */
HYPERDERP_API int hyperderp_relay_add_local_peer(hyperderp_relay *relay,
                                                 const hyperderp_local_peer_options *options,
                                                 hyperderp_local_peer **out);

/**
 * Sends a packet as a local peer: to a client of this relay, to another local peer, to itself, or
 * to a key at another node of the region. It never waits: the packet is copied and goes out with
 * the next turn of a worker. What one thread sends to one connection arrives in its order, or is
 * lost on the way as packets of clients are: 0 does not mean that it has been received.
 *
 * Inside every callback but hyperderp_relay_options.peer_changed() and peer_event(), where it is
 * -EBUSY, and with no lock of yours held
 * that this takes, as keys are looked up here and that looking up waits for it.
 *
 * @param local   who sends.
 * @param to      to whom.
 * @param packet  its bytes; NULL only when there are none.
 * @param len     their number, at most HYPERDERP_MAX_PACKET.
 * @return 0 when it is on its way; -ENOENT when nobody in the region has the key; -EHOSTUNREACH
 *         when several clients fight about it, so that none receives; -ENOBUFS when workers have
 *         yet to take as many packets or bytes of this local peer as may wait for one destination
 *         (queue_frames, queue_bytes), or memory_bytes is used up: counted as local_refused, later
 *         there is room again; -EMSGSIZE for a longer packet; -EBUSY before the start, and
 *         inside those two callbacks; -ESHUTDOWN
 *         when the relay drains or has ended; -ENOMEM; -EINVAL for NULL.
 */
HYPERDERP_API int hyperderp_local_peer_send(hyperderp_local_peer *local, const hyperderp_key *to,
                                            const void *packet, size_t len);

/**
 * Removes a local peer and frees it. Waits until its callbacks have returned: after this none runs,
 * and none will. What it has sent still goes out. Then those whom it has sent to get PeerGone.
 *
 * Call it with no lock held that its callbacks take: it would wait for itself. From a callback of
 * the relay or of its local peers it does nothing and logs an error. hyperderp_relay_free() does
 * the same for the local peers that are left.
 *
 * @param local  the local peer, invalid after the call; NULL is allowed.
 */
HYPERDERP_API void hyperderp_local_peer_remove(hyperderp_local_peer *local);

#ifdef __cplusplus
}
#endif

#endif
