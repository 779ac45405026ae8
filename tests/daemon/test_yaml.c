/* SPDX-License-Identifier: BSD-3-Clause */
/* YAML as a document: kinds of values, places, faults, bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "yaml.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct outcome {
    int error;
    struct document *document;
    struct problems problems;
};

/* Reads from memory of the exact size, so that a read behind its end is found. */
static void read_bytes(struct outcome *outcome, const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    problems_init(&outcome->problems);
    outcome->document = document_new();
    assert_non_null(outcome->document);
    outcome->error = yaml_read(outcome->document, copy, len, "x.yaml", &outcome->problems);
    free(copy);
}

static void let_go(struct outcome *outcome)
{
    document_free(outcome->document);
    problems_free(&outcome->problems);
}

/* The problems of a text, all of them, a line each. */
static void expect_problems(const char *bytes, size_t len, const char *lines)
{
    struct outcome outcome;
    char said[4096] = "";
    size_t at = 0;

    read_bytes(&outcome, bytes, len);
    for (size_t i = 0; i < outcome.problems.count; i++) {
        at += (size_t)problem_format(&outcome.problems.list[i], said + at, sizeof(said) - at);
        assert_true(at + 2 < sizeof(said));
        said[at++] = '\n';
        said[at] = '\0';
    }
    assert_string_equal(said, lines);
    assert_int_equal(outcome.error, *lines ? -EINVAL : 0);
    let_go(&outcome);
}

static void plain_values_are_typed_as_in_the_core_schema(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum document_kind kind;
        int64_t integer;
    } cases[] = {
        {"true", DOCUMENT_BOOLEAN, 1},
        {"False", DOCUMENT_BOOLEAN, 0},
        {"yes", DOCUMENT_STRING, 0},
        {"on", DOCUMENT_STRING, 0},
        {"'true'", DOCUMENT_STRING, 0},
        {"0", DOCUMENT_INTEGER, 0},
        {"-12", DOCUMENT_INTEGER, -12},
        {"+12", DOCUMENT_INTEGER, 12},
        {"010", DOCUMENT_INTEGER, 10},
        {"0o17", DOCUMENT_INTEGER, 15},
        {"0xfF", DOCUMENT_INTEGER, 255},
        {"0x", DOCUMENT_STRING, 0},
        {"-", DOCUMENT_STRING, 0},
        {"1_000", DOCUMENT_STRING, 0},
        {"9223372036854775807", DOCUMENT_INTEGER, INT64_MAX},
        {"-9223372036854775808", DOCUMENT_INTEGER, INT64_MIN},
        {"1.5", DOCUMENT_FLOAT, 0},
        {"1e3", DOCUMENT_FLOAT, 0},
        {"'1'", DOCUMENT_STRING, 0},
        {"60s", DOCUMENT_STRING, 0},
        {"2026-01-31", DOCUMENT_STRING, 0},
        {"''", DOCUMENT_STRING, 0},
    };
    struct outcome outcome;
    char text[64];

    for (size_t i = 0; i < COUNT(cases); i++) {
        int len = snprintf(text, sizeof(text), "k: [%s]\n", cases[i].text);
        /* A lone dash is a list's mark inside brackets. */
        if (strcmp(cases[i].text, "-") == 0)
            len = snprintf(text, sizeof(text), "k:\n  - '-'\n");
        read_bytes(&outcome, text, (size_t)len);
        if (outcome.error)
            fail_msg("%s: refused", text);
        const struct document_node *value = document_root(outcome.document)->first->first;
        if (value->kind != cases[i].kind)
            fail_msg("%s: kind %d", text, (int)value->kind);
        if (value->kind == DOCUMENT_INTEGER)
            assert_true(value->integer == cases[i].integer);
        if (value->kind == DOCUMENT_BOOLEAN)
            assert_int_equal(value->boolean, cases[i].integer);
        let_go(&outcome);
    }
}

