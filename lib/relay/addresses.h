/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections by the address that they come from: an IPv4 address, or the first 64 bits of an IPv6
 * one, as a single customer has all addresses behind these. Hashed with SipHash under a random key,
 * as clients choose their IPv6 addresses.
 */
#ifndef RELAY_ADDRESSES_H
#define RELAY_ADDRESSES_H

#include <pthread.h>
#include <stdint.h>

#include "relay/endpoint.h"

struct address;

struct addresses {
    uint8_t hash_key[16]; /* fixed after creation */

    pthread_mutex_t lock; /* guards what follows, and the addresses; a leaf */
    struct address **buckets;
    unsigned bucket_count; /* a power of two, or 0 */
    unsigned count;
};

void addresses_init(struct addresses *addresses);

/* All connections must have left. */
void addresses_destroy(struct addresses *addresses);

/*
 * Counts a connection to the address that it comes from. 0, with the address for
 * addresses_leave(), or NULL for one that is no IP address; -EUSERS when it has `most` already (0:
 * no limit); -ENOMEM.
 */
int addresses_enter(struct addresses *addresses, const struct endpoint *from, unsigned most,
                    struct address **out);

/* NULL is allowed. */
void addresses_leave(struct addresses *addresses, struct address *address);

#endif
