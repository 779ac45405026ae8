/* SPDX-License-Identifier: BSD-3-Clause */
/* The bounded memory of bench/order.h: a table of small sets, each ordered by last use. */
#include "order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int order_init(struct order *order, uint64_t pairs)
{
    size_t sets = 1;

    /* Pairs are not spread evenly, so room for twice as many. */
    while (sets * ORDER_WAYS < ORDER_MAX_ENTRIES && sets * ORDER_WAYS < pairs * 2)
        sets *= 2;
    order->mask = sets - 1;
    order->sets = calloc(sets, sizeof(*order->sets));
    return order->sets == NULL ? -ENOMEM : 0;
}

void order_free(struct order *order)
{
    free(order->sets);
    order->sets = NULL;
}

static size_t set_of(const struct order *order, uint32_t source, uint32_t destination)
{
    uint64_t x = ((uint64_t)source << 32 | destination) * 0x9e3779b97f4a7c15u;

    return (size_t)(x >> 32) & order->mask;
}

enum order_verdict order_check(struct order *order, uint32_t source, uint32_t destination,
                               uint64_t sequence)
{
    struct order_entry *set = order->sets[set_of(order, source, destination)];
    struct order_entry entry = {source, destination, sequence};
    enum order_verdict verdict = ORDER_UNKNOWN;
    size_t at;

    for (at = 0; at < ORDER_WAYS - 1; at++)
        if (set[at].sequence == 0 ||
            (set[at].source == source && set[at].destination == destination))
            break;
    if (set[at].sequence != 0 && set[at].source == source && set[at].destination == destination) {
        verdict = sequence > set[at].sequence ? ORDER_RIGHT : ORDER_WRONG;
        if (verdict == ORDER_WRONG)
            entry.sequence = set[at].sequence;
    }
    memmove(set + 1, set, at * sizeof(*set));
    set[0] = entry;
    return verdict;
}
