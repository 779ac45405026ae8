/* SPDX-License-Identifier: BSD-3-Clause */
/* Guesses what somebody meant who mistyped a name. */
#ifndef DAEMON_NEAREST_H
#define DAEMON_NEAREST_H

#include <stddef.h>

/* How many letters must be added, taken away, changed or swapped with their neighbour; names of
 * more than 63 bytes are far from everything. */
unsigned nearest_distance(const char *a, const char *b);

/* Tells whether a name this far away is worth a guess. */
int nearest_is_near(const char *typed, unsigned distance);

#endif
