/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * To whom a peer has sent: those that are told by a PeerGone frame when it leaves. A bounded set;
 * beyond its bound an older entry gives way, and whoever that was keeps believing in the peer until
 * its own timeouts tell otherwise. Not locked: the peer that owns it does that.
 */
#ifndef RELAY_RECIPIENTS_H
#define RELAY_RECIPIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <hyperderp/key.h>

#define RECIPIENTS_MAX 4096

/* Of the connections of one key, so many at most: they have one hash, and each takes a walk along
 * all of them to be noted, and one along the key's connections to be told. Beyond, the oldest gives
 * way. */
#define RECIPIENTS_OF_KEY 8

struct recipient {
    uint64_t hash;     /* keyed, of key */
    uint64_t serial;   /* of the sink that got the packets; 0: the entry is free */
    hyperderp_key key; /* that it belongs to; several may have the same */
};

struct recipients {
    struct recipient *entries;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t count;
};

/* Notes a recipient. One that is the only connection of its key takes the place of an earlier one,
 * so that a client that comes back over and over does not fill the set. Without memory for it
 * nothing is noted. Tells whether that took memory. */
bool recipients_add(struct recipients *set, const struct recipient *recipient, bool alone);
void recipients_destroy(struct recipients *set);

#endif
