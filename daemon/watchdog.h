/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether every worker makes progress: each is woken every second, and must make a turn of its
 * loop. The main thread alone.
 */
#ifndef DAEMON_WATCHDOG_H
#define DAEMON_WATCHDOG_H

#include <stdint.h>

#include <hyperderp/hyperderp.h>

struct watchdog {
    hyperderp_relay *relay;
    int64_t patience_ms;
    unsigned workers;
    struct watched {
        uint64_t turns;   /* at the last look */
        int64_t moved_ms; /* when it was last seen to turn */
        bool stuck;       /* has been logged */
    } * watched;
};

/* usec is what the service manager wants to hear within, 0: nothing. A worker counts as stuck after
 * half of it, or 5 s. 0 or -ENOMEM. */
int watchdog_init(struct watchdog *watchdog, hyperderp_relay *relay, uint64_t usec);
void watchdog_free(struct watchdog *watchdog);

/* Looks at the workers and wakes them for the next look. Returns how many are stuck. */
unsigned watchdog_look(struct watchdog *watchdog, int64_t now_ms);

#endif
