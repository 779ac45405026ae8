/* SPDX-License-Identifier: BSD-3-Clause */
/* When to give memory back. */
#include "trim.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* What is less than that is not worth the look at all that is free: some milliseconds, in which a
 * worker may have to wait for malloc(). It is done once for each time that what there is halves. */
#define CONNECTIONS  500
#define QUEUED_BYTES (2 << 20)

static bool has_halved(uint64_t *most, uint64_t now, uint64_t least)
{
    if (now > *most)
        *most = now;
    return *most >= least && now <= *most / 2;
}

bool trim_is_due(struct trim *trim, const hyperderp_counters *counters)
{
    bool fewer = has_halved(&trim->connections, counters->connections, CONNECTIONS);
    bool less = has_halved(&trim->queued_bytes, counters->queued_bytes, QUEUED_BYTES);

    if (!fewer && !less)
        return false;
    trim->connections = counters->connections;
    trim->queued_bytes = counters->queued_bytes;
    return true;
}

void trim_tick(struct trim *trim, const hyperderp_relay *relay)
{
    hyperderp_counters counters = {.size = sizeof(counters)};

    hyperderp_relay_counters(relay, &counters);
    if (!trim_is_due(trim, &counters))
        return;
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
