/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay inside the test program, through the public API: for settings that the daemon has no flag
 * for, and for tests that watch the counters while traffic flows. */
#ifndef TESTS_RELAY_EMBEDDED_H
#define TESTS_RELAY_EMBEDDED_H

#include "matrix.h"

struct embedded {
    hyperderp_relay *relay;
    char address[64];
};

/* Default options for a cell. */
void embedded_options(hyperderp_relay_options *options, const struct cell *cell);

/* Makes and starts a relay that listens on 127.0.0.1. One at a time. */
void embedded_start(struct embedded *embedded, const hyperderp_relay_options *options);

void embedded_counters(const struct embedded *embedded, hyperderp_counters *out);

/* The sum of drops for a reason. */
uint64_t embedded_drops(const struct embedded *embedded, hyperderp_drop_reason reason);

/* Waits until a counter, named by its field, has at least (or with _falls, at most) a value. */
#define embedded_await(embedded, field, value)                                                     \
    embedded_await_at((embedded), offsetof(hyperderp_counters, field), #field, (value), true)
#define embedded_await_fall(embedded, field, value)                                                \
    embedded_await_at((embedded), offsetof(hyperderp_counters, field), #field, (value), false)
void embedded_await_at(const struct embedded *embedded, size_t offset, const char *name,
                       uint64_t value, bool at_least);

/* Stops the relay, checks what must hold at rest (see process_stop()), and frees it. The counters
 * of the end go to out, unless that is NULL. */
void embedded_stop(struct embedded *embedded, hyperderp_counters *out);

/* Frees a relay that a failed test has left behind. */
void embedded_clean_up(void);

#endif
