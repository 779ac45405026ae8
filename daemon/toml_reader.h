/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of the TOML reader share: the place in the text, and telling faults. Each function
 * of a part returns false when the statement cannot be read on: then the fault has been told.
 */
#ifndef DAEMON_TOML_READER_H
#define DAEMON_TOML_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "toml.h"

struct toml_reader {
    const char *at, *end;
    struct document *document;
    const char *file;
    struct problems *problems;
    bool no_memory;
    bool cut_short; /* a fault inside a value: where the next statement begins must be guessed */
    unsigned depth; /* in the tree, of the value that is read next */
    unsigned last_section;

    /* The last place that was asked for: the next one is counted from here, so that all places of a
     * file cost one walk. */
    const char *counted;
    struct document_place counted_place;
};

/* Bytes from here on; 0 behind the end, which is no character of TOML. */
static inline char toml_peek(const struct toml_reader *reader, size_t ahead)
{
    return (size_t)(reader->end - reader->at) > ahead ? reader->at[ahead] : '\0';
}

static inline bool toml_at_end(const struct toml_reader *reader)
{
    return reader->at == reader->end;
}

struct document_place toml_place(struct toml_reader *reader);

/* How deep a table stands in the tree; its root is at 0. */
unsigned toml_depth_of(const struct document_node *table);

/* Tells a fault at a place. Returns false. */
bool toml_fault(struct toml_reader *reader, struct document_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool toml_out_of_memory(struct toml_reader *reader);

void toml_skip_blanks(struct toml_reader *reader);
/* Takes a line's end, LF or CRLF. False, without a fault, when there is none. */
bool toml_take_newline(struct toml_reader *reader);
/* Takes a comment if there is one, up to the line's end. */
bool toml_skip_comment(struct toml_reader *reader);
/* Blanks, comments and line ends. */
bool toml_skip_lines(struct toml_reader *reader);

/* How the character here is shown in a fault; in a buffer of the caller's. */
const char *toml_show(const struct toml_reader *reader, char out[16]);

/* A quoted string on one line (a key), or in a value also on several; at its first quote. */
bool toml_read_string(struct toml_reader *reader, bool lines, const char **text, size_t *len);

/* A number, a boolean, a date or a time. */
bool toml_read_scalar(struct toml_reader *reader, struct document_node **out);

/* One of a dotted key's parts. */
struct toml_key {
    const char *text;
    size_t len;
    struct document_place place;
};

/* A key, with its dots: at most DOCUMENT_MAX_DEPTH parts. */
bool toml_read_key(struct toml_reader *reader, struct toml_key parts[DOCUMENT_MAX_DEPTH],
                   unsigned *count);

/* Any value. */
bool toml_read_value(struct toml_reader *reader, struct document_node **out);

/* ---- Which tables may be defined where ---- */

/* Enters key and value into a table, as `a.b = value` does: value NULL only checks. Each section (a
 * header, an inline table) may add to the tables that its own dotted keys have made. A fault here
 * is told, and the statement goes on. */
void toml_enter(struct toml_reader *reader, struct document_node *table, unsigned section,
                const struct toml_key *parts, unsigned count, struct document_node *value);

/* The table that a header opens, [a.b] or [[a.b]]; NULL after a fault. */
struct document_node *toml_open_table(struct toml_reader *reader, const struct toml_key *parts,
                                      unsigned count, bool element);
/* An inline table is complete. */
void toml_close_inline(struct document_node *table);

#endif
