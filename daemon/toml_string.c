/* SPDX-License-Identifier: BSD-3-Clause */
/* The four kinds of strings. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "toml_reader.h"

/* What a string has become so far. It is never longer than its source, so one allocation does. */
struct text {
    char *bytes;
    size_t len;
};

static void put(struct text *text, char c)
{
    text->bytes[text->len++] = c;
}

static void put_code_point(struct text *text, uint32_t code)
{
    if (code < 0x80) {
        put(text, (char)code);
    } else if (code < 0x800) {
        put(text, (char)(0xc0 | code >> 6));
        put(text, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        put(text, (char)(0xe0 | code >> 12));
        put(text, (char)(0x80 | (code >> 6 & 0x3f)));
        put(text, (char)(0x80 | (code & 0x3f)));
    } else {
        put(text, (char)(0xf0 | code >> 18));
        put(text, (char)(0x80 | (code >> 12 & 0x3f)));
        put(text, (char)(0x80 | (code >> 6 & 0x3f)));
        put(text, (char)(0x80 | (code & 0x3f)));
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \uXXXX or \UXXXXXXXX, at the first digit. */
static bool read_code_point(struct toml_reader *reader, struct text *text, unsigned digits,
                            struct document_place place)
{
    uint32_t code = 0;

    for (unsigned i = 0; i < digits; i++) {
        int digit = hex_digit(toml_peek(reader, 0));
        if (digit < 0)
            return toml_fault(reader, place, "\\%c needs %u hexadecimal digits",
                              digits == 4 ? 'u' : 'U', digits);
        code = code << 4 | (uint32_t)digit;
        reader->at++;
    }
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return toml_fault(reader, place, "\\%c%0*x is not a character of Unicode",
                          digits == 4 ? 'u' : 'U', (int)digits, code);
    put_code_point(text, code);
    return true;
}

/* A backslash at the end of a line of a multi-line string: the line's end and all blanks and line
 * ends behind it are left out. False, with nothing taken, when it is not one. */
static bool skip_folded(struct toml_reader *reader)
{
    const char *start = reader->at;

    toml_skip_blanks(reader);
    if (!toml_take_newline(reader)) {
        reader->at = start;
        return false;
    }
    do
        toml_skip_blanks(reader);
    while (toml_take_newline(reader));
    return true;
}

static bool read_escape(struct toml_reader *reader, struct text *text, bool lines)
{
    static const char names[] = "btnfr\"\\", meant[] = "\b\t\n\f\r\"\\";
    struct document_place place = toml_place(reader);
    char shown[16];

    reader->at++;
    if (lines && skip_folded(reader))
        return true;
    char c = toml_peek(reader, 0);
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        put(text, meant[name - names]);
        reader->at++;
        return true;
    }
    if (c == 'u' || c == 'U') {
        reader->at++;
        return read_code_point(reader, text, c == 'u' ? 4 : 8, place);
    }
    return toml_fault(reader, place,
                      "no such escape: \\ and %s; there are \\b \\t \\n \\f \\r \\\" \\\\ \\uXXXX "
                      "\\UXXXXXXXX, and '...' for text without escapes",
                      toml_show(reader, shown));
}

static bool take_raw(struct toml_reader *reader, struct text *text)
{
    unsigned char c = (unsigned char)*reader->at;

    if ((c < 0x20 && c != '\t') || c == 0x7f)
        return toml_fault(reader, toml_place(reader),
                          "a control character (0x%02x) in a string: write it as \\u%04x", c, c);
    put(text, (char)c);
    reader->at++;
    return true;
}

static bool read_line(struct toml_reader *reader, char quote, struct text *text,
                      struct document_place start)
{
    while (toml_peek(reader, 0) != quote) {
        bool newline = toml_peek(reader, 0) == '\n' ||
                       (toml_peek(reader, 0) == '\r' && toml_peek(reader, 1) == '\n');
        if (toml_at_end(reader) || newline)
            return toml_fault(reader, start,
                              "the string does not end on its line: expected a closing %c", quote);
        bool escape = quote == '"' && *reader->at == '\\';
        if (!(escape ? read_escape(reader, text, false) : take_raw(reader, text)))
            return false;
    }
    reader->at++;
    return true;
}

/* How many quotes stand here, at most five: two of the string's own and the closing three. */
static unsigned count_quotes(const struct toml_reader *reader, char quote)
{
    unsigned n = 0;

    while (n < 5 && toml_peek(reader, n) == quote)
        n++;
    return n;
}

static bool read_lines(struct toml_reader *reader, char quote, struct text *text,
                       struct document_place start)
{
    (void)toml_take_newline(reader); /* right behind the opening: not part of it */
    for (;;) {
        unsigned quotes = count_quotes(reader, quote);
        unsigned own = quotes >= 3 ? quotes - 3 : quotes;
        for (unsigned i = 0; i < own; i++)
            put(text, quote);
        reader->at += quotes;
        if (quotes >= 3)
            return true;
        if (quotes > 0)
            continue;
        if (toml_at_end(reader))
            return toml_fault(reader, start, "the string does not end: expected a closing %c%c%c",
                              quote, quote, quote);
        if (toml_take_newline(reader)) {
            put(text, '\n');
            continue;
        }
        bool escape = quote == '"' && *reader->at == '\\';
        if (!(escape ? read_escape(reader, text, true) : take_raw(reader, text)))
            return false;
    }
}

/* The source's length, roughly: up to what looks like its end. */
static size_t longest(const struct toml_reader *reader, char quote, bool multi)
{
    const char *at = reader->at;

    for (; at < reader->end; at++) {
        bool three = reader->end - at >= 3 && at[1] == quote && at[2] == quote;
        if (*at == '\\' && quote == '"' && at + 1 < reader->end)
            at++;
        else if ((*at == quote && (three || !multi)) || (*at == '\n' && !multi))
            break;
    }
    /* A multi-line string may have two quotes before the closing three. */
    return (size_t)(at - reader->at) + 2;
}

bool toml_read_string(struct toml_reader *reader, bool lines, const char **out, size_t *len)
{
    struct document_place start = toml_place(reader);
    char quote = *reader->at;
    bool multi = toml_peek(reader, 1) == quote && toml_peek(reader, 2) == quote;

    if (multi && !lines)
        return toml_fault(reader, start, "a key may not be a multi-line string");
    reader->at += multi ? 3 : 1;
    struct text text = {.bytes = malloc(longest(reader, quote, multi) + 1)};
    if (!text.bytes)
        return toml_out_of_memory(reader);
    bool good =
        multi ? read_lines(reader, quote, &text, start) : read_line(reader, quote, &text, start);
    if (good) {
        *len = text.len;
        *out = document_copy(reader->document, text.bytes, text.len);
        good = *out || toml_out_of_memory(reader);
    }
    free(text.bytes);
    return good;
}
