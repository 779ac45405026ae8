/* SPDX-License-Identifier: BSD-3-Clause */
/* From a file of keys to a sorted list. */
#include "allow_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOWHERE ((struct document_place){0, 0})

/* A key and a comment. Longer lines are no list of keys. */
#define LINE_SIZE 1024

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(hyperderp_key));
}

static int add(struct allow_list *list, size_t *room, const hyperderp_key *key)
{
    if (list->count == *room) {
        size_t more = *room ? *room * 2 : 64;
        hyperderp_key *grown = reallocarray(list->keys, more, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        list->keys = grown;
        *room = more;
    }
    list->keys[list->count++] = *key;
    return 0;
}

static void sort(struct allow_list *list)
{
    size_t kept = 0;

    if (list->count == 0)
        return;
    qsort(list->keys, list->count, sizeof(*list->keys), compare);
    for (size_t i = 1; i < list->count; i++)
        if (compare(&list->keys[kept], &list->keys[i]) != 0)
            list->keys[++kept] = list->keys[i];
    list->count = kept + 1;
}

/* What a line says, without blanks and comment. */
static char *strip(char *line)
{
    line += strspn(line, " \t");
    line[strcspn(line, "#\r\n")] = '\0';
    size_t len = strlen(line);
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        line[--len] = '\0';
    return line;
}

/* A file, and how far it has been read. */
struct reader {
    FILE *in;
    size_t bytes;
    unsigned line;
    bool whole; /* the line is text, and all of it fitted */
};

static bool read_line(struct reader *reader, char line[LINE_SIZE])
{
    size_t len = 0;
    int byte = EOF;

    reader->line++;
    reader->whole = true;
    while (reader->bytes < ALLOW_LIST_MAX_BYTES && (byte = fgetc(reader->in)) != EOF) {
        reader->bytes++;
        if (byte == '\n')
            break;
        /* A NUL would hide what stands behind it. */
        reader->whole = reader->whole && len + 1 < LINE_SIZE && byte != '\0';
        if (reader->whole)
            line[len++] = (char)byte;
    }
    line[len] = '\0';
    return byte != EOF || len > 0 || !reader->whole;
}

static int parse_lines(struct allow_list *list, struct reader *reader, const char *path,
                       struct problems *problems)
{
    char line[LINE_SIZE];
    size_t room = 0;

    while (read_line(reader, line)) {
        const struct document_place place = {.line = reader->line, .column = 1};
        const char *text = strip(line);
        hyperderp_key key;
        if (reader->whole && !*text)
            continue;
        /* What stands there is not told: it may be a private key. */
        if (!reader->whole || hyperderp_key_parse(&key, text) != 0)
            problems_add(problems, path, place,
                         "expected nodekey: and 64 hexadecimal digits, or a comment after #");
        else if (list->count == ALLOW_LIST_MAX_KEYS)
            return -E2BIG;
        else if (add(list, &room, &key) != 0)
            return -ENOMEM;
    }
    return 0;
}

static int parse(struct allow_list *list, FILE *in, const char *path, struct problems *problems)
{
    size_t before = problems->total;
    struct reader reader = {.in = in};
    int error = parse_lines(list, &reader, path, problems);

    if (error == -ENOMEM)
        return error;
    if (ferror(in))
        problems_add(problems, path, NOWHERE, "cannot be read: %s", strerror(errno));
    else if (error)
        problems_add(problems, path, NOWHERE, "it has more than %d keys", ALLOW_LIST_MAX_KEYS);
    else if (reader.bytes == ALLOW_LIST_MAX_BYTES)
        problems_add(problems, path, NOWHERE, "it has more than %d bytes", ALLOW_LIST_MAX_BYTES);
    sort(list);
    return problems->total > before ? -EINVAL : 0;
}

/* Opens a regular file: a pipe would keep the daemon waiting. NULL with the reason in fault. */
static FILE *open_file(const char *path, const char **fault)
{
    struct stat info;
    FILE *in = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0 && fstat(fd, &info) == 0 && !S_ISREG(info.st_mode))
        *fault = "it is not a regular file";
    else if (fd < 0 || !(in = fdopen(fd, "r")))
        *fault = strerror(errno);
    if (fd >= 0 && !in)
        close(fd);
    return in;
}

int allow_list_read(struct allow_list *list, const char *path, struct problems *problems)
{
    const char *fault = NULL;
    FILE *in = open_file(path, &fault);

    *list = (struct allow_list){0};
    if (!in) {
        problems_add(problems, path, NOWHERE, "cannot be read: %s", fault);
        return -EINVAL;
    }
    int error = parse(list, in, path, problems);
    fclose(in);
    return error;
}

bool allow_list_has(const struct allow_list *list, const hyperderp_key *key)
{
    return list->count > 0 &&
           bsearch(key, list->keys, list->count, sizeof(*list->keys), compare) != NULL;
}

void allow_list_free(struct allow_list *list)
{
    free(list->keys);
    *list = (struct allow_list){0};
}
