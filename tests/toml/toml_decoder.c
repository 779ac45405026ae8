/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * toml-decoder: reads TOML on standard input and prints it as the tagged JSON that the public
 * toml-test suite compares. Exit status 1, with the faults on standard error, when it is not valid.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "toml.h"

static const char *const types[] = {
    [DOCUMENT_STRING] = "string",
    [DOCUMENT_INTEGER] = "integer",
    [DOCUMENT_FLOAT] = "float",
    [DOCUMENT_BOOLEAN] = "bool",
    [DOCUMENT_OFFSET_DATETIME] = "datetime",
    [DOCUMENT_LOCAL_DATETIME] = "datetime-local",
    [DOCUMENT_LOCAL_DATE] = "date-local",
    [DOCUMENT_LOCAL_TIME] = "time-local",
};

static json_t *scalar(const struct document_node *node)
{
    char text[64];
    json_t *value;

    switch (node->kind) {
    case DOCUMENT_INTEGER:
        snprintf(text, sizeof(text), "%" PRId64, node->integer);
        value = json_string(text);
        break;
    case DOCUMENT_FLOAT:
        snprintf(text, sizeof(text), "%.17g", node->real);
        value = json_string(isnan(node->real) ? "nan" : text);
        break;
    case DOCUMENT_BOOLEAN:
        value = json_string(node->boolean ? "true" : "false");
        break;
    default:
        value = json_stringn(node->text, node->text_len);
        break;
    }
    return json_pack("{s:s, s:o}", "type", types[node->kind], "value", value);
}

static json_t *convert(const struct document_node *node)
{
    if (node->kind != DOCUMENT_TABLE && node->kind != DOCUMENT_ARRAY)
        return scalar(node);
    json_t *json = node->kind == DOCUMENT_TABLE ? json_object() : json_array();
    for (const struct document_node *child = node->first; child; child = child->next) {
        if (node->kind == DOCUMENT_TABLE)
            json_object_setn_new_nocheck(json, child->key, child->key_len, convert(child));
        else
            json_array_append_new(json, convert(child));
    }
    return json;
}

static int decode(const char *bytes, size_t len)
{
    struct document *document = document_new();
    struct problems problems;
    char line[1024];

    problems_init(&problems);
    int error = document ? toml_read(document, bytes, len, "stdin", &problems) : -ENOMEM;
    for (size_t i = 0; i < problems.count; i++) {
        problem_format(&problems.list[i], line, sizeof(line));
        fprintf(stderr, "%s\n", line);
    }
    if (error == 0) {
        json_t *json = convert(document_root(document));
        json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(json);
    }
    problems_free(&problems);
    document_free(document);
    return error ? 1 : 0;
}

int main(void)
{
    char *bytes = malloc(DOCUMENT_MAX_BYTES + 1);
    size_t len = bytes ? fread(bytes, 1, DOCUMENT_MAX_BYTES + 1, stdin) : 0;
    int status = bytes ? decode(bytes, len) : 1;

    free(bytes);
    return status;
}
