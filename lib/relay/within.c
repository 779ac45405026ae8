/* SPDX-License-Identifier: BSD-3-Clause */
/* The levels of a thread. */
#include "relay/within.h"

#include <stddef.h>

static _Thread_local struct within *innermost;

void within_enter(struct within *level, const struct log *log, enum within_place place)
{
    *level = (struct within){.log = log, .place = place, .outer = innermost};
    innermost = level;
}

void within_leave(const struct within *level)
{
    innermost = level->outer;
}

struct within *within_exchange(struct within *other)
{
    struct within *before = innermost;

    innermost = other;
    return before;
}

bool within_relay(const struct log *log)
{
    const struct within *level = innermost;

    while (level && level->log != log)
        level = level->outer;
    return level != NULL;
}

bool within_place(const struct log *log, enum within_place place)
{
    const struct within *level = innermost;

    while (level && (level->log != log || level->place != place))
        level = level->outer;
    return level != NULL;
}

bool within_refuses(const struct log *log, const char *function)
{
    if (!within_relay(log))
        return false;
    if (!within_place(log, WITHIN_LINE))
        log_line(log, HYPERDERP_LOG_ERROR, "%s() was called from a callback, and does nothing",
                 function);
    return true;
}
