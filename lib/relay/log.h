/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines of log for the embedder's callback. */
#ifndef RELAY_LOG_H
#define RELAY_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

#include <hyperderp/relay.h>

#define LOG_LINE_SIZE 512

struct log {
    /* Fixed after creation. */
    void (*write)(void *user, hyperderp_log_level level, const char *line);
    void *user;

    /* Relaxed: a line more or less while it changes. */
    _Atomic hyperderp_log_level level;
};

/* Tells whether a line of this level would be taken, for those that are costly to make. */
static inline bool log_wants(const struct log *log, hyperderp_log_level level)
{
    return log->write && level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

/* Formats a line, cuts it to LOG_LINE_SIZE, replaces what is not printable, and hands it out. */
void log_line(const struct log *log, hyperderp_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
