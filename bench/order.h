/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Remembers the last packet from each source to each destination, to see whether a later one comes
 * behind it. With n clients there are n * (n - 1) such pairs, so the memory is bounded: when it is
 * full, those forgotten are pairs that have been silent for long, and a relay that swaps packets
 * swaps them within a short time.
 */
#ifndef BENCH_ORDER_H
#define BENCH_ORDER_H

#include <stddef.h>
#include <stdint.h>

#define ORDER_WAYS        4 /* pairs that share a place; one that was not used for longest gives way */
#define ORDER_MAX_ENTRIES (1u << 18) /* 4 MiB */

struct order_entry {
    uint32_t source, destination;
    uint64_t sequence; /* 0: nothing is kept here */
};

struct order {
    struct order_entry (*sets)[ORDER_WAYS];
    size_t mask;
};

enum order_verdict {
    ORDER_UNKNOWN, /* nothing is remembered of this pair */
    ORDER_RIGHT,   /* comes after the one remembered */
    ORDER_WRONG,   /* comes behind a later one, or twice */
};

/* Makes room for so many pairs, or for ORDER_MAX_ENTRIES if these are fewer. 0 or -ENOMEM. */
int order_init(struct order *order, uint64_t pairs);
void order_free(struct order *order);

/* Takes note of a packet, whose sequence is at least 1, and judges its place. */
enum order_verdict order_check(struct order *order, uint32_t source, uint32_t destination,
                               uint64_t sequence);

#endif
