/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of keys that may join: what it may hold, and what is told of a wrong one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "allow_list.h"

#define A "0123456789abcdef0123456789ABCDEF0123456789abcdef00000000000000ff"
#define B "ff23456789abcdef0123456789abcdef0123456789abcdef00000000000000ff"
#define C "1123456789abcdef0123456789abcdef0123456789abcdef0000000000000000"

static char path[] = "/tmp/hyper-derp-keys.XXXXXX";
static struct problems problems;

static int set_up(void **state)
{
    (void)state;
    problems_init(&problems);
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    problems_free(&problems);
    return remove(path);
}

static int read_bytes(struct allow_list *list, const char *text, size_t len)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
    return allow_list_read(list, path, &problems);
}

static bool has(const struct allow_list *list, const char *text)
{
    hyperderp_key key;

    assert_int_equal(hyperderp_key_parse(&key, text), 0);
    return allow_list_has(list, &key);
}

static void keys_comments_and_blank_lines(void **state)
{
    static const char text[] = "# the laptops\r\n"
                               "nodekey:" B "\r\n"
                               "\n"
                               "  \t nodekey:" A "   # of Ada\n"
                               "nodekey:" B "\n"
                               "#nodekey:" C "\n"
                               "   ";
    struct allow_list list;

    (void)state;
    assert_int_equal(read_bytes(&list, text, sizeof(text) - 1), 0);
    assert_int_equal(list.count, 2);
    assert_true(has(&list, A));
    assert_true(has(&list, B));
    assert_false(has(&list, C));
    assert_int_equal(problems.total, 0);
    allow_list_free(&list);
    assert_false(has(&list, A));
    allow_list_free(&list);
}

static void a_file_without_keys_is_a_list_of_nobody(void **state)
{
    struct allow_list list;

    (void)state;
    assert_int_equal(read_bytes(&list, "", 0), 0);
    assert_int_equal(list.count, 0);
    assert_false(has(&list, A));
    allow_list_free(&list);
}

static void many_keys_are_found(void **state)
{
    enum { KEYS = 3000 };
    struct allow_list list;
    FILE *out = fopen(path, "w");
    char text[65];

    (void)state;
    assert_non_null(out);
    for (unsigned i = 0; i < KEYS; i++) /* in no order; the last one without a line feed */
        fprintf(out, "nodekey:%064x%s", i * 7 % KEYS * 2, i + 1 < KEYS ? "\n" : "");
    assert_int_equal(fclose(out), 0);
    assert_int_equal(allow_list_read(&list, path, &problems), 0);
    assert_int_equal(list.count, KEYS);
    for (unsigned i = 0; i < KEYS * 2; i++) {
        snprintf(text, sizeof(text), "%064x", i);
        assert_int_equal(has(&list, text), i % 2 == 0);
    }
    allow_list_free(&list);
}

static void wrong_lines_are_named(void **state)
{
    static const char text[] = "nodekey:" A "\n"
                               "nodekey:0123\n"
                               "nodekey:" A " nodekey:" B "\n"
                               "# fine\n"
                               "privkey:" A "\n"
                               "nodekey:" A "\0nodekey:" B "\n"
                               "nodekey:" B "\n";
    static const unsigned lines[] = {2, 3, 5, 6};
    struct allow_list list;
    char line[512];

    (void)state;
    assert_int_equal(read_bytes(&list, text, sizeof(text) - 1), -EINVAL);
    allow_list_free(&list);
    assert_int_equal(problems.count, sizeof(lines) / sizeof(lines[0]));
    for (size_t i = 0; i < problems.count; i++) {
        assert_int_equal(problems.list[i].place.line, lines[i]);
        problem_format(&problems.list[i], line, sizeof(line));
        assert_non_null(strstr(line, path));
        assert_non_null(strstr(line, "64 hexadecimal digits"));
        assert_null(strstr(line, A)); /* it may be a secret */
    }
}

static void a_line_without_an_end_is_wrong(void **state)
{
    struct allow_list list;
    char *text = malloc(100000);

    (void)state;
    assert_non_null(text);
    memset(text, 'a', 100000);
    assert_int_equal(read_bytes(&list, text, 100000), -EINVAL);
    assert_int_equal(problems.total, 1);
    assert_int_equal(problems.list[0].place.line, 1);
    allow_list_free(&list);
    /* Blanks are no excuse. */
    memset(text, ' ', 100000);
    assert_int_equal(read_bytes(&list, text, 100000), -EINVAL);
    allow_list_free(&list);
    free(text);
}

static void expect_fault(const char *file, const char *fault)
{
    struct allow_list list;
    char line[512];

    assert_int_equal(allow_list_read(&list, file, &problems), -EINVAL);
    allow_list_free(&list);
    problem_format(&problems.list[problems.count - 1], line, sizeof(line));
    assert_non_null(strstr(line, file));
    assert_non_null(strstr(line, fault));
}

static void what_is_no_file_is_named(void **state)
{
    (void)state;
    expect_fault("/nonexistent/keys", "No such file");
    expect_fault("/", "not a regular file");
    expect_fault("/dev/zero", "not a regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes: it must not be waited for */
    expect_fault(path, "not a regular file");
}

static void a_list_has_a_bound(void **state)
{
    FILE *out = fopen(path, "w");
    struct allow_list list;

    (void)state;
    assert_non_null(out);
    for (unsigned i = 0; i < ALLOW_LIST_MAX_KEYS; i++)
        fprintf(out, "%064x\n", i);
    assert_int_equal(fflush(out), 0);
    assert_int_equal(allow_list_read(&list, path, &problems), 0);
    assert_int_equal(list.count, ALLOW_LIST_MAX_KEYS);
    allow_list_free(&list);
    fprintf(out, "%064x\n", ALLOW_LIST_MAX_KEYS);
    assert_int_equal(fclose(out), 0);
    expect_fault(path, "more than 1000000 keys");
    /* And so has a file of comments. */
    assert_int_equal(truncate(path, 0), 0);
    out = fopen(path, "w");
    assert_non_null(out);
    fputs("#", out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(truncate(path, ALLOW_LIST_MAX_BYTES + 1L), 0);
    expect_fault(path, "more than 134217728 bytes");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(keys_comments_and_blank_lines),
        T(a_file_without_keys_is_a_list_of_nobody),
        T(many_keys_are_found),
        T(wrong_lines_are_named),
        T(a_line_without_an_end_is_wrong),
        T(what_is_no_file_is_named),
        T(a_list_has_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
