/* SPDX-License-Identifier: BSD-3-Clause */
/* Statements: headers, keys, values, and going on after a fault. */
#include "toml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "toml_reader.h"

struct document_place toml_place(struct toml_reader *reader)
{
    for (; reader->counted < reader->at; reader->counted++) {
        if (*reader->counted == '\n') {
            reader->counted_place.line++;
            reader->counted_place.column = 1;
        } else if (((unsigned char)*reader->counted & 0xc0) != 0x80) {
            reader->counted_place.column++;
        }
    }
    return reader->counted_place;
}

unsigned toml_depth_of(const struct document_node *table)
{
    unsigned depth = 0;

    while ((table = table->parent) != NULL)
        depth++;
    return depth;
}

bool toml_fault(struct toml_reader *reader, struct document_place place, const char *format, ...)
{
    char text[384];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    problems_add(reader->problems, reader->file, place, "%s", text);
    return false;
}

bool toml_out_of_memory(struct toml_reader *reader)
{
    reader->no_memory = true;
    return false;
}

void toml_skip_blanks(struct toml_reader *reader)
{
    while (toml_peek(reader, 0) == ' ' || toml_peek(reader, 0) == '\t')
        reader->at++;
}

bool toml_take_newline(struct toml_reader *reader)
{
    if (toml_peek(reader, 0) == '\n')
        reader->at++;
    else if (toml_peek(reader, 0) == '\r' && toml_peek(reader, 1) == '\n')
        reader->at += 2;
    else
        return false;
    return true;
}

static bool at_newline(const struct toml_reader *reader)
{
    return toml_peek(reader, 0) == '\n' ||
           (toml_peek(reader, 0) == '\r' && toml_peek(reader, 1) == '\n');
}

bool toml_skip_comment(struct toml_reader *reader)
{
    if (toml_peek(reader, 0) != '#')
        return true;
    for (; !toml_at_end(reader) && !at_newline(reader); reader->at++) {
        unsigned char c = (unsigned char)*reader->at;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return toml_fault(reader, toml_place(reader),
                              "a control character (0x%02x) in a comment: remove it", c);
    }
    return true;
}

bool toml_skip_lines(struct toml_reader *reader)
{
    for (;;) {
        toml_skip_blanks(reader);
        if (!toml_skip_comment(reader))
            return false;
        if (!toml_take_newline(reader))
            return true;
    }
}

