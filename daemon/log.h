/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log, on standard error: text for people or JSON lines for machines. On a terminal each line
 * has a short time; under journald (JOURNAL_STREAM names standard error) it has a priority and no
 * time; elsewhere a full one. A line is one write(). All functions: any thread.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include <hyperderp/relay.h>

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Looks what standard error is. Before the first line. */
void log_init(void);
void log_set_level(hyperderp_log_level level);
void log_set_format(enum log_format format);

void log_print(hyperderp_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for what others can make happen often: lines that begin alike are limited. */
void log_limited(hyperderp_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The log callback of a relay. Repeated warnings are limited by it. */
void log_from_relay(void *user, hyperderp_log_level level, const char *line);

/* Lines written, by level, and lines that were kept back as too many like them had come. */
uint64_t log_lines(hyperderp_log_level level);
uint64_t log_suppressed(void);

#endif
