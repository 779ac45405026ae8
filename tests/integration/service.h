/* SPDX-License-Identifier: BSD-3-Clause */
/* A daemon with a configuration file, in a folder of the test's own. Functions fail the running
 * test themselves. */
#ifndef TESTS_SERVICE_H
#define TESTS_SERVICE_H

#include "matrix.h"
#include "relay_process.h"

/* The folder, the configuration in it, and where the key file will be. */
extern char service_folder[64], service_file[96], service_key[96];

void service_make_folder(void);
void service_remove_folder(void);

/* A file in it, by its name; valid until the fourth call after. */
const char *service_path(const char *name);

/* Writes a configuration with one plain listener and limits; more tables may stand behind them. */
void service_write_config(const struct cell *cell, const char *limits);

/* Writes any configuration whose listeners, if it has any, are in text; workers, engine, key file
 * and metrics are written as well. */
void service_write_text(const struct cell *cell, const char *text);

/* Starts the daemon with the file, and returns once it has said its key. */
struct process *service_start(void);

/* Starts it; it must end by itself with this status. */
struct process *service_refuses(int status);

/* The answer of the metrics address to a request, head and all; valid until the next one. */
const char *service_fetch(struct process *daemon, const char *path);

/* What the metrics say of a sample, by its whole name. */
double service_metric(struct process *daemon, const char *name);

void assert_contains(const char *text, const char *part);

#endif
