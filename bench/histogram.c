/* SPDX-License-Identifier: BSD-3-Clause */
/* The histogram of bench/histogram.h. */
#include "histogram.h"

#include <stddef.h>

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

/* Values below SUB_COUNT have a bucket each. Above, the group is given by the highest bit, the
 * bucket in it by the HISTOGRAM_SUB_BITS bits that follow. */
static size_t bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < SUB_COUNT)
        return (size_t)value;
    if (value >> HISTOGRAM_MAX_BITS != 0)
        return HISTOGRAM_BUCKETS - 1;
    shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_SUB_BITS) + ((value >> shift) & (SUB_COUNT - 1));
}

/* The greatest value of a bucket. */
static uint64_t bucket_end(size_t bucket)
{
    unsigned shift;

    if (bucket < SUB_COUNT)
        return bucket;
    shift = (unsigned)(bucket >> HISTOGRAM_SUB_BITS) - 1;
    return ((uint64_t)(SUB_COUNT + (bucket & (SUB_COUNT - 1)) + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->buckets[bucket_of(value)]++;
    histogram->count++;
    if (value > histogram->max)
        histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    double wanted = share * (double)histogram->count;
    uint64_t seen = 0, end;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen == 0 || (double)seen < wanted)
            continue;
        end = bucket_end(i);
        /* The last bucket also holds what is beyond it. */
        return end < histogram->max && i < HISTOGRAM_BUCKETS - 1 ? end : histogram->max;
    }
    return histogram->max;
}
