/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines: where to, in which form, and how many. */
#include "log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#define LINE_SIZE 1024

/* Of lines that are limited and begin alike, so many pass at once, and one more every so many
 * seconds. */
#define LIMIT_BURST    5
#define LIMIT_INTERVAL 10
#define LIMIT_SHAPES   64
/* Two lines are alike when they have the same letters here, digits apart. */
#define SHAPE_SIZE 40

enum target { TARGET_FILE, TARGET_TERMINAL, TARGET_JOURNAL };

/* Repeated lines by their shape; guarded by lock. */
struct limit {
    char shape[SHAPE_SIZE];
    unsigned tokens;
    uint64_t kept_back; /* since one was last let through */
    time_t counted;
};

static enum target target = TARGET_FILE; /* fixed by log_init() */
static _Atomic hyperderp_log_level max_level = HYPERDERP_LOG_INFO;
static _Atomic enum log_format chosen_format = LOG_FORMAT_TEXT;
static _Atomic uint64_t written[HYPERDERP_LOG_DEBUG + 1];
static _Atomic uint64_t suppressed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct limit limits[LIMIT_SHAPES];

static const char *const names[] = {"error", "warn", "info", "debug"};
static const int priorities[] = {3, 4, 6, 7}; /* of syslog(3), as sd-daemon(3) wants them */

/* journald says by JOURNAL_STREAM, "device:inode", which file is its stream. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat info;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &info) == 0 && info.st_dev == device && info.st_ino == inode;
}

void log_init(void)
{
    target = isatty(STDERR_FILENO) ? TARGET_TERMINAL : is_journal() ? TARGET_JOURNAL : TARGET_FILE;
}

void log_set_level(hyperderp_log_level level)
{
    max_level = level;
}

void log_set_format(enum log_format format)
{
    chosen_format = format;
}

uint64_t log_lines(hyperderp_log_level level)
{
    return level <= HYPERDERP_LOG_DEBUG ? written[level] : 0;
}

uint64_t log_suppressed(void)
{
    return suppressed;
}

/*
 * One write() a line, so that lines of several threads do not mix. A pipe that nobody reads must
 * not stop a worker: a line that cannot be written at once is lost, and counted.
 */
static void write_out(const char *line, size_t size)
{
    struct pollfd item = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t n = -1;

    if (poll(&item, 1, 0) == 1 && (item.revents & POLLOUT))
        n = write(STDERR_FILENO, line, size);
    if (n < 0)
        suppressed++;
}

static size_t make_text(char line[LINE_SIZE], hyperderp_log_level level, const char *text)
{
    struct timespec now;
    struct tm tm;
    char time[32] = "";
    int size;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    if (target == TARGET_TERMINAL)
        strftime(time, sizeof(time), "%H:%M:%S ", &tm);
    else if (target == TARGET_FILE)
        strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S%z ", &tm);
    if (target == TARGET_JOURNAL)
        size = snprintf(line, LINE_SIZE, "<%d>%s\n", priorities[level], text);
    else
        size = snprintf(line, LINE_SIZE, "%s%-5s %s\n", time, names[level], text);
    if (size >= LINE_SIZE) {
        size = LINE_SIZE - 1;
        line[size - 1] = '\n';
    }
    return (size_t)size;
}

/* Without memory the line is lost. */
static void write_json(hyperderp_log_level level, const char *text)
{
    struct timespec now;
    struct tm tm;
    char time[40], full[48];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(full, sizeof(full), "%.19s.%03ldZ", time, now.tv_nsec / 1000000);
    json_t *object =
        json_pack("{s:s, s:s, s:s}", "time", full, "level", names[level], "message", text);
    if (!object) /* not UTF-8: a name of a file, say */
        object = json_pack("{s:s, s:s, s:s}", "time", full, "level", names[level], "message",
                           "(a line that is not UTF-8)");
    char *line = object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(object);
    if (!line)
        return;
    size_t size = strlen(line);
    line[size] = '\n'; /* in place of the NUL */
    write_out(line, size + 1);
    free(line);
}

static void write_line(hyperderp_log_level level, const char *text)
{
    char line[LINE_SIZE];

    written[level]++;
    if (chosen_format == LOG_FORMAT_JSON)
        write_json(level, text);
    else
        write_out(line, make_text(line, level, text));
}

static void shape_of(const char *text, char shape[SHAPE_SIZE])
{
    size_t at = 0;

    for (; *text && at + 1 < SHAPE_SIZE; text++)
        if (*text < '0' || *text > '9')
            shape[at++] = *text;
    memset(shape + at, 0, SHAPE_SIZE - at);
}

/* Needs the lock. The entry of a shape; the oldest one makes room. */
static struct limit *limit_of(const char shape[SHAPE_SIZE], time_t now)
{
    struct limit *oldest = &limits[0];

    for (size_t i = 0; i < LIMIT_SHAPES; i++) {
        if (memcmp(limits[i].shape, shape, SHAPE_SIZE) == 0)
            return &limits[i];
        if (limits[i].counted < oldest->counted)
            oldest = &limits[i];
    }
    *oldest = (struct limit){.tokens = LIMIT_BURST, .counted = now};
    memcpy(oldest->shape, shape, SHAPE_SIZE);
    return oldest;
}

/* Tells whether a line may be written; *before is the number of those kept back before it. */
static bool may_write(const char *text, uint64_t *before)
{
    struct timespec now;
    char shape[SHAPE_SIZE];

    clock_gettime(CLOCK_MONOTONIC, &now);
    shape_of(text, shape);
    pthread_mutex_lock(&lock);
    struct limit *limit = limit_of(shape, now.tv_sec);
    time_t more = (now.tv_sec - limit->counted) / LIMIT_INTERVAL;
    if (more > 0) {
        limit->tokens =
            more + limit->tokens > LIMIT_BURST ? LIMIT_BURST : limit->tokens + (unsigned)more;
        limit->counted = now.tv_sec;
    }
    bool good = limit->tokens > 0;
    if (good) {
        limit->tokens--;
        *before = limit->kept_back;
        limit->kept_back = 0;
    } else {
        limit->kept_back++;
    }
    pthread_mutex_unlock(&lock);
    return good;
}

static void write_limited(hyperderp_log_level level, const char *line)
{
    char text[LINE_SIZE];
    uint64_t before = 0;

    if (!may_write(line, &before)) {
        suppressed++;
        return;
    }
    if (before > 0) {
        snprintf(text, sizeof(text), "%.900s (%llu more like this were kept back)", line,
                 (unsigned long long)before);
        line = text;
    }
    write_line(level, line);
}

/* access.c has told more, and not of each. */
static bool is_told_elsewhere(const char *line)
{
    static const char denied[] = "client denied: ";

    return strncmp(line, denied, sizeof(denied) - 1) == 0;
}

void log_from_relay(void *user, hyperderp_log_level level, const char *line)
{
    (void)user;
    if (level > max_level || is_told_elsewhere(line))
        return;
    if (level <= HYPERDERP_LOG_WARN)
        write_limited(level, line);
    else
        write_line(level, line);
}

__attribute__((format(printf, 3, 0))) static void
print(hyperderp_log_level level, void (*write)(hyperderp_log_level level, const char *text),
      const char *format, va_list args)
{
    char text[LINE_SIZE];

    if (level > max_level)
        return;
    vsnprintf(text, sizeof(text), format, args);
    write(level, text);
}

void log_limited(hyperderp_log_level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print(level, write_limited, format, args);
    va_end(args);
}

void log_print(hyperderp_log_level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print(level, write_line, format, args);
    va_end(args);
}