const char *toml_show(const struct toml_reader *reader, char out[16])
{
    unsigned char c = (unsigned char)toml_peek(reader, 0);

    if (toml_at_end(reader))
        return "the end of the file";
    if (at_newline(reader))
        return "the end of the line";
    if (c < 0x20 || c == 0x7f) {
        snprintf(out, 16, "byte 0x%02x", c);
        return out;
    }
    unsigned len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    snprintf(out, 16, "'%.*s'", (int)len, reader->at);
    return out;
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static bool read_key_part(struct toml_reader *reader, struct toml_key *part)
{
    const char *start = reader->at;
    char shown[16];

    part->place = toml_place(reader);
    if (toml_peek(reader, 0) == '"' || toml_peek(reader, 0) == '\'')
        return toml_read_string(reader, false, &part->text, &part->len);
    while (is_bare(toml_peek(reader, 0)))
        reader->at++;
    if (reader->at == start)
        return toml_fault(reader, part->place,
                          "expected a key, found %s; a key with other characters than letters, "
                          "digits, _ and - needs quotes",
                          toml_show(reader, shown));
    part->len = (size_t)(reader->at - start);
    part->text = document_copy(reader->document, start, part->len);
    return part->text || toml_out_of_memory(reader);
}

bool toml_read_key(struct toml_reader *reader, struct toml_key parts[DOCUMENT_MAX_DEPTH],
                   unsigned *count)
{
    for (*count = 0;;) {
        if (*count == DOCUMENT_MAX_DEPTH)
            return toml_fault(reader, toml_place(reader), "a key of more than %d parts",
                              DOCUMENT_MAX_DEPTH);
        toml_skip_blanks(reader);
        if (!read_key_part(reader, &parts[*count]))
            return false;
        ++*count;
        toml_skip_blanks(reader);
        if (toml_peek(reader, 0) != '.')
            return true;
        reader->at++;
    }
}

/* What must stand behind a statement: nothing but a comment. */
static bool read_line_end(struct toml_reader *reader)
{
    char shown[16];

    toml_skip_blanks(reader);
    if (!toml_skip_comment(reader))
        return false;
    if (toml_at_end(reader) || toml_take_newline(reader))
        return true;
    return toml_fault(reader, toml_place(reader), "expected the end of the line, found %s",
                      toml_show(reader, shown));
}

static bool read_assignment(struct toml_reader *reader, struct document_node *table,
                            unsigned section)
{
    struct toml_key parts[DOCUMENT_MAX_DEPTH];
    struct document_node *value;
    unsigned count;
    char shown[16];

    if (!toml_read_key(reader, parts, &count))
        return false;
    if (toml_peek(reader, 0) != '=')
        return toml_fault(reader, toml_place(reader), "expected = behind the key, found %s",
                          toml_show(reader, shown));
    reader->at++;
    toml_skip_blanks(reader);
    reader->cut_short = true;
    reader->depth = toml_depth_of(table) + count;
    if (!toml_read_value(reader, &value))
        return false;
    reader->cut_short = false;
    toml_enter(reader, table, section, parts, count, value);
    return read_line_end(reader);
}

/* [table] or [[array of tables]]. After a fault in what it names, what follows goes into a table of
 * its own, so that one wrong header is not the fault of each line below it. */
static bool read_header(struct toml_reader *reader, struct document_node **table)
{
    struct toml_key parts[DOCUMENT_MAX_DEPTH];
    unsigned count;
    char shown[16];
    struct document_place place = toml_place(reader);
    bool element = toml_peek(reader, 1) == '[';

    *table = document_node_new(reader->document, DOCUMENT_TABLE, place);
    if (!*table)
        return toml_out_of_memory(reader);
    reader->at += element ? 2 : 1;
    if (!toml_read_key(reader, parts, &count))
        return false;
    if (toml_peek(reader, 0) != ']' || (element && toml_peek(reader, 1) != ']'))
        return toml_fault(reader, toml_place(reader),
                          "expected %s behind the table's name, found %s", element ? "]]" : "]",
                          toml_show(reader, shown));
    reader->at += element ? 2 : 1;
    struct document_node *opened = toml_open_table(reader, parts, count, element);
    if (opened)
        *table = opened;
    return !reader->no_memory && read_line_end(reader);
}

/* Tells whether a line begins like a statement: inside a value that is broken, few lines do. */
static bool looks_like_statement(const struct toml_reader *reader)
{
    const char *at = reader->at;

    while (at < reader->end && (*at == ' ' || *at == '\t'))
        at++;
    if (at < reader->end && *at == '[')
        return !reader->cut_short || (at + 1 < reader->end && (is_bare(at[1]) || at[1] == '['));
    const char *key = at;
    while (at < reader->end && (is_bare(*at) || *at == '.' || *at == '"'))
        at++;
    if (at == key)
        return false;
    while (at < reader->end && (*at == ' ' || *at == '\t'))
        at++;
    return at < reader->end && *at == '=';
}

static void skip_to_statement(struct toml_reader *reader)
{
    do {
        const char *newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
        reader->at = newline ? newline + 1 : reader->end;
    } while (!toml_at_end(reader) && !looks_like_statement(reader));
    reader->cut_short = false;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. Returns the length of the
 * character, 0 when there is none. */
static size_t utf8_length(const unsigned char *at, const unsigned char *end)
{
    static const struct {
        unsigned char first, last, second_low, second_high, len;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (*at < forms[i].first || *at > forms[i].last)
            continue;
        size_t len = forms[i].len;
        if ((size_t)(end - at) < len ||
            (len > 1 && (at[1] < forms[i].second_low || at[1] > forms[i].second_high)))
            return 0;
        for (size_t j = 2; j < len; j++)
            if ((at[j] & 0xc0) != 0x80)
                return 0;
        return len;
    }
    return 0;
}

/* The text from here on is UTF-8. */
static bool check_encoding(struct toml_reader *reader)
{
    const unsigned char *at = (const unsigned char *)reader->at;
    const unsigned char *end = (const unsigned char *)reader->end;

    while (at < end) {
        size_t len = utf8_length(at, end);
        if (len == 0) {
            reader->at = (const char *)at;
            return toml_fault(reader, toml_place(reader),
                              "byte 0x%02x is not UTF-8: save the file as UTF-8", *at);
        }
        at += len;
    }
    return true;
}

static void read_statements(struct toml_reader *reader)
{
    size_t enough = reader->problems->total + PROBLEMS_MAX;
    struct document_node *table = document_root(reader->document);
    unsigned section = 0;
    bool good = toml_skip_lines(reader);

    while (!reader->no_memory && reader->problems->total < enough) {
        if (!good)
            skip_to_statement(reader);
        good = toml_skip_lines(reader);
        if (!good)
            continue;
        if (toml_at_end(reader))
            return;
        if (toml_peek(reader, 0) == '[') {
            section = ++reader->last_section;
            good = read_header(reader, &table);
        } else {
            good = read_assignment(reader, table, section);
        }
    }
}

int toml_read(struct document *document, const char *bytes, size_t len, const char *file,
              struct problems *problems)
{
    static const char mark[] = "\xef\xbb\xbf";
    struct toml_reader reader = {
        .at = bytes,
        .end = bytes + len,
        .document = document,
        .file = file,
        .problems = problems,
        .counted_place = {1, 1},
    };
    size_t before = problems->total;

    if (len > DOCUMENT_MAX_BYTES) {
        problems_add(problems, file, (struct document_place){0, 0},
                     "the file has %zu bytes; at most %d are read", len, DOCUMENT_MAX_BYTES);
        return -EINVAL;
    }
    if (len >= 3 && memcmp(bytes, mark, 3) == 0)
        reader.at += 3;
    reader.counted = reader.at;
    const char *start = reader.at;
    if (check_encoding(&reader)) {
        reader.at = start;
        read_statements(&reader);
    }
    if (reader.no_memory)
        return -ENOMEM;
    return problems->total > before ? -EINVAL : 0;
}
