/* SPDX-License-Identifier: BSD-3-Clause */
/* From a file to a configuration, by the schema. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "schema.h"
#include "toml.h"
#include "yaml.h"

/* More are a mistake. */
#define MAX_LISTENERS 64

struct reading {
    struct config *config;
    const char *file;
    struct problems *problems;
    bool no_memory;
};

/* ---- Defaults ---- */

/* Sets a key from a value in TOML that the schema itself brings. */
static int set_from_text(const struct schema_key *key, void *base, const char *value)
{
    struct document *document = document_new();
    struct problems problems;
    bool no_memory = false, set = false;
    char text[256];

    if (!document)
        return -ENOMEM;
    problems_init(&problems);
    int len = snprintf(text, sizeof(text), "x = %s\n", value);
    if (toml_read(document, text, (size_t)len, "default", &problems) == 0)
        set =
            schema_set(key, base, document_root(document)->first, "default", &problems, &no_memory);
    problems_free(&problems);
    document_free(document);
    return set ? 0 : no_memory ? -ENOMEM : -EINVAL;
}

static int set_defaults(void *base, bool listener)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        if ((strcmp(key->section, "listener") == 0) != listener)
            continue;
        int error = set_from_text(key, base, key->preset);
        if (error)
            return error;
    }
    return 0;
}

int config_init(struct config *config)
{
    *config = (struct config){0};
    return set_defaults(config, false);
}

static void free_values(void *base, bool listener)
{
    for (size_t i = 0; i < schema_key_count; i++)
        if ((strcmp(schema_keys[i].section, "listener") == 0) == listener)
            schema_free_value(&schema_keys[i], base);
}

void config_clear_listeners(struct config *config)
{
    for (size_t i = 0; i < config->listener_count; i++)
        free_values(&config->listeners[i], true);
    free(config->listeners);
    config->listeners = NULL;
    config->listener_count = 0;
}

void config_free(struct config *config)
{
    config_clear_listeners(config);
    free_values(config, false);
    *config = (struct config){0};
}

struct config_listener *config_add_listener(struct config *config)
{
    size_t size = (config->listener_count + 1) * sizeof(struct config_listener);
    struct config_listener *grown = realloc(config->listeners, size);

    if (!grown)
        return NULL;
    config->listeners = grown;
    struct config_listener *listener = &grown[config->listener_count++];
    *listener = (struct config_listener){0};
    return set_defaults(listener, true) == 0 ? listener : NULL;
}

/* ---- From a document ---- */

/* The known name that is nearest to a mistyped one: of the keys of a section, or at the top also of
 * the sections. NULL when none is near. */
static const char *guess(const char *section, const char *typed)
{
    const char *best = NULL;
    unsigned least = UINT32_MAX;

    for (size_t i = 0; i < schema_key_count; i++) {
        unsigned distance = nearest_distance(typed, schema_keys[i].name);
        if (strcmp(schema_keys[i].section, section) == 0 && distance < least) {
            least = distance;
            best = schema_keys[i].name;
        }
    }
    for (size_t i = 0; i < schema_section_count && !*section; i++) {
        if (!*schema_sections[i].name)
            continue;
        unsigned distance = nearest_distance(typed, schema_sections[i].name);
        if (distance < least) {
            least = distance;
            best = schema_sections[i].name;
        }
    }
    return best && nearest_is_near(typed, least) ? best : NULL;
}

/* A key that stands in the wrong section is common: tells the right one. */
static const char *section_of(const char *name)
{
    for (size_t i = 0; i < schema_key_count; i++)
        if (strcmp(schema_keys[i].name, name) == 0)
            return schema_keys[i].section;
    return NULL;
}

static void unknown(struct reading *reading, const char *section, const struct document_node *node)
{
    const char *near = guess(section, node->key), *elsewhere = section_of(node->key);
    const char *before = *section ? " in " : "", *behind = *section ? section : "";

    if (near)
        problems_add(reading->problems, reading->file, node->key_place,
                     "unknown key %.60s%s%s: did you mean %s?", node->key, before, behind, near);
    else if (elsewhere)
        problems_add(reading->problems, reading->file, node->key_place,
                     "unknown key %.60s%s%s: it belongs %s%s", node->key, before, behind,
                     *elsewhere ? "into " : "to the top, before all tables", elsewhere);
    else
        problems_add(reading->problems, reading->file, node->key_place, "unknown key %.60s%s%s",
                     node->key, before, behind);
}

