/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines on standard error. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024

static hyperderp_log_level max_level = HYPERDERP_LOG_INFO;

static const char *const names[] = {"error", "warn ", "info ", "debug"};

void log_set_level(hyperderp_log_level level)
{
    max_level = level;
}

/* One write a line, so that lines of several threads do not mix. */
static void write_line(hyperderp_log_level level, const char *text)
{
    char line[LINE_SIZE];
    struct tm tm;
    time_t now = time(NULL);

    localtime_r(&now, &tm);
    int size = snprintf(line, sizeof(line), "%02d:%02d:%02d %s %s\n", tm.tm_hour, tm.tm_min,
                        tm.tm_sec, names[level], text);
    if (size >= (int)sizeof(line)) {
        size = sizeof(line) - 1;
        line[size - 1] = '\n';
    }
    /* Nothing can be done for a log that cannot be written: the relay goes on. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)size);
    (void)written;
}

void log_print(hyperderp_log_level level, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list args;

    if (level > max_level)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    write_line(level, text);
}

void log_from_relay(void *user, hyperderp_log_level level, const char *line)
{
    (void)user;
    if (level <= max_level)
        write_line(level, line);
}
