/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of keys: from a document, to text, compared. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

struct unit {
    const char *name;
    uint64_t times;
};

static const struct unit sizes[] = {
    {"GiB", UINT64_C(1) << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}, {NULL, 0}};
static const struct unit times[] = {
    {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};

static void *field(const struct schema_key *key, void *base)
{
    return (char *)base + key->offset;
}

static const void *const_field(const struct schema_key *key, const void *base)
{
    return (const char *)base + key->offset;
}

/* ---- What a key may be ---- */

static void put_number(const struct schema_key *key, uint64_t value, char *out, size_t room)
{
    const struct unit *unit = key->type == SCHEMA_SIZE       ? sizes
                              : key->type == SCHEMA_DURATION ? times
                                                             : NULL;

    /* People say 60 seconds and 90 minutes, but two minutes and two hours. */
    for (; unit && unit->name; unit++) {
        bool few = key->type == SCHEMA_DURATION && unit->times >= 60000;
        if (value >= unit->times * (few ? 2 : 1) && value % unit->times == 0)
            break;
    }
    if (unit && unit->name)
        snprintf(out, room, "%" PRIu64 "%s", value / unit->times, unit->name);
    else
        snprintf(out, room, "%" PRIu64, value);
}

static void describe_range(const struct schema_key *key, const char *what, char *out, size_t room)
{
    char min[32], max[32];

    put_number(key, key->min, min, sizeof(min));
    put_number(key, key->max, max, sizeof(max));
    if (key->type == SCHEMA_SIZE) { /* the largest are one less than a round number */
        char more[32];
        put_number(key, key->max + 1, more, sizeof(more));
        if (strlen(more) < strlen(max))
            snprintf(max, sizeof(max), "just below %.16s", more);
    }
    snprintf(out, room, "%s from %s to %s%s", what, min, max, key->zero ? ", or 0" : "");
}

static void describe_choices(const struct schema_key *key, char *out, size_t room)
{
    size_t at = 0;

    for (const struct schema_choice *choice = key->choices; choice->name && at < room; choice++)
        at += (size_t)snprintf(out + at, room - at, "%s\"%s\"",
                               choice == key->choices ? ""
                               : choice[1].name       ? ", "
                                                      : " or ",
                               choice->name);
}

void schema_describe(const struct schema_key *key, char *out, size_t room)
{
    switch (key->type) {
    case SCHEMA_BOOLEAN:
        snprintf(out, room, "true or false");
        break;
    case SCHEMA_INTEGER:
        describe_range(key, "an integer", out, room);
        break;
    case SCHEMA_SIZE:
        describe_range(key, "a size in bytes, or with a unit (\"256KiB\"),", out, room);
        break;
    case SCHEMA_DURATION:
        describe_range(key, "a duration with a unit (\"500ms\", \"10s\", \"5m\", \"1h\")", out,
                       room);
        break;
    case SCHEMA_ENUM:
        describe_choices(key, out, room);
        break;
    case SCHEMA_STRING:
        snprintf(out, room, "a string");
        break;
    case SCHEMA_STRINGS:
        snprintf(out, room, "a list of strings");
        break;
    case SCHEMA_CORES:
        snprintf(out, room, "true, false, or a list of cores");
        break;
    }
}

/* ---- From a document ---- */

struct setting {
    const struct schema_key *key;
    const struct document_node *node;
    const char *file;
    struct problems *problems;
    bool *no_memory;
};

static const char *kind_name(enum document_kind kind)
{
    static const char *const names[] = {
        [DOCUMENT_TABLE] = "a table",
        [DOCUMENT_ARRAY] = "a list",
        [DOCUMENT_STRING] = "a string",
        [DOCUMENT_INTEGER] = "an integer",
        [DOCUMENT_FLOAT] = "a number with a fraction",
        [DOCUMENT_BOOLEAN] = "true or false",
        [DOCUMENT_OFFSET_DATETIME] = "a date",
        [DOCUMENT_LOCAL_DATETIME] = "a date",
        [DOCUMENT_LOCAL_DATE] = "a date",
        [DOCUMENT_LOCAL_TIME] = "a time",
    };
    return names[kind];
}

/* The key's full name, for messages. */
static const char *path_of(const struct schema_key *key, char out[64])
{
    snprintf(out, 64, "%s%s%s", key->section, *key->section ? "." : "", key->name);
    return out;
}

static bool refuse(const struct setting *setting, const struct document_node *node,
                   const char *found)
{
    char path[64], expected[256];

    schema_describe(setting->key, expected, sizeof(expected));
    problems_add(setting->problems, setting->file, node->place, "%s: expected %s, found %s",
                 path_of(setting->key, path), expected, found);
    return false;
}

static bool refuse_kind(const struct setting *setting, const struct document_node *node)
{
    return refuse(setting, node, kind_name(node->kind));
}

static bool refuse_text(const struct setting *setting, const struct document_node *node)
{
    char found[128];

    snprintf(found, sizeof(found), "\"%.100s\"", node->text);
    return refuse(setting, node, found);
}

static bool out_of_memory(const struct setting *setting)
{
    *setting->no_memory = true;
    return false;
}

/* A number and its unit: "10s". The number has no sign and no fraction. */
static bool parse_quantity(const char *text, const struct unit *units, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno)
        return false;
    for (; units->name; units++) {
        if (strcmp(end, units->name) != 0)
            continue;
        if (number > UINT64_MAX / units->times)
            return false;
        *out = number * units->times;
        return true;
    }
    return false;
}