static void places_count_characters_from_one(void **state)
{
    (void)state;
    static const char text[] = "\xc3\xa4\xc3\xa4: {b: 1,\n  c: [2, x]}\n";
    static const char marked[] = "\xef\xbb\xbf"
                                 "a: 1\n";
    struct outcome outcome;

    read_bytes(&outcome, text, strlen(text));
    assert_int_equal(outcome.error, 0);
    const struct document_node *a = document_root(outcome.document)->first;
    assert_int_equal(a->key_place.line, 1);
    assert_int_equal(a->key_place.column, 1);
    assert_int_equal(a->place.column, 5);
    const struct document_node *c = a->first->next;
    assert_int_equal(c->key_place.line, 2);
    assert_int_equal(c->key_place.column, 3);
    assert_int_equal(c->first->next->place.line, 2);
    assert_int_equal(c->first->next->place.column, 10);
    let_go(&outcome);

    /* A byte order mark is no column. */
    read_bytes(&outcome, marked, strlen(marked));
    assert_int_equal(outcome.error, 0);
    a = document_root(outcome.document)->first;
    assert_string_equal(a->key, "a");
    assert_int_equal(a->key_place.column, 1);
    assert_int_equal(a->place.column, 4);
    let_go(&outcome);
}

#define TEXT(text) text, sizeof(text) - 1

static void several_faults_are_told_at_once(void **state)
{
    (void)state;
    expect_problems(
        TEXT("a: ~\n"
             "b: null\n"
             "c: &x [1, {d: 2}]\n"
             "d: *x\n"
             "e: !!map {f: 1}\n"
             "? [g, {h: 1}]\n"
             ": 2\n"
             "i: [1, ~, 3]\n"
             "&y j: 1\n"
             "k: 1\n"
             "k: 2\n"),
        "x.yaml:1:4: no value: write one, or leave the key out; the empty text is \"\"\n"
        "x.yaml:2:4: no value: write one, or leave the key out; the empty text is \"\"\n"
        "x.yaml:3:4: anchors and tags are not read: write the value itself\n"
        "x.yaml:4:4: aliases (*name) are not read: write the value itself\n"
        "x.yaml:5:4: anchors and tags are not read: write the value itself\n"
        "x.yaml:6:3: expected a key: plain text\n"
        "x.yaml:8:8: no value: write one, or leave the key out; the empty text is \"\"\n"
        "x.yaml:9:1: expected a key: plain text\n"
        "x.yaml:11:1: k is set already, on line 10: each key may stand once\n");
}

/* What stands around a fault is still there for the schema to look at. */
static void what_is_around_a_fault_is_read(void **state)
{
    (void)state;
    static const char text[] = "a: 1\nb: ~\nc: [x, ~, y]\nd: 2\n";
    struct outcome outcome;

    read_bytes(&outcome, text, strlen(text));
    assert_int_equal(outcome.error, -EINVAL);
    const struct document_node *root = document_root(outcome.document);
    assert_int_equal(root->count, 3);
    assert_null(document_find(outcome.document, root, "b", 1));
    const struct document_node *c = document_find(outcome.document, root, "c", 1);
    assert_non_null(c);
    assert_int_equal(c->count, 2);
    assert_non_null(document_find(outcome.document, root, "d", 1));
    let_go(&outcome);
}

static void bytes_that_are_no_text_have_a_place(void **state)
{
    (void)state;
    expect_problems(TEXT("a: 1\n\xc3\xa4: x\xff\n"), "x.yaml:2:5: invalid leading UTF-8 octet\n");
    expect_problems(TEXT("a: 1\nb: \x01\n"), "x.yaml:2:4: control characters are not allowed\n");
    expect_problems(TEXT("a: 1\nb: \xc3"), "x.yaml:2:4: incomplete UTF-8 octet sequence\n");
    expect_problems(TEXT("a: \x00\n"), "x.yaml:1:4: control characters are not allowed\n");
    expect_problems(TEXT("a: [1\n"), "x.yaml:2:1: while parsing a flow sequence: did not find "
                                     "expected ',' or ']'\n");
}

static void numbers_that_do_not_fit_are_told(void **state)
{
    (void)state;
    static const char said[] = "x.yaml:1:4: the integer is beyond 64 bits\n";

    expect_problems(TEXT("a: 9223372036854775808\n"), said);
    expect_problems(TEXT("a: -9223372036854775809\n"), said);
    expect_problems(TEXT("a: 0x8000000000000000\n"), said);
    expect_problems(TEXT("a: 0o7777777777777777777777\n"), said);
}

