/* SPDX-License-Identifier: BSD-3-Clause */
/* The keys that are connected at the other end of a link. On the link's worker. */
#ifndef RELAY_LINK_KEYS_H
#define RELAY_LINK_KEYS_H

#include "relay/link.h"

/* Keys that one node may tell of: some 200 bytes each. */
#define LINK_MAX_KEYS 1000000

/* Notes that a key is there, which may be known. 0; -ENOMEM; -ENOSPC when there are too many. */
int link_keys_add(struct link *link, const hyperderp_key *key);

/* It has gone from there. Unless it is elsewhere, those that it has sent to are told. */
void link_keys_remove(struct link *link, const hyperderp_key *key);

/* The connection that told of them has ended: takes all out, some at a time, as there may be very
 * many; link_keys_sweep() goes on with that, and tells whether there are more. */
void link_keys_leave(struct link *link);
bool link_keys_sweep(struct link *link);

#endif
