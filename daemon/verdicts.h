/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts on clients, remembered for a while, so that many who come back at once are not asked
 * about again. Bounded: a new one takes the place of that of its set which has least time left.
 * Not thread-safe.
 */
#ifndef DAEMON_VERDICTS_H
#define DAEMON_VERDICTS_H

#include <stdbool.h>
#include <stdint.h>

#include <hyperderp/key.h>

#define VERDICTS_MAX 65536

struct verdicts;

/* NULL without memory. */
struct verdicts *verdicts_new(void);
void verdicts_free(struct verdicts *verdicts);

/* The verdict on a key that comes from this address, or -1 when none is known at this time (ms). */
int verdicts_find(const struct verdicts *verdicts, const hyperderp_key *key, const char *source,
                  int64_t now);

/* Remembers one, from 0 to 255, until then. */
void verdicts_put(struct verdicts *verdicts, const hyperderp_key *key, const char *source,
                  int verdict, int64_t until);

/* Forgets all. */
void verdicts_clear(struct verdicts *verdicts);

#endif
