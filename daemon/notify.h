/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Talks to the service manager: sd_notify(3) through libsystemd. Without NOTIFY_SOCKET every
 * function does nothing. The main thread alone.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdint.h>

void notify_ready(void);
void notify_reloading(void); /* RELOADING=1 with MONOTONIC_USEC; notify_ready() ends it */
void notify_stopping(void);
void notify_status(const char *text);
void notify_watchdog(void);

/* How often the manager wants to hear of us, 0: not at all. */
uint64_t notify_watchdog_usec(void);

#endif
