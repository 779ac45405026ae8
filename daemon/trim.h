/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gives memory back to the system. malloc() keeps what has been freed below something that is still
 * in use: after a flood of connections, or of packets that waited, that is nearly all of it. The
 * main thread alone.
 */
#ifndef DAEMON_TRIM_H
#define DAEMON_TRIM_H

#include <stdbool.h>

#include <hyperderp/hyperderp.h>

struct trim {
    uint64_t connections, queued_bytes; /* the most that were seen since memory was given back */
};

/* Notes what the relay has. Tells whether it is so much less than it has been that there is
 * something to give back. */
bool trim_is_due(struct trim *trim, const hyperderp_counters *counters);

/* Looks, and gives back what can be; once a second. */
void trim_tick(struct trim *trim, const hyperderp_relay *relay);

#endif
