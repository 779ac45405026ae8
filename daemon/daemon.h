/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the process that relays is made of. Owned by the main thread: start.c makes it, serve.c is
 * what it does until the end, main.c frees it.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <signal.h>
#include <stdint.h>

#include <hyperderp/hyperderp.h>

#include "config.h"
#include "flags.h"
#include "renewal.h"
#include "sockets.h"
#include "status.h"
#include "takeover.h"
#include "trim.h"
#include "watchdog.h"
#include "web.h"

struct daemon {
    struct flags flags;
    struct config config;
    struct status status;
    struct web *web; /* or NULL */
    struct sockets sockets;
    struct takeover takeover;
    struct renewal renewal;
    struct watchdog watchdog;
    struct trim trim;
    uint64_t watchdog_usec;
    sigset_t signals;
    int64_t due_ms;              /* of the next tick */
    unsigned ticks;              /* seconds */
    hyperderp_counters reported; /* when the status was last told */
};

/* Opens all that the configuration names and starts the relay. A status to exit with (flags.h);
 * what was opened is left to be freed in any case. */
int daemon_start(struct daemon *daemon);

/* Tells the log, and with --dev the terminal, what has been started. */
void daemon_say_hello(const struct daemon *daemon);

/* Serves until a signal ends the relay or another process has taken it over, and until its clients
 * are sent away. */
void daemon_serve(struct daemon *daemon);

#endif
