/* SPDX-License-Identifier: BSD-3-Clause */
/* Many clients that come at the same moment: all of them have said their ClientHello before one of
 * them reads an answer. */
#ifndef TESTS_STORM_H
#define TESTS_STORM_H

#include <stddef.h>

#include "matrix.h"

/* How many can be, of so many: a connection is a file, for the relay and for the test. Raises the
 * limit of the test's own. */
size_t storm_size(size_t wanted);

struct storm;

/* Connects them over TLS and lets each join with a key of its own. Returns when the last has got
 * its ServerInfo; fails the test when one does not. */
struct storm *storm_run(const char *address, size_t count);

/* Closes their connections. */
void storm_free(struct storm *storm);

#endif
