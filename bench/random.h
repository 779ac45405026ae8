/* SPDX-License-Identifier: BSD-3-Clause */
/* Pseudorandom numbers that are the same in each run (xorshift64*). */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state; /* never 0 */
};

static inline void random_init(struct random *random, uint32_t seed)
{
    random->state = 0x9e3779b97f4a7c15u * ((uint64_t)seed + 1);
}

/* A number below `bound`; the bias of at most bound / 2^32 does not matter here. */
static inline uint32_t random_below(struct random *random, uint32_t bound)
{
    uint64_t x = random->state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return (uint32_t)(((x * 0x2545f4914f6cdd1du) >> 32) * bound >> 32);
}

/* One of `count` (at least 2), but not `self`. */
static inline uint32_t random_other(struct random *random, uint32_t count, uint32_t self)
{
    uint32_t other = random_below(random, count - 1);

    return other < self ? other : other + 1;
}

#endif
