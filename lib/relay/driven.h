/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A relay that is driven: its workers have no threads of their own, but take their turns inside
 * hyperderp_relay_dispatch(). The thread that dispatches a worker first is its thread from then on.
 */
#ifndef RELAY_DRIVEN_H
#define RELAY_DRIVEN_H

#include <stdint.h>

struct hyperderp_relay;

/* Gives the calling thread's workers their turns until they have ended, or until `until`
 * (CLOCK_MONOTONIC in ns). Not from a callback: then it returns at once. */
void driven_run(struct hyperderp_relay *relay, int64_t until);

/* Of a relay that stops: runs the calling thread's workers to their end, and those that nobody has
 * dispatched yet. Those of other threads end with their next dispatches. */
void driven_stop(struct hyperderp_relay *relay);

/* Of a relay that stops, and that no other thread uses any more: ends all workers, also those that
 * were other threads'. */
void driven_end(struct hyperderp_relay *relay);

#endif
