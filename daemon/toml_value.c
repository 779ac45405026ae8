/* SPDX-License-Identifier: BSD-3-Clause */
/* Values, and the two that hold others. */
#include "toml_reader.h"

static bool read_text(struct toml_reader *reader, struct document_node **out)
{
    struct document_node *node =
        document_node_new(reader->document, DOCUMENT_STRING, toml_place(reader));

    if (!node)
        return toml_out_of_memory(reader);
    *out = node;
    return toml_read_string(reader, true, &node->text, &node->text_len);
}

/* At the [. Lines may end anywhere, and so may the list, with a comma. */
static bool read_array(struct toml_reader *reader, struct document_node **out)
{
    struct document_place place = toml_place(reader);
    struct document_node *array = document_node_new(reader->document, DOCUMENT_ARRAY, place);
    struct document_node *element = NULL;
    char shown[16];

    if (!array)
        return toml_out_of_memory(reader);
    *out = array;
    for (reader->at++;;) {
        if (!toml_skip_lines(reader))
            return false;
        if (toml_peek(reader, 0) == ']')
            break;
        if (toml_at_end(reader))
            return toml_fault(reader, place, "the array does not end: expected a closing ]");
        reader->depth++;
        if (!toml_read_value(reader, &element))
            return false;
        reader->depth--;
        if (!document_append(reader->document, array, element))
            return toml_out_of_memory(reader);
        if (!toml_skip_lines(reader))
            return false;
        if (toml_peek(reader, 0) == ',')
            reader->at++;
        else if (toml_peek(reader, 0) != ']' && !toml_at_end(reader))
            return toml_fault(reader, toml_place(reader), "expected , or ] in the array, found %s",
                              toml_show(reader, shown));
    }
    reader->at++;
    return true;
}

static bool read_inline_entry(struct toml_reader *reader, struct document_node *table,
                              unsigned section)
{
    struct toml_key parts[DOCUMENT_MAX_DEPTH];
    struct document_node *value = NULL;
    unsigned count;
    char shown[16];

    if (!toml_read_key(reader, parts, &count))
        return false;
    if (toml_peek(reader, 0) != '=')
        return toml_fault(reader, toml_place(reader), "expected = behind the key, found %s",
                          toml_show(reader, shown));
    reader->at++;
    toml_skip_blanks(reader);
    reader->depth += count;
    if (!toml_read_value(reader, &value))
        return false;
    reader->depth -= count;
    toml_enter(reader, table, section, parts, count, value);
    return !reader->no_memory;
}

/* At the {. On one line, and without a comma at its end. */
static bool read_inline_table(struct toml_reader *reader, struct document_node **out)
{
    struct document_node *table =
        document_node_new(reader->document, DOCUMENT_TABLE, toml_place(reader));
    unsigned section = ++reader->last_section;
    char shown[16];

    if (!table)
        return toml_out_of_memory(reader);
    *out = table;
    reader->at++;
    toml_skip_blanks(reader);
    if (toml_peek(reader, 0) == '}') {
        reader->at++;
        toml_close_inline(table);
        return true;
    }
    for (;;) {
        if (!read_inline_entry(reader, table, section))
            return false;
        toml_skip_blanks(reader);
        char c = toml_peek(reader, 0);
        if (c != ',' && c != '}')
            return toml_fault(reader, toml_place(reader),
                              "expected , or } in the inline table, found %s",
                              toml_show(reader, shown));
        reader->at++;
        if (c == '}')
            break;
        toml_skip_blanks(reader);
    }
    toml_close_inline(table);
    return true;
}

bool toml_read_value(struct toml_reader *reader, struct document_node **out)
{
    if (reader->depth > DOCUMENT_MAX_DEPTH)
        return toml_fault(reader, toml_place(reader),
                          "values inside each other, %u deep: at most "
                          "%d are read",
                          reader->depth, DOCUMENT_MAX_DEPTH);
    switch (toml_peek(reader, 0)) {
    case '"':
    case '\'':
        return read_text(reader, out);
    case '[':
        return read_array(reader, out);
    case '{':
        return read_inline_table(reader, out);
    default:
        return toml_read_scalar(reader, out);
    }
}
