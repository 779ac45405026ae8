/* SPDX-License-Identifier: BSD-3-Clause */
/* The figures in Prometheus' text format, version 0.0.4. docs/metrics.md lists them. */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include <stdio.h>

#include "status.h"

/* Writes all metrics. Any thread; no worker waits. */
void metrics_write(const struct status *status, FILE *out);

/* Writes the table of docs/metrics.md: name, type, labels, meaning. */
void metrics_describe(FILE *out);

#endif
