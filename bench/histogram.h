/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A histogram of durations with the same relative precision everywhere: each power of two is cut
 * into 64 equal buckets, so that a quantile is at most 1.6 % too high. Fixed size, no allocation.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_MAX_BITS 44 /* values from 2^44 (nanoseconds: 4.9 hours) on count as the last */
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* All zero is an empty one. */
struct histogram {
    uint64_t count;
    uint64_t max; /* exact */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The smallest recorded value that at least the given share (0 to 1) of all values does not exceed,
 * rounded up to the end of its bucket, but not beyond max; 0 when the histogram is empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
