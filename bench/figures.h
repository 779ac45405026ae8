/* SPDX-License-Identifier: BSD-3-Clause */
/* What follows from the counts of a run, the same for the table and for JSON. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include "load.h"

/* Tells whether the relay did nothing that it must not do. Loss is allowed. */
bool figures_are_clean(const struct load_result *result);

/* The loader could not keep its rate: more than one packet in a hundred left over 5 ms late by its
 * own fault, or was not sent at all. */
bool figures_fell_behind(const struct load_options *options, const struct load_result *result);

/* The loader had no time left: the relay might have done more. */
bool figures_saturated(const struct load_result *result);

uint64_t figures_lost(const struct load_result *result);
double figures_percent(uint64_t part, uint64_t whole);
double figures_mbit(const struct load_options *options, double packets);

/* CPU nanoseconds of the relay's process for each packet that arrived; 0 when it is not known. */
double figures_relay_cpu_per_packet(const struct load_result *result);

/* CPU microseconds of the relay's process for each connection made. */
double figures_relay_cpu_per_connection(const struct load_options *options,
                                        const struct load_result *result);

/* Bytes of memory that the relay's process took for each connection, before the first packet. */
double figures_relay_rss_per_connection(const struct load_options *options,
                                        const struct load_result *result);

#endif
