/* SPDX-License-Identifier: BSD-3-Clause */
/* Formatting of log lines. */
#include "relay/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "relay/within.h"

void log_line(const struct log *log, hyperderp_log_level level, const char *format, ...)
{
    if (!log_wants(log, level))
        return;
    char line[LOG_LINE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    /* What a client calls itself must not forge lines or steer a terminal. */
    for (char *at = line; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    struct within here;
    within_enter(&here, log, WITHIN_LINE);
    log->write(log->user, level, line);
    within_leave(&here);
}
