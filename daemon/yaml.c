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

static bool fault(struct yaml_reader *reader, struct document_place place, const char *text)
{
    problems_add(reader->problems, reader->file, place, "%s", text);
    return false;
}

static bool out_of_memory(struct yaml_reader *reader)
{
    reader->no_memory = true;
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
    const char *context = reader->parser.context;
    problems_add(reader->problems, reader->file, place_of(&reader->parser.problem_mark), "%s%s%s",
                 context ? context : "", context ? ": " : "",
                 reader->parser.problem ? reader->parser.problem : "this is not YAML");
    return false;
}

static bool read_node(struct yaml_reader *reader, struct document_node **out);

/* ---- Scalars ---- */

/* The YAML 1.2 core schema: decimal, 0o and 0x integers. */
static bool read_integer(const char *text, int64_t *value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0o", 2) == 0 ? 8 : 10;
    char *end;

    if (base != 10)
        digits = text + 2;
    if (!*digits || strspn(digits, base == 16  ? "0123456789abcdefABCDEF"
                                   : base == 8 ? "01234567"
                                               : "0123456789") != strlen(digits))
        return false;
    errno = 0;
    *value = strtoll(base == 10 ? text : digits, &end, base);
    return errno == 0;
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

static bool read_plain(struct yaml_reader *reader, struct document_node *node)
{
    const char *text = node->text;

    if (!*text || strcmp(text, "~") == 0 || is_one_of(text, "null", "Null", "NULL"))
        return fault(reader, node->place,
                     "no value: write one, or leave the key out; the empty text is \"\"");
    if (is_one_of(text, "true", "True", "TRUE") || is_one_of(text, "false", "False", "FALSE")) {
        node->kind = DOCUMENT_BOOLEAN;
        node->boolean = (*text | 0x20) == 't';
    } else if (read_integer(text, &node->integer)) {
        node->kind = DOCUMENT_INTEGER;
    } else if (read_real(text, &node->real)) {
        node->kind = DOCUMENT_FLOAT;
    }
    return true;
}

static bool read_scalar(struct yaml_reader *reader, struct document_node **out)
{
    yaml_event_t *event = &reader->event;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    if (event->data.scalar.anchor || event->data.scalar.tag)
        return fault(reader, here(reader), "anchors and tags are not read: write the value itself");
    struct document_node *node = document_node_new(reader->document, DOCUMENT_STRING, here(reader));
    if (!node)
        return out_of_memory(reader);
    node->text_len = event->data.scalar.length;
    node->text =
        document_copy(reader->document, (const char *)event->data.scalar.value, node->text_len);
    if (!node->text)
        return out_of_memory(reader);
    *out = node;
    return (!plain || read_plain(reader, node)) && advance(reader);
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
        if (!document_append(reader->document, array, element))
            return out_of_memory(reader);
    }
    return advance(reader);
}

static bool read_entry(struct yaml_reader *reader, struct document_node *table)
{
    yaml_event_t *event = &reader->event;
    struct document_place place = here(reader);
    struct document_node *value;

    if (event->type != YAML_SCALAR_EVENT || event->data.scalar.anchor || event->data.scalar.tag)
        return fault(reader, place, "expected a key: plain text");
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

    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reader, out);
    if (event->type == YAML_ALIAS_EVENT)
        return fault(reader, here(reader), "aliases (*name) are not read: write the value itself");
    if ((event->type == YAML_MAPPING_START_EVENT &&
         (event->data.mapping_start.anchor || event->data.mapping_start.tag)) ||
        (event->type == YAML_SEQUENCE_START_EVENT &&
         (event->data.sequence_start.anchor || event->data.sequence_start.tag)))
        return fault(reader, here(reader), "anchors and tags are not read: write the value itself");
    if (reader->depth == DOCUMENT_MAX_DEPTH)
        return fault(reader, here(reader), "values inside each other, more than 64 deep");
    reader->depth++;
    good = event->type == YAML_MAPPING_START_EVENT ? read_mapping(reader, out)
                                                   : read_sequence(reader, out);
    reader->depth--;
    return good;
}

/* A stream with one document, whose root is a mapping; an empty one is an empty configuration. */
static bool read_stream(struct yaml_reader *reader)
{
    if (!advance(reader) || !advance(reader))
        return false;
    if (reader->event.type == YAML_STREAM_END_EVENT)
        return true;
    if (!advance(reader))
        return false;
    yaml_event_t *event = &reader->event;
    if (event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0)
        return true; /* nothing but comments */
    if (event->type != YAML_MAPPING_START_EVENT)
        return fault(reader, here(reader), "expected keys and values at the top: KEY: VALUE");
    if (!read_entries(reader, document_root(reader->document)) || !advance(reader))
        return false;
    if (reader->event.type != YAML_STREAM_END_EVENT)
        return fault(reader, here(reader), "a second document: a configuration is one");
    return true;
}

int yaml_read(struct document *document, const char *bytes, size_t len, const char *file,
              struct problems *problems)
{
    struct yaml_reader reader = {.document = document, .file = file, .problems = problems};
    size_t before = problems->total;

    if (len > DOCUMENT_MAX_BYTES) {
        problems_add(problems, file, (struct document_place){0, 0},
                     "the file has %zu bytes; at most %d are read", len, DOCUMENT_MAX_BYTES);
        return -EINVAL;
    }
    if (!yaml_parser_initialize(&reader.parser))
        return -ENOMEM;
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes, len);
    (void)read_stream(&reader);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (reader.no_memory)
        return -ENOMEM;
    return problems->total > before ? -EINVAL : 0;
}
