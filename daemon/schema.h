/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The schema: one table of every key, with its type, range, default and meaning. Reading, printing,
 * docs/configuration.md, hyper-derp.toml(5) and dist/config.toml all come from it.
 */
#ifndef DAEMON_SCHEMA_H
#define DAEMON_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config.h"

enum schema_type {
    SCHEMA_BOOLEAN,
    SCHEMA_INTEGER,  /* uint64_t */
    SCHEMA_SIZE,     /* uint64_t, bytes: an integer, or "256KiB" */
    SCHEMA_DURATION, /* uint64_t, milliseconds: "10s" */
    SCHEMA_ENUM,     /* an enum, by the names of its values */
    SCHEMA_STRING,   /* char * */
    SCHEMA_STRINGS,  /* struct config_strings */
    SCHEMA_CORES,    /* bool pin_workers and struct config_cores pin_cores */
};

struct schema_choice {
    const char *name;
    int value;
};

/* Says what is wrong with a text, in the form "expected ...", or NULL. */
typedef const char *schema_check_fn(const char *text);

struct schema_key {
    const char *section; /* "" at the top; "listener" is an array of tables */
    const char *name;
    enum schema_type type;
    size_t offset;       /* in struct config; of "listener" in struct config_listener */
    const char *preset;  /* the default, as TOML */
    const char *example; /* another value, as TOML */
    const char *bad;     /* a value that is refused, as TOML: for the tests */
    uint64_t min, max;   /* numbers; 0 is always allowed where zero says what it means */
    const char *zero;    /* what 0 means, or NULL: then min counts */
    const struct schema_choice *choices; /* enums; ends with a NULL name */
    schema_check_fn *check;              /* strings */
    bool reload;                         /* SIGHUP applies it */
    bool secret; /* a string that may hold what nobody should see who reads a log */
    const char *doc;
};

struct schema_section {
    const char *name;
    const char *doc;
};

extern const struct schema_key schema_keys[];
extern const size_t schema_key_count;
extern const struct schema_section schema_sections[];
extern const size_t schema_section_count;

/* The key, or NULL. */
const struct schema_key *schema_find(const char *section, const char *name);

/* Sets a key from a node of a document, base being what its offset counts from. False with a
 * problem added; without memory false and *no_memory set. */
bool schema_set(const struct schema_key *key, void *base, const struct document_node *node,
                const char *file, struct problems *problems, bool *no_memory);

/* The value of a key of the type SCHEMA_STRING. */
const char *schema_string(const struct schema_key *key, const void *base);

/* Writes a key's value as TOML. */
void schema_print_value(const struct schema_key *key, const void *base, FILE *out);

/* What a key may be, in words: "an integer from 0 to 128". */
void schema_describe(const struct schema_key *key, char *out, size_t room);

/* Compares a key in two configurations (not of "listener"). */
bool schema_same(const struct schema_key *key, const struct config *a, const struct config *b);

/* Frees what a key's value holds. */
void schema_free_value(const struct schema_key *key, void *base);

/* Checks for texts, also of use elsewhere. */
const char *schema_check_listen(const char *text);
const char *schema_check_address(const char *text); /* "" too */

#endif
