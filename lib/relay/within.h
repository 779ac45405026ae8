/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What relays a thread is inside of: as their worker, or in a callback of theirs. A public function
 * that waits for a worker, or takes a lock that the caller of a callback may hold, would wait for
 * its own caller there, and answers -EBUSY instead.
 */
#ifndef RELAY_WITHIN_H
#define RELAY_WITHIN_H

#include <stdbool.h>

#include "relay/log.h"

enum within_place {
    WITHIN_WORKER, /* its turns, and the callbacks that are made there */
    WITHIN_LINE,   /* the callback that takes a line of the log */
    WITHIN_EVENT,  /* peer_changed() and peer_event(), with the lock of a stripe of the route table
                    */
};

/* One level, on the stack of who goes in. A relay is told by its log, which callbacks outside of
 * workers come from. */
struct within {
    const struct log *log;
    enum within_place place;
    struct within *outer;
};

/* The calling thread goes in, and out again, in this order. */
void within_enter(struct within *level, const struct log *log, enum within_place place);
void within_leave(const struct within *level);

/* Exchanges where a thread is, for what runs several of the relay's threads on one, as the
 * simulation does: each has levels of its own, NULL at its begin. */
struct within *within_exchange(struct within *innermost);

/* Whether the calling thread is inside of this relay. */
bool within_relay(const struct log *log);

/* Whether it is in this place of it. */
bool within_place(const struct log *log, enum within_place place);

/* The same; says in the log that a function without a return value does nothing therefore, unless
 * it is the log that the thread is in. */
bool within_refuses(const struct log *log, const char *function);

#endif
