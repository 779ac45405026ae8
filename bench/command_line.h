/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of hyper-derp-bench. */
#ifndef BENCH_COMMAND_LINE_H
#define BENCH_COMMAND_LINE_H

#include <stdbool.h>

#include "load.h"

#define PROGRAM "hyper-derp-bench"

/* Reads the command line, and says what is wrong with it. -1 to go on, or the status to exit with:
 * that of --help and --version is 0. */
int command_line_read(int argc, char **argv, struct load_options *options, bool *json);

/* Reads a list of core numbers, such as "1,3-5". 0, or -EINVAL. */
int command_line_read_cores(const char *text, struct load_options *options);

#endif