static void a_file_is_one_document(void **state)
{
    (void)state;
    static const char second[] = "a second document: a configuration is one\n";
    static const char *const nothing[] = {"", "\n", "# nothing\n", "---\n", "---\n...\n", "{}\n"};
    struct outcome outcome;
    char said[128];

    for (size_t i = 0; i < COUNT(nothing); i++) {
        read_bytes(&outcome, nothing[i], strlen(nothing[i]));
        assert_int_equal(outcome.error, 0);
        assert_int_equal(document_root(outcome.document)->count, 0);
        let_go(&outcome);
    }
    snprintf(said, sizeof(said), "x.yaml:2:1: %s", second);
    expect_problems(TEXT("a: 1\n---\nb: 2\n"), said);
    /* Also where the first one says nothing: what follows must not be lost in silence. */
    expect_problems(TEXT("---\n---\nb: 2\n"), said);
    expect_problems(TEXT("--- {}\n---\nb: 2\n"), said);
    expect_problems(TEXT("- a\n"), "x.yaml:1:1: expected keys and values at the top: KEY: VALUE\n");
    expect_problems(TEXT("''\n"), "x.yaml:1:1: expected keys and values at the top: KEY: VALUE\n");
    expect_problems(TEXT("--- &a\nb: 1\n"),
                    "x.yaml:1:5: anchors and tags are not read: write the value itself\n");
}

static void depth_and_size_are_bounded(void **state)
{
    (void)state;
    struct outcome outcome;
    char text[512] = "a: ";

    /* The deepest that is read, and one more, which ends reading; the root is no level. */
    for (unsigned depth = DOCUMENT_MAX_DEPTH; depth <= DOCUMENT_MAX_DEPTH + 1; depth++) {
        bool fits = depth == DOCUMENT_MAX_DEPTH;
        memset(text + 3, '[', depth);
        memset(text + 3 + depth, ']', depth);
        strcpy(text + 3 + 2 * (size_t)depth, "\nb: ~\n");
        read_bytes(&outcome, text, strlen(text));
        assert_int_equal(outcome.problems.total, 1);
        assert_int_equal(outcome.problems.list[0].place.line, fits ? 2 : 1);
        assert_int_equal(outcome.problems.list[0].place.column, fits ? 4 : 4 + DOCUMENT_MAX_DEPTH);
        assert_int_equal(strstr(outcome.problems.list[0].text, "more than 64 deep") != NULL, !fits);
        let_go(&outcome);
    }

    char *large = malloc(DOCUMENT_MAX_BYTES + 1);
    assert_non_null(large);
    memset(large, '\n', DOCUMENT_MAX_BYTES + 1);
    read_bytes(&outcome, large, DOCUMENT_MAX_BYTES);
    assert_int_equal(outcome.error, 0);
    let_go(&outcome);
    expect_problems(large, DOCUMENT_MAX_BYTES + 1,
                    "x.yaml: the file has 1048577 bytes; at most 1048576 are read\n");
    /* Hostile nesting ends in time, also inside a value that is passed over. */
    static const char *const before[] = {"", "a: ", "a: &x ", "? ", "? &x "};
    for (size_t i = 0; i < COUNT(before); i++) {
        memset(large, '[', DOCUMENT_MAX_BYTES);
        memcpy(large, before[i], strlen(before[i]));
        read_bytes(&outcome, large, DOCUMENT_MAX_BYTES);
        assert_int_equal(outcome.error, -EINVAL);
        assert_non_null(strstr(outcome.problems.list[outcome.problems.count - 1].text, "64 deep"));
        let_go(&outcome);
    }
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_values_are_typed_as_in_the_core_schema),
        cmocka_unit_test(places_count_characters_from_one),
        cmocka_unit_test(several_faults_are_told_at_once),
        cmocka_unit_test(what_is_around_a_fault_is_read),
        cmocka_unit_test(bytes_that_are_no_text_have_a_place),
        cmocka_unit_test(numbers_that_do_not_fit_are_told),
        cmocka_unit_test(a_file_is_one_document),
        cmocka_unit_test(depth_and_size_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