/* A duration that may be 0 needs no unit then: it is the same in each, and so it is printed. */
static bool is_no_time(const struct schema_key *key, const struct document_node *node)
{
    if (key->type != SCHEMA_DURATION || !key->zero)
        return false;
    return node->kind == DOCUMENT_INTEGER
               ? node->integer == 0
               : node->kind == DOCUMENT_STRING && node->text_len == 1 && node->text[0] == '0';
}

static bool set_number(const struct setting *setting, uint64_t *out)
{
    const struct schema_key *key = setting->key;
    const struct document_node *node = setting->node;
    uint64_t value = 0;
    char found[32];

    if (is_no_time(key, node)) {
        *out = 0;
        return true;
    }
    if (node->kind == DOCUMENT_INTEGER && key->type != SCHEMA_DURATION) {
        snprintf(found, sizeof(found), "%" PRId64, node->integer);
        if (node->integer < 0)
            return refuse(setting, node, found);
        value = (uint64_t)node->integer;
    } else if (node->kind == DOCUMENT_STRING && key->type != SCHEMA_INTEGER) {
        if (strlen(node->text) != node->text_len ||
            !parse_quantity(node->text, key->type == SCHEMA_SIZE ? sizes : times, &value))
            return refuse_text(setting, node);
    } else {
        return refuse_kind(setting, node);
    }
    put_number(key, value, found, sizeof(found));
    if ((value < key->min || value > key->max) && !(value == 0 && key->zero))
        return refuse(setting, node, found);
    *out = value;
    return true;
}

static bool set_choice(const struct setting *setting, void *out)
{
    if (setting->node->kind != DOCUMENT_STRING)
        return refuse_kind(setting, setting->node);
    for (const struct schema_choice *choice = setting->key->choices; choice->name; choice++) {
        if (strcmp(choice->name, setting->node->text) != 0)
            continue;
        memcpy(out, &choice->value, sizeof(choice->value));
        return true;
    }
    return refuse_text(setting, setting->node);
}

/* A copy of a string that has the form its key asks for; NULL with a problem added. */
static char *take_string(const struct setting *setting, const struct document_node *node)
{
    char path[64];

    if (node->kind != DOCUMENT_STRING) {
        refuse_kind(setting, node);
        return NULL;
    }
    const char *expected = strlen(node->text) != node->text_len ? "expected text without NULs"
                           : setting->key->check                ? setting->key->check(node->text)
                                                                : NULL;
    if (expected) {
        if (setting->key->secret)
            problems_add(setting->problems, setting->file, node->place, "%s: %s",
                         path_of(setting->key, path), expected);
        else
            problems_add(setting->problems, setting->file, node->place, "%s: %s, found \"%.100s\"",
                         path_of(setting->key, path), expected, node->text);
        return NULL;
    }
    char *copy = strdup(node->text);
    if (!copy)
        out_of_memory(setting);
    return copy;
}

static void free_strings(struct config_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
    *strings = (struct config_strings){0};
}

static bool set_string(const struct setting *setting, char **out)
{
    char *text = take_string(setting, setting->node);

    if (!text)
        return false;
    free(*out);
    *out = text;
    return true;
}

static bool set_strings(const struct setting *setting, struct config_strings *out)
{
    struct config_strings strings = {0};
    bool good = true;

    if (setting->node->kind != DOCUMENT_ARRAY)
        return refuse_kind(setting, setting->node);
    strings.items = calloc(setting->node->count + 1, sizeof(char *));
    if (!strings.items)
        return out_of_memory(setting);
    for (const struct document_node *each = setting->node->first; each; each = each->next) {
        char *text = take_string(setting, each);
        if (text)
            strings.items[strings.count++] = text;
        good = good && text;
    }
    if (!good) {
        free_strings(&strings);
        return false;
    }
    free_strings(out);
    *out = strings;
    return true;
}

