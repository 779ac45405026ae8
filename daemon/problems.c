/* SPDX-License-Identifier: BSD-3-Clause */
/* A list of faults. */
#include "problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TEXT_SIZE 512

void problems_init(struct problems *problems)
{
    *problems = (struct problems){0};
}

void problems_free(struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->list[i].file);
        free(problems->list[i].text);
    }
    free(problems->list);
    problems_init(problems);
}

/* What a file says must not command the terminal that it is shown on. Bytes of UTF-8 stay. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
        /* U+0080 to U+009f: a terminal may take one for ESC and another character. */
        if ((unsigned char)text[0] == 0xc2 && (unsigned char)text[1] >= 0x80 &&
            (unsigned char)text[1] < 0xa0)
            text[0] = text[1] = '?';
    }
}

/* Cuts at the end of a character: a text that did not fit ends with an ellipsis. */
static void mark_cut(char text[TEXT_SIZE])
{
    size_t at = TEXT_SIZE - 4;

    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    memcpy(text + at, "...", 4);
}

static char *copy_of(const char *text)
{
    return text ? strdup(text) : NULL;
}

void problems_add(struct problems *problems, const char *file, struct document_place place,
                  const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list args;

    problems->total++;
    if (problems->count == PROBLEMS_MAX)
        return;
    if (!problems->list)
        problems->list = calloc(PROBLEMS_MAX, sizeof(struct problem));
    if (!problems->list)
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len >= (int)sizeof(text))
        mark_cut(text);
    make_printable(text);
    struct problem problem = {.file = copy_of(file), .place = place, .text = strdup(text)};
    if (!problem.text || (file && !problem.file)) {
        free(problem.file);
        free(problem.text);
        return;
    }
    problems->list[problems->count++] = problem;
}

int problem_format(const struct problem *problem, char *out, size_t room)
{
    if (!problem->file)
        return snprintf(out, room, "%s", problem->text);
    if (problem->place.line == 0)
        return snprintf(out, room, "%s: %s", problem->file, problem->text);
    return snprintf(out, room, "%s:%u:%u: %s", problem->file, problem->place.line,
                    problem->place.column, problem->text);
}

void problems_log(const struct problems *problems)
{
    char line[1024];

    for (size_t i = 0; i < problems->count; i++) {
        problem_format(&problems->list[i], line, sizeof(line));
        log_print(HYPERDERP_LOG_ERROR, "%s", line);
    }
    if (problems->total > problems->count)
        log_print(HYPERDERP_LOG_ERROR, "and %zu problems more", problems->total - problems->count);
}
