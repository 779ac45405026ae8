/* SPDX-License-Identifier: BSD-3-Clause */
/* What the load generator tells a person (a table) or a program (JSON). */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "load.h"

void report_table(FILE *out, const struct load_options *options, const struct load_result *result);

/* Writes one JSON object. 0, or -ENOMEM, also for a relay's name that is not UTF-8. */
int report_json(FILE *out, const struct load_options *options, const struct load_result *result);

/* Rewrites the progress line of a terminal, a load_progress_fn whose user is a FILE. */
void report_progress(void *file, const struct load_progress *progress);

/* Wipes that line. */
void report_progress_end(FILE *file);

#endif
