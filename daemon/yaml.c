/* SPDX-License-Identifier: BSD-3-Clause */
/* YAML through libyaml's events. */
#include "yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

struct yaml_reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the one that is looked at */
    const char *bytes;  /* what is read, without a byte order mark */
    size_t len;
    struct document *document;
    const char *file;
    struct problems *problems;
    bool no_memory;
    unsigned depth;
};

static struct document_place place_of(const yaml_mark_t *mark)
{
    return (struct document_place){(unsigned)mark->line + 1, (unsigned)mark->column + 1};
}

static struct document_place here(const struct yaml_reader *reader)
{
    return place_of(&reader->event.start_mark);
}

static void fault(struct yaml_reader *reader, struct document_place place, const char *text)
{
    problems_add(reader->problems, reader->file, place, "%s", text);
}

static bool out_of_memory(struct yaml_reader *reader)
{
    reader->no_memory = true;
    return false;
}

/* Where a byte stands. */
static struct document_place place_at(const struct yaml_reader *reader, size_t offset)
{
    struct document_place place = {1, 1};

    for (size_t i = 0; i < offset && i < reader->len; i++) {
        if (reader->bytes[i] == '\n')
            place = (struct document_place){place.line + 1, 1};
        else if (((unsigned char)reader->bytes[i] & 0xc0) != 0x80)
            place.column++;
    }
    return place;
}

/* What libyaml cannot go on after. Of bytes that are no text it knows the offset alone. */
static bool syntax_fault(struct yaml_reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    struct document_place place = parser->error == YAML_READER_ERROR
                                      ? place_at(reader, parser->problem_offset)
                                      : place_of(&parser->problem_mark);
    const char *context = parser->context;

    problems_add(reader->problems, reader->file, place, "%s%s%s", context ? context : "",
                 context ? ": " : "", parser->problem ? parser->problem : "this is not YAML");
    return false;
}

/* Goes on to the next event. */
static bool advance(struct yaml_reader *reader)
{
    yaml_event_delete(&reader->event);
    if (yaml_parser_parse(&reader->parser, &reader->event))
        return true;
    memset(&reader->event, 0, sizeof(reader->event));
    if (reader->parser.error == YAML_MEMORY_ERROR)
        return out_of_memory(reader);
    return syntax_fault(reader);
}

/* libyaml's effort grows with the square of the depth, so this ends reading. */
static bool too_deep(struct yaml_reader *reader)
{
    fault(reader, here(reader), "values inside each other, more than 64 deep");
    return false;
}

/* Passes over a value, with all that is inside. */
static bool skip(struct yaml_reader *reader)
{
    const yaml_event_t *event = &reader->event;
    unsigned depth = reader->depth;

    do {
        if (event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT) {
            if (depth == DOCUMENT_MAX_DEPTH)
                return too_deep(reader);
            depth++;
        } else if (event->type == YAML_MAPPING_END_EVENT ||
                   event->type == YAML_SEQUENCE_END_EVENT) {
            depth--;
        }
        if (!advance(reader))
            return false;
    } while (depth > reader->depth);
    return true;
}

/* Tells what is wrong with a value, and goes on behind it: other faults are told too. */
static bool refuse(struct yaml_reader *reader, const char *text)
{
    fault(reader, here(reader), text);
    return skip(reader);
}

/* Reads a value and advances over it. False when reading cannot go on; *out is NULL for a value
 * whose fault has been told. */
static bool read_node(struct yaml_reader *reader, struct document_node **out);

static bool is_marked(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    default:
        return false;
    }
}

static const char marked[] = "anchors and tags are not read: write the value itself";

/* ---- Scalars ---- */

enum integer { NO_INTEGER, INTEGER, INTEGER_TOO_LARGE };

/* The YAML 1.2 core schema: decimal, 0o and 0x integers. */
static enum integer read_integer(const char *text, int64_t *value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0o", 2) == 0 ? 8 : 10;
    char *end;

    if (base != 10)
        digits = text + 2;
    if (!*digits || strspn(digits, base == 16  ? "0123456789abcdefABCDEF"
                                   : base == 8 ? "01234567"
                                               : "0123456789") != strlen(digits))
        return NO_INTEGER;
    errno = 0;
    *value = strtoll(base == 10 ? text : digits, &end, base);
    return errno == 0 ? INTEGER : INTEGER_TOO_LARGE;
}

