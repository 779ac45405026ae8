/* SPDX-License-Identifier: BSD-3-Clause */
/* What the relay has done, in the log. */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

#include <hyperderp/counters.h>

#include "access.h"

/* Logs all counters as name=value, a few lines. */
void report_counters(const hyperderp_relay *relay);

/* The same of who was refused. */
void report_access(struct access *access);

#endif