static bool set_cores(const struct setting *setting, struct config *config)
{
    const struct document_node *node = setting->node;
    struct config_cores cores = {0};

    if (node->kind != DOCUMENT_BOOLEAN && node->kind != DOCUMENT_ARRAY)
        return refuse_kind(setting, node);
    if (node->kind == DOCUMENT_ARRAY) {
        cores.items = calloc(node->count + 1, sizeof(unsigned));
        if (!cores.items)
            return out_of_memory(setting);
        for (const struct document_node *each = node->first; each; each = each->next) {
            bool good = each->kind == DOCUMENT_INTEGER && each->integer >= 0 &&
                        (uint64_t)each->integer <= setting->key->max;
            if (!good) {
                free(cores.items);
                return refuse(setting, each,
                              each->kind == DOCUMENT_INTEGER ? "a number that no core has"
                                                             : kind_name(each->kind));
            }
            cores.items[cores.count++] = (unsigned)each->integer;
        }
    }
    free(config->pin_cores.items);
    config->pin_cores = cores;
    config->pin_workers = node->kind == DOCUMENT_ARRAY ? cores.count > 0 : node->boolean;
    return true;
}

bool schema_set(const struct schema_key *key, void *base, const struct document_node *node,
                const char *file, struct problems *problems, bool *no_memory)
{
    const struct setting setting = {key, node, file, problems, no_memory};
    void *out = field(key, base);

    switch (key->type) {
    case SCHEMA_BOOLEAN:
        if (node->kind != DOCUMENT_BOOLEAN)
            return refuse_kind(&setting, node);
        *(bool *)out = node->boolean;
        return true;
    case SCHEMA_INTEGER:
    case SCHEMA_SIZE:
    case SCHEMA_DURATION:
        return set_number(&setting, out);
    case SCHEMA_ENUM:
        return set_choice(&setting, out);
    case SCHEMA_STRING:
        return set_string(&setting, out);
    case SCHEMA_STRINGS:
        return set_strings(&setting, out);
    case SCHEMA_CORES:
        return set_cores(&setting, base);
    }
    return false;
}

void schema_free_value(const struct schema_key *key, void *base)
{
    if (key->type == SCHEMA_STRING) {
        char **text = field(key, base);
        free(*text);
        *text = NULL;
    } else if (key->type == SCHEMA_STRINGS) {
        free_strings(field(key, base));
    } else if (key->type == SCHEMA_CORES) {
        struct config *config = base;
        free(config->pin_cores.items);
        config->pin_cores = (struct config_cores){0};
    }
}

/* ---- To TOML ---- */

static void print_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void print_strings(const struct config_strings *strings, FILE *out)
{
    fputc('[', out);
    for (size_t i = 0; i < strings->count; i++) {
        fputs(i ? ", " : "", out);
        print_string(strings->items[i], out);
    }
    fputc(']', out);
}

static void print_number(const struct schema_key *key, uint64_t value, FILE *out)
{
    char text[32];

    put_number(key, value, text, sizeof(text));
    bool has_unit = strspn(text, "0123456789") != strlen(text);
    if (key->type == SCHEMA_SIZE && value == 0)
        fputs("0", out);
    else
        fprintf(out, has_unit ? "\"%s\"" : "%s", text);
}

static void print_choice(const struct schema_key *key, const void *from, FILE *out)
{
    int value;

    memcpy(&value, from, sizeof(value));
    for (const struct schema_choice *choice = key->choices; choice->name; choice++)
        if (choice->value == value)
            fprintf(out, "\"%s\"", choice->name);
}

static void print_cores(const struct config *config, FILE *out)
{
    if (config->pin_cores.count == 0) {
        fputs(config->pin_workers ? "true" : "false", out);
        return;
    }
    for (size_t i = 0; i < config->pin_cores.count; i++)
        fprintf(out, "%s%u", i ? ", " : "[", config->pin_cores.items[i]);
    fputc(']', out);
}

void schema_print_value(const struct schema_key *key, const void *base, FILE *out)
{
    const void *from = const_field(key, base);

    switch (key->type) {
    case SCHEMA_BOOLEAN:
        fputs(*(const bool *)from ? "true" : "false", out);
        break;
    case SCHEMA_INTEGER:
    case SCHEMA_SIZE:
    case SCHEMA_DURATION:
        print_number(key, *(const uint64_t *)from, out);
        break;
    case SCHEMA_ENUM:
        print_choice(key, from, out);
        break;
    case SCHEMA_STRING:
        print_string(*(char *const *)from, out);
        break;
    case SCHEMA_STRINGS:
        print_strings(from, out);
        break;
    case SCHEMA_CORES:
        print_cores(base, out);
        break;
    }
}

const char *schema_string(const struct schema_key *key, const void *base)
{
    return *(char *const *)const_field(key, base);
}

bool schema_same(const struct schema_key *key, const struct config *a, const struct config *b)
{
    char *text[2] = {NULL, NULL};
    size_t size;
    bool same = false;

    for (int i = 0; i < 2; i++) {
        FILE *out = open_memstream(&text[i], &size);
        if (out) {
            schema_print_value(key, i ? b : a, out);
            fclose(out);
        }
    }
    same = text[0] && text[1] && strcmp(text[0], text[1]) == 0;
    free(text[0]);
    free(text[1]);
    return same;
}