static bool read_real(const char *text, double *value)
{
    char *end;

    if (!strpbrk(text, "0123456789") || strspn(text, "+-0123456789.eE") != strlen(text))
        return false;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

/* Gives a plain scalar its kind. What is wrong with it, or NULL. */
static const char *read_plain(struct document_node *node)
{
    const char *text = node->text;
    enum integer integer;

    if (!*text || strcmp(text, "~") == 0 || is_one_of(text, "null", "Null", "NULL"))
        return "no value: write one, or leave the key out; the empty text is \"\"";
    if (is_one_of(text, "true", "True", "TRUE") || is_one_of(text, "false", "False", "FALSE")) {
        node->kind = DOCUMENT_BOOLEAN;
        node->boolean = (*text | 0x20) == 't';
    } else if ((integer = read_integer(text, &node->integer)) != NO_INTEGER) {
        node->kind = DOCUMENT_INTEGER;
        return integer == INTEGER ? NULL : "the integer is beyond 64 bits";
    } else if (read_real(text, &node->real)) {
        node->kind = DOCUMENT_FLOAT;
    }
    return NULL;
}

static bool read_scalar(struct yaml_reader *reader, struct document_node **out)
{
    yaml_event_t *event = &reader->event;
    struct document_node *node = document_node_new(reader->document, DOCUMENT_STRING, here(reader));

    if (!node)
        return out_of_memory(reader);
    node->text_len = event->data.scalar.length;
    node->text =
        document_copy(reader->document, (const char *)event->data.scalar.value, node->text_len);
    if (!node->text)
        return out_of_memory(reader);
    const char *wrong =
        event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? read_plain(node) : NULL;
    if (wrong)
        return refuse(reader, wrong);
    *out = node;
    return advance(reader);
}

/* ---- Collections ---- */

static bool read_sequence(struct yaml_reader *reader, struct document_node **out)
{
    struct document_node *array = document_node_new(reader->document, DOCUMENT_ARRAY, here(reader));
    struct document_node *element;

    if (!array)
        return out_of_memory(reader);
    *out = array;
    if (!advance(reader))
        return false;
    while (reader->event.type != YAML_SEQUENCE_END_EVENT) {
        if (!read_node(reader, &element))
            return false;
        if (element && !document_append(reader->document, array, element))
            return out_of_memory(reader);
    }
    return advance(reader);
}

static bool read_entry(struct yaml_reader *reader, struct document_node *table)
{
    yaml_event_t *event = &reader->event;
    struct document_place place = here(reader);
    struct document_node *value;

    if (event->type != YAML_SCALAR_EVENT || is_marked(event))
        return refuse(reader, "expected a key: plain text") && skip(reader);
    size_t len = event->data.scalar.length;
    const char *key = document_copy(reader->document, (const char *)event->data.scalar.value, len);
    if (!key)
        return out_of_memory(reader);
    const struct document_node *before = document_find(reader->document, table, key, len);
    if (before)
        problems_add(reader->problems, reader->file, place,
                     "%.100s is set already, on line %u: each key may stand once", key,
                     before->key_place.line);
    if (!advance(reader) || !read_node(reader, &value))
        return false;
    if (!value)
        return true;
    value->key = key;
    value->key_len = len;
    value->key_place = place;
    if (!before && !document_append(reader->document, table, value))
        return out_of_memory(reader);
    return true;
}

static bool read_entries(struct yaml_reader *reader, struct document_node *table)
{
    if (!advance(reader))
        return false;
    while (reader->event.type != YAML_MAPPING_END_EVENT)
        if (!read_entry(reader, table))
            return false;
    return advance(reader);
}

static bool read_mapping(struct yaml_reader *reader, struct document_node **out)
{
    *out = document_node_new(reader->document, DOCUMENT_TABLE, here(reader));
    return *out ? read_entries(reader, *out) : out_of_memory(reader);
}

static bool read_node(struct yaml_reader *reader, struct document_node **out)
{
    yaml_event_t *event = &reader->event;
    bool good;

    *out = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return refuse(reader, "aliases (*name) are not read: write the value itself");
    if (is_marked(event))
        return refuse(reader, marked);
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reader, out);
    if (reader->depth == DOCUMENT_MAX_DEPTH)
        return too_deep(reader);
    reader->depth++;
    good = event->type == YAML_MAPPING_START_EVENT ? read_mapping(reader, out)
                                                   : read_sequence(reader, out);
    reader->depth--;
    return good;
}

/* The root: a mapping, or nothing at all, which is an empty configuration. */
static bool read_root(struct yaml_reader *reader)
{
    const yaml_event_t *event = &reader->event;

    if (is_marked(event))
        return refuse(reader, marked);
    if (event->type == YAML_MAPPING_START_EVENT)
        return read_entries(reader, document_root(reader->document));
    if (event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0 &&
        event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return advance(reader);
    return refuse(reader, "expected keys and values at the top: KEY: VALUE");
}

/* A stream with one document, or none. */
static void read_stream(struct yaml_reader *reader)
{
    if (!advance(reader) || !advance(reader) || reader->event.type == YAML_STREAM_END_EVENT)
        return;
    if (!advance(reader) || !read_root(reader) || !advance(reader))
        return;
    if (reader->event.type != YAML_STREAM_END_EVENT)
        fault(reader, here(reader), "a second document: a configuration is one");
}

int yaml_read(struct document *document, const char *bytes, size_t len, const char *file,
              struct problems *problems)
{
    /* libyaml would count a byte order mark as a column. */
    size_t mark = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct yaml_reader reader = {.bytes = bytes + mark,
                                 .len = len - mark,
                                 .document = document,
                                 .file = file,
                                 .problems = problems};
    size_t before = problems->total;

    if (len > DOCUMENT_MAX_BYTES) {
        problems_add(problems, file, (struct document_place){0, 0},
                     "the file has %zu bytes; at most %d are read", len, DOCUMENT_MAX_BYTES);
        return -EINVAL;
    }
    if (!yaml_parser_initialize(&reader.parser))
        return -ENOMEM;
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)reader.bytes, reader.len);
    read_stream(&reader);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (reader.no_memory)
        return -ENOMEM;
    return problems->total > before ? -EINVAL : 0;
}
