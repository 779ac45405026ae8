/* SPDX-License-Identifier: BSD-3-Clause */
/* What the public suite does not ask: where faults stand, what is said of them, how many are told,
 * and what hostile files cost. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "toml.h"

static void expect(const char *text, size_t count, const char *const *faults)
{
    struct document *document = document_new();
    struct problems problems;
    char line[1024];

    problems_init(&problems);
    int error = toml_read(document, text, strlen(text), "t", &problems);
    assert_int_equal(error, count ? -EINVAL : 0);
    for (size_t i = 0; i < problems.count; i++) {
        problem_format(&problems.list[i], line, sizeof(line));
        if (i >= count)
            fail_msg("not expected: %s", line);
        assert_string_equal(line, faults[i]);
    }
    assert_int_equal(problems.total, count);
    problems_free(&problems);
    document_free(document);
}

#define EXPECT(text, ...)                                                                          \
    do {                                                                                           \
        static const char *const faults[] = {__VA_ARGS__};                                         \
        expect(text, sizeof(faults) / sizeof(faults[0]), faults);                                  \
    } while (0)

static void faults_say_what_and_where(void **state)
{
    (void)state;
    EXPECT("a = \"x\n", "t:1:5: the string does not end on its line: expected a closing \"");
    EXPECT("a = '''x\n\n", "t:1:5: the string does not end: expected a closing '''");
    EXPECT("a = \"\\q\"",
           "t:1:6: no such escape: \\ and 'q'; there are \\b \\t \\n \\f \\r \\\" \\\\ "
           "\\uXXXX \\UXXXXXXXX, and '...' for text without escapes");
    EXPECT("a = \"\\ud800\"", "t:1:6: \\ud800 is not a character of Unicode");
    EXPECT("a = 1 2", "t:1:7: expected the end of the line, found '2'");
    EXPECT("a 1", "t:1:3: expected = behind the key, found '1'");
    EXPECT("= 1",
           "t:1:1: expected a key, found '='; a key with other characters than letters, digits, "
           "_ and - needs quotes");
    EXPECT("a = ", "t:1:5: expected a value, found the end of the file");
    EXPECT("a = 99999999999999999999",
           "t:1:5: 99999999999999999999 is too large: integers have 64 bits");
    EXPECT("a = 2026-02-30", "t:1:5: 2026-02-30 is no date or time: expected the form "
                             "2026-01-31T23:59:59Z, or a part of it");
    EXPECT("[a", "t:1:3: expected ] behind the table's name, found the end of the file");
    EXPECT("a = [1, 2", "t:1:5: the array does not end: expected a closing ]");
    EXPECT("a = {b = 1, }", "t:1:13: expected a key, found '}'; a key with other characters than "
                            "letters, digits, _ and - needs quotes");
    /* Columns count characters, not bytes. */
    EXPECT("'\xc3\xa4\xe2\x82\xac' = ?", "t:1:8: expected a value, found '?'");
    EXPECT("a = 1\nb = \"\xff\"\n", "t:2:6: byte 0xff is not UTF-8: save the file as UTF-8");
    EXPECT("# \x01\n", "t:1:3: a control character (0x01) in a comment: remove it");
}

static void redefinitions_name_the_first_place(void **state)
{
    (void)state;
    EXPECT("a = 1\n\na = 2\n", "t:3:1: a is set already, on line 1: each key may stand once");
    EXPECT("[a]\n[b]\n[a]\n",
           "t:3:2: a is a table already, from line 1: each table has one header");
    EXPECT(
        "a = {}\n[a]\n",
        "t:2:2: a is an inline table, which is complete already, from line 1: each table has one "
        "header");
    EXPECT("a = []\n[[a]]\n",
           "t:2:3: a is an array, which is complete already, from line 1: [[ ]] cannot add to it");
    EXPECT("a = 1\na.b = 2\n",
           "t:2:1: a is a value already, from line 1: a dotted key cannot add to it");
    EXPECT("a.b = 1\na.c = 2\n[d]\na.b = 1\n[a.x]\n");
}

static void several_faults_are_told_at_once(void **state)
{
    (void)state;
    EXPECT("a = \n"
           "b = 1\n"
           "c = [1,\n"
           "  2 3,\n"
           "  4]\n"
           "d = 'x\n"
           "[t]\n"
           "a = 1\n"
           "[t]\n"
           "a = 1\n"
           "e = tru\n",
           "t:1:5: expected a value, found the end of the line",
           "t:4:5: expected , or ] in the array, found '3'",
           "t:6:5: the string does not end on its line: expected a closing '",
           "t:9:2: t is a table already, from line 7: each table has one header",
           "t:11:5: tru is no value: text needs quotes, numbers look like 42, 1_000, 0xff or 1.5");
}

static double seconds_for(char *text, size_t len)
{
    struct document *document = document_new();
    struct problems problems;
    struct timespec began, ended;

    problems_init(&problems);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    (void)toml_read(document, text, len, "t", &problems);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    problems_free(&problems);
    document_free(document);
    return (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
}

/* A megabyte made of lines that differ by their number. */
static size_t repeat(char *out, const char *head, const char *format)
{
    size_t len = (size_t)sprintf(out, "%s", head);

    for (unsigned i = 0; len + 64 < DOCUMENT_MAX_BYTES; i++)
        len += (size_t)sprintf(out + len, format, i);
    return len;
}

/* No file within the bound costs more than a moment: nothing is walked again for each line. */
static void hostile_files_cost_little(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"", "k%u = 1\n"},       {"", "a.b.c.k%u = 1\n"}, {"", "[a.b%u]\n"},
        {"", "[[a]]\nx = %u\n"}, {"a = [", "\"%u\", "},   {"a = [", "{b%u = 1}, "},
        {"a = {", "k%u = 1, "},  {"", "? %u\n"},          {"a = \"", "\\u%04x"},
        {"a = '''", "%u\n"},     {"a = [", "[%u], "},     {"", "k = '%u\n"},
    };
    char *text = malloc(DOCUMENT_MAX_BYTES + 64);

    assert_non_null(text);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        size_t len = repeat(text, files[i][0], files[i][1]);
