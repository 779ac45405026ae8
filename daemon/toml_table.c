/* SPDX-License-Identifier: BSD-3-Clause */
/* Which table may be defined, extended or opened where: TOML's rules on redefinition. */
#include <string.h>

#include "toml_reader.h"

/* How a table or an array came about. */
enum {
    BY_HEADER = 1, /* [table] */
    BY_DOTTED = 2, /* a.b = value made a: open to the same section alone */
    INLINE = 4,    /* { } or [ ]: complete */
    OF_TABLES = 8, /* an array of [[tables]] */
};

void toml_close_inline(struct document_node *table)
{
    table->marks |= INLINE;
}

static const char *kind_of(const struct document_node *node)
{
    if (node->kind == DOCUMENT_TABLE)
        return node->marks & INLINE ? "an inline table, which is complete" : "a table";
    if (node->kind == DOCUMENT_ARRAY)
        return node->marks & OF_TABLES ? "an array of tables" : "an array, which is complete";
    return "a value";
}

/* How much of a key a fault shows: bytes, up to the end of a character. */
static int shown(const struct toml_key *part)
{
    size_t len = part->len < 100 ? part->len : 100;

    while (len > 0 && len < part->len && ((unsigned char)part->text[len] & 0xc0) == 0x80)
        len--;
    return (int)len;
}

/* A key is shown up to the part in question. */
static bool refuse(struct toml_reader *reader, const struct toml_key *part,
                   const struct document_node *node, const char *instead)
{
    const struct document_place place = node->key_place;

    return toml_fault(reader, part->place, "%.*s is %s already, from line %u: %s", shown(part),
                      part->text, kind_of(node), place.line ? place.line : node->place.line,
                      instead);
}

static struct document_node *make(struct toml_reader *reader, struct document_node *parent,
                                  const struct toml_key *part, enum document_kind kind,
                                  unsigned marks)
{
    struct document_node *node = document_node_new(reader->document, kind, part->place);

    if (node) {
        node->key = part->text;
        node->key_len = part->len;
        node->key_place = part->place;
        node->marks = marks;
    }
    if (node && document_append(reader->document, parent, node))
        return node;
    toml_out_of_memory(reader);
    return NULL;
}

static struct document_node *find(const struct toml_reader *reader,
                                  const struct document_node *table, const struct toml_key *part)
{
    return document_find(reader->document, table, part->text, part->len);
}

/* ---- Keys ---- */

/* Steps into a part of a dotted key that is not its last. */
static struct document_node *enter_dotted(struct toml_reader *reader, struct document_node *table,
                                          unsigned section, const struct toml_key *part)
{
    struct document_node *node = find(reader, table, part);

    if (!node) {
        node = make(reader, table, part, DOCUMENT_TABLE, BY_DOTTED);
        if (node)
            node->section = section;
        return node;
    }
    bool ours = node->kind == DOCUMENT_TABLE && (node->marks & BY_DOTTED) &&
                node->section == section && !(node->marks & INLINE);
    /* A table that only stands above one that has a header may still get entries, once. */
    bool above = node->kind == DOCUMENT_TABLE && node->marks == 0;
    if (!ours && !above) {
        refuse(reader, part, node, "a dotted key cannot add to it");
        return NULL;
    }
    node->marks |= BY_DOTTED;
    node->section = section;
    return node;
}

void toml_enter(struct toml_reader *reader, struct document_node *table, unsigned section,
                const struct toml_key *parts, unsigned count, struct document_node *value)
{
    for (unsigned i = 0; i + 1 < count; i++) {
        table = enter_dotted(reader, table, section, &parts[i]);
        if (!table)
            return;
    }
    const struct toml_key *last = &parts[count - 1];
    struct document_node *before = find(reader, table, last);
    if (before) {
        toml_fault(reader, last->place, "%.*s is set already, on line %u: each key may stand once",
                   shown(last), last->text, before->key_place.line);
        return;
    }
    value->key = last->text;
    value->key_len = last->len;
    value->key_place = last->place;
    if (value->kind == DOCUMENT_ARRAY)
        value->marks |= INLINE;
    if (!document_append(reader->document, table, value))
        toml_out_of_memory(reader);
}

/* ---- Headers ---- */

/* Steps into a part of a header's name that is not its last. */
static struct document_node *enter_header(struct toml_reader *reader, struct document_node *table,
                                          const struct toml_key *part)
{
    struct document_node *node = find(reader, table, part);

    if (!node)
        return make(reader, table, part, DOCUMENT_TABLE, 0);
    if (node->kind == DOCUMENT_ARRAY && (node->marks & OF_TABLES))
        return node->last; /* the element that was opened last */
    if (node->kind == DOCUMENT_TABLE && !(node->marks & INLINE))
        return node;
    refuse(reader, part, node, "it cannot have tables in it");
    return NULL;
}

static struct document_node *open_element(struct toml_reader *reader, struct document_node *table,
                                          const struct toml_key *part)
{
    struct document_node *array = find(reader, table, part);

    if (!array)
        array = make(reader, table, part, DOCUMENT_ARRAY, OF_TABLES);
    else if (array->kind != DOCUMENT_ARRAY || !(array->marks & OF_TABLES)) {
        refuse(reader, part, array, "[[ ]] cannot add to it");
        return NULL;
    }
    if (!array)
        return NULL;
    struct document_node *element =
        document_node_new(reader->document, DOCUMENT_TABLE, part->place);
    if (!element || !document_append(reader->document, array, element)) {
        toml_out_of_memory(reader);
        return NULL;
    }
    element->marks = BY_HEADER;
    return element;
}

static struct document_node *open_plain(struct toml_reader *reader, struct document_node *table,
                                        const struct toml_key *part)
{
    struct document_node *node = find(reader, table, part);

    if (!node)
        return make(reader, table, part, DOCUMENT_TABLE, BY_HEADER);
    if (node->kind != DOCUMENT_TABLE || node->marks != 0) {
        refuse(reader, part, node, "each table has one header");
        return NULL;
    }
    node->marks = BY_HEADER;
    return node;
}

struct document_node *toml_open_table(struct toml_reader *reader, const struct toml_key *parts,
                                      unsigned count, bool element)
{
    struct document_node *table = document_root(reader->document);

    for (unsigned i = 0; i + 1 < count && table; i++)
        table = enter_header(reader, table, &parts[i]);
    if (!table)
        return NULL;
    const struct toml_key *last = &parts[count - 1];
    table = element ? open_element(reader, table, last) : open_plain(reader, table, last);
    if (table && toml_depth_of(table) > DOCUMENT_MAX_DEPTH)
        toml_fault(reader, last->place, "tables inside each other, %u deep: at most %d are read",
                   toml_depth_of(table), DOCUMENT_MAX_DEPTH);
    return table;
}
