/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's log: one line a call, on standard error. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <hyperderp/relay.h>

/* Lines above this level are left out. Set once, before threads start. */
void log_set_level(hyperderp_log_level level);

/* Writes "15:04:05 info  text". Any thread. */
void log_print(hyperderp_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same as the relay's log callback. */
void log_from_relay(void *user, hyperderp_log_level level, const char *line);

#endif
