/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration file as a tree, whichever language it was written in: TOML and YAML are read into
 * this, and the schema looks at nothing else. A document owns all its nodes and their text.
 */
#ifndef DAEMON_DOCUMENT_H
#define DAEMON_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds of what is read: a file beyond them is refused. */
#define DOCUMENT_MAX_BYTES 1048576
#define DOCUMENT_MAX_DEPTH 64

/* Where something stands: both count from 1; a column is a character (code point). */
struct document_place {
    unsigned line, column;
};

enum document_kind {
    DOCUMENT_TABLE,
    DOCUMENT_ARRAY,
    DOCUMENT_STRING,
    DOCUMENT_INTEGER,
    DOCUMENT_FLOAT,
    DOCUMENT_BOOLEAN,
    DOCUMENT_OFFSET_DATETIME, /* the four kinds of TOML 1.0; text is RFC 3339, as normalised */
    DOCUMENT_LOCAL_DATETIME,
    DOCUMENT_LOCAL_DATE,
    DOCUMENT_LOCAL_TIME,
};

struct document_node {
    enum document_kind kind;
    unsigned marks, section;     /* the reader's own notes */
    struct document_place place; /* of the value */

    /* Of an entry of a table: its key, which may hold any byte but is NUL-terminated besides. */
    const char *key;
    size_t key_len;
    struct document_place key_place;

    const struct document_node *parent; /* NULL until it is appended */

    /* The next entry of the same table or element of the same array, in the file's order. */
    struct document_node *next;

    /* By kind. */
    struct document_node *first, *last; /* table, array */
    size_t count;                       /* table, array */
    const char *text;                   /* string, dates and times; NUL-terminated, may hold NULs */
    size_t text_len;
    int64_t integer;
    double real;
    bool boolean;
};

struct document;

struct document *document_new(void);           /* NULL without memory; its root is an empty table */
void document_free(struct document *document); /* NULL is allowed */
struct document_node *document_root(struct document *document);

/* For the readers of the languages. NULL without memory. */
struct document_node *document_node_new(struct document *document, enum document_kind kind,
                                        struct document_place place);
/* A copy that lives as long as the document, with a NUL behind it. NULL without memory. */
const char *document_copy(struct document *document, const char *bytes, size_t len);
/* Appends to an array, or to a table an entry whose key is not there yet. False without memory. */
bool document_append(struct document *document, struct document_node *parent,
                     struct document_node *child);
/* The entry of a table, in constant time on the average, or NULL. */
struct document_node *document_find(const struct document *document,
                                    const struct document_node *table, const char *key,
                                    size_t key_len);

#endif
