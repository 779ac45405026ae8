/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file packet.h
 * What holds for packets whichever side one is on: a relay's local peer (local.h) or a client
 * (client.h).
 */
#ifndef HYPERDERP_PACKET_H
#define HYPERDERP_PACKET_H

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of the largest packet. */
#define HYPERDERP_MAX_PACKET 65536

/** Why a peer is not there. Other values may come from other relays. */
typedef enum hyperderp_gone_reason {
    HYPERDERP_GONE_LEFT = 0,    /**< it was here, and has left */
    HYPERDERP_GONE_NOT_HERE = 1 /**< a packet was sent to it, and nobody here has that key */
} hyperderp_gone_reason;

#ifdef __cplusplus
}
#endif

#endif