#pragma GCC diagnostic pop
        double took = seconds_for(text, len);
        if (took > 2) /* a tenth of it is usual, also with a sanitizer */
            fail_msg("%.1f s for lines like %s", took, files[i][1]);
    }
    free(text);
}

static size_t dots(char *out, char key, unsigned parts)
{
    for (unsigned i = 0; i < parts; i++) {
        out[2 * i] = key;
        out[2 * i + 1] = '.';
    }
    return 2 * parts - 1;
}

/* The bound is one of the tree, however its levels are written. */
static void dots_and_headers_count_as_depth(void **state)
{
    (void)state;
    char text[512];

    size_t len = dots(text, 'a', 40);
    memcpy(text + len, " = {", 4);
    size_t inner = dots(text + len + 4, 'b', 24);
    strcpy(text + len + 4 + inner, " = 1}");
    EXPECT(text);
    inner = dots(text + len + 4, 'b', 25);
    strcpy(text + len + 4 + inner, " = 1}");
    EXPECT(text, "t:1:136: values inside each other, 65 deep: at most 64 are read");

    text[0] = '[';
    len = 1 + dots(text + 1, 'a', 60);
    strcpy(text + len, "]\nb.c.d.e = 1\n");
    EXPECT(text);
    strcpy(text + len, "]\nb.c.d.e.f = 1\n");
    EXPECT(text, "t:2:13: values inside each other, 65 deep: at most 64 are read");

    /* An element of an array stands one deeper than the array. */
    text[0] = text[1] = '[';
    len = 2 + dots(text + 2, 'a', 63);
    strcpy(text + len, "]]\n");
    EXPECT(text);
    len = 2 + dots(text + 2, 'a', 64);
    strcpy(text + len, "]]\n");
    EXPECT(text, "t:1:129: tables inside each other, 65 deep: at most 64 are read");
}

/* What is said stays whole and harmless, whatever the file says. */
static void faults_show_the_file_safely(void **state)
{
    (void)state;
    char text[1024], want[1024], word[301];

    memset(word, 'x', 300);
    word[300] = '\0';
    snprintf(text, sizeof(text), "a = %s", word);
    snprintf(want, sizeof(want),
             "t:1:5: %.100s is no value: text needs quotes, numbers look like 42, 1_000, 0xff or "
             "1.5",
             word);
    const char *const long_word[] = {want};
    expect(text, 1, long_word);
    /* The hundredth byte is the first of two. */
    snprintf(text, sizeof(text), "'%.99s\xc3\xa9' = 1\n'%.99s\xc3\xa9' = 2", word, word);
    snprintf(want, sizeof(want), "t:2:1: %.99s is set already, on line 1: each key may stand once",
             word);
    expect(text, 1, long_word);
    EXPECT("'\xc2\x9b' = 1\n'\xc2\x9b' = 2",
           "t:2:1: ?? is set already, on line 1: each key may stand once");
    EXPECT("a = \x1b[2J", "t:1:5: expected a value, found byte 0x1b");
}

/* A list that is full already hides no fault of the file. */
static void a_full_list_is_no_success(void **state)
{
    (void)state;
    struct document *document = document_new();
    struct problems problems;

    problems_init(&problems);
    for (unsigned i = 0; i < PROBLEMS_MAX; i++)
        problems_add(&problems, NULL, (struct document_place){0, 0}, "before");
    assert_int_equal(toml_read(document, "a = ?", 5, "t", &problems), -EINVAL);
    assert_int_equal(problems.total, PROBLEMS_MAX + 1);
    assert_int_equal(problems.count, PROBLEMS_MAX);
    problems_free(&problems);
    document_free(document);
}

static void depth_and_size_are_bounded(void **state)
{
    (void)state;
    char deep[300];
    static char big[DOCUMENT_MAX_BYTES + 1];
    struct problems problems;
    struct document *document = document_new();

    memset(deep, '[', sizeof(deep) - 1);
    memcpy(deep, "a = ", 4);
    deep[sizeof(deep) - 1] = '\0';
    EXPECT(deep, "t:1:69: values inside each other, 65 deep: at most 64 are read");
    memset(big, ' ', sizeof(big));
    problems_init(&problems);
    assert_int_equal(toml_read(document, big, sizeof(big), "t", &problems), -EINVAL);
    assert_string_equal(problems.list[0].text,
                        "the file has 1048577 bytes; at most 1048576 are read");
    problems_free(&problems);
    document_free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_say_what_and_where),
        cmocka_unit_test(redefinitions_name_the_first_place),
        cmocka_unit_test(several_faults_are_told_at_once),
        cmocka_unit_test(hostile_files_cost_little),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(dots_and_headers_count_as_depth),
        cmocka_unit_test(faults_show_the_file_safely),
        cmocka_unit_test(a_full_list_is_no_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
