/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is wrong with a configuration: every fault that was found, each with its place, told
 * together. Text from the file is made printable.
 */
#ifndef DAEMON_PROBLEMS_H
#define DAEMON_PROBLEMS_H

#include <stddef.h>

#include "document.h"

/* More are counted, but not kept. */
#define PROBLEMS_MAX 50

struct problem {
    char *file;                  /* NULL: not from a file but from the command line */
    struct document_place place; /* line 0: the file as a whole */
    char *text;
};

struct problems {
    struct problem *list;
    size_t count; /* kept */
    size_t total; /* found; without memory only this grows */
};

void problems_init(struct problems *problems);
void problems_free(struct problems *problems);

/* Adds a fault: what is wrong, and what was expected. */
void problems_add(struct problems *problems, const char *file, struct document_place place,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* One line of a fault, "FILE:LINE:COLUMN: TEXT", as snprintf() does. */
int problem_format(const struct problem *problem, char *out, size_t room);

/* Logs all of them as errors. */
void problems_log(const struct problems *problems);

#endif