static void read_section(struct reading *reading, const char *section, void *base,
                         const struct document_node *table)
{
    for (const struct document_node *node = table->first; node && !reading->no_memory;
         node = node->next) {
        const struct schema_key *key = schema_find(section, node->key);
        if (!key || strlen(node->key) != node->key_len)
            unknown(reading, section, node);
        else
            (void)schema_set(key, base, node, reading->file, reading->problems,
                             &reading->no_memory);
    }
}

static void read_listener(struct reading *reading, const struct document_node *table)
{
    if (table->kind != DOCUMENT_TABLE) {
        problems_add(reading->problems, reading->file, table->place,
                     "listener: expected a table, [[listener]]");
        return;
    }
    struct config_listener *listener = config_add_listener(reading->config);
    if (!listener) {
        reading->no_memory = true;
        return;
    }
    listener->place = table->place;
    read_section(reading, "listener", listener, table);
}

static void read_listeners(struct reading *reading, const struct document_node *node)
{
    if (node->kind != DOCUMENT_ARRAY) {
        problems_add(reading->problems, reading->file, node->key_place,
                     "listener: expected a list of tables: write [[listener]], once for each");
        return;
    }
    if (node->count > MAX_LISTENERS) {
        problems_add(reading->problems, reading->file, node->key_place,
                     "listener: %zu of them, and at most %d are possible", node->count,
                     MAX_LISTENERS);
        return;
    }
    for (const struct document_node *each = node->first; each && !reading->no_memory;
         each = each->next)
        read_listener(reading, each);
}

static bool is_section(const char *name)
{
    for (size_t i = 0; i < schema_section_count; i++)
        if (strcmp(schema_sections[i].name, name) == 0)
            return *name != '\0';
    return false;
}

static void read_root(struct reading *reading, const struct document_node *root)
{
    for (const struct document_node *node = root->first; node && !reading->no_memory;
         node = node->next) {
        const struct schema_key *key = schema_find("", node->key);
        bool whole = strlen(node->key) == node->key_len;
        if (whole && key)
            schema_set(key, reading->config, node, reading->file, reading->problems,
                       &reading->no_memory);
        else if (whole && strcmp(node->key, "listener") == 0)
            read_listeners(reading, node);
        else if (!whole || !is_section(node->key))
            unknown(reading, "", node);
        else if (node->kind != DOCUMENT_TABLE)
            problems_add(reading->problems, reading->file, node->key_place,
                         "%s: expected a table, [%s]", node->key, node->key);
        else
            read_section(reading, node->key, reading->config, node);
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

int config_read_bytes(struct config *config, const char *bytes, size_t len, const char *file,
                      struct problems *problems)
{
    struct reading reading = {config, file, problems, false};
    size_t before = problems->total;
    int error = config_init(config);

    if (error)
        return error;
    bool is_yaml = ends_with(file, ".yaml") || ends_with(file, ".yml");
    if (!is_yaml && !ends_with(file, ".toml")) {
        problems_add(problems, file, (struct document_place){0, 0},
                     "the ending of the name must tell the language: .toml, .yaml or .yml");
        return -EINVAL;
    }
    struct document *document = document_new();
    if (!document)
        return -ENOMEM;
    error = (is_yaml ? yaml_read : toml_read)(document, bytes, len, file, problems);
    /* What could be read is looked at even so: all faults are told at once. */
    if (error != -ENOMEM)
        read_root(&reading, document_root(document));
    document_free(document);
    if (error == -ENOMEM || reading.no_memory)
        return -ENOMEM;
    return problems->total > before ? -EINVAL : 0;
}

int config_read(struct config *config, const char *file, struct problems *problems)
{
    FILE *in = fopen(file, "re");
    char *bytes = in ? malloc(DOCUMENT_MAX_BYTES + 1) : NULL;
    int error = in ? 0 : -errno;
    size_t len = 0;

    *config = (struct config){0};
    if (bytes) {
        len = fread(bytes, 1, DOCUMENT_MAX_BYTES + 1, in);
        error = ferror(in) ? -EIO : 0;
        if (error && errno)
            error = -errno;
    } else if (in) {
        error = -ENOMEM;
    }
    if (in)
        fclose(in);
    if (error == 0)
        error = config_read_bytes(config, bytes, len, file, problems);
    else if (error != -ENOMEM) {
        problems_add(problems, file, (struct document_place){0, 0}, "cannot be read: %s",
                     strerror(-error));
        error = -EINVAL;
    }
    free(bytes);
    return error;
}
