/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that come back: pairs that send to each other all the time, and one that connects without
 * an end, in threads of their own while a relay is exchanged for another one. */
#ifndef TESTS_CROWD_H
#define TESTS_CROWD_H

#include <stdint.h>

struct crowd;

/* Returns when each client hears its partner. */
struct crowd *crowd_start(const char *address, unsigned pairs);

/* Waits until each client has joined so many times and hears its partner again. */
void crowd_await(struct crowd *crowd, unsigned joins);

/* Ends it, prints what it saw, and fails unless no connection was refused or broken before it had
 * joined, each client has joined exactly so many times and was told of each end, and no client
 * was without its partner for longer than that. */
void crowd_stop(struct crowd *crowd, const char *beside_what, unsigned joins, int64_t gap_us);

#endif
