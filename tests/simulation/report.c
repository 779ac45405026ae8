/* SPDX-License-Identifier: BSD-3-Clause */
/* Trace and fault, on stdout and stderr. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "schedule.h"

const char *const fault_names[FAULTS] = {
    [FAULT_SHORT_READ] = "short reads",     [FAULT_SHORT_WRITE] = "short writes",
    [FAULT_NO_ROOM] = "EAGAIN of sends",    [FAULT_RESET] = "ECONNRESET and EPIPE",
    [FAULT_NO_CHUNK] = "ENOBUFS",           [FAULT_ACCEPT] = "EMFILE of accept",
    [FAULT_NO_MEMORY] = "ENOMEM of malloc", [FAULT_SEND_MEMORY] = "ENOMEM of sends",
    [FAULT_ENGINE_FULL] = "a full engine",  [FAULT_DELAY] = "late completions",
    [FAULT_STALE] = "stale completions",    [FAULT_INTERRUPT] = "EINTR of receives",
    [FAULT_PREEMPTION] = "preemptions",     [FAULT_NO_THREAD] = "EAGAIN of pthread_create",
};

struct report report;
bool report_traces;

static void print(FILE *file, const char *format, va_list arguments)
{
    fprintf(file, "%12.6f %-8s ", (double)(schedule_now() - SCHEDULE_BEGIN) / 1e9, schedule_name());
    vfprintf(file, format, arguments);
    fputc('\n', file);
}

void report_line(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print(stdout, format, arguments);
    va_end(arguments);
}

void report_failure(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    va_start(arguments, format);
    print(stderr, format, arguments);
    va_end(arguments);
    fflush(stderr);
    abort();
}
