/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of faults: how they read, how many are kept, and what never reaches a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "problems.h"

static void expect_line(const struct problem *problem, const char *line)
{
    char out[64];

    assert_int_equal(problem_format(problem, out, sizeof(out)), strlen(line));
    assert_string_equal(out, line);
}

static void a_line_names_as_much_of_the_place_as_there_is(void **state)
{
    struct problems problems;
    char out[5];

    (void)state;
    problems_init(&problems);
    problems_add(&problems, "f.toml", (struct document_place){2, 7}, "%s is %d", "a", 1);
    problems_add(&problems, "f.toml", (struct document_place){0, 0}, "too large");
    problems_add(&problems, NULL, (struct document_place){2, 7}, "--workers: no");
    assert_int_equal(problems.count, 3);
    assert_int_equal(problems.total, 3);
    expect_line(&problems.list[0], "f.toml:2:7: a is 1");
    expect_line(&problems.list[1], "f.toml: too large");
    expect_line(&problems.list[2], "--workers: no");
    /* As snprintf(): cut, and the length that it would have had. */
    assert_int_equal(problem_format(&problems.list[0], out, sizeof(out)), 18);
    assert_string_equal(out, "f.to");
    problems_free(&problems);
    assert_int_equal(problems.count, 0);
    problems_free(&problems);
}

static void more_are_counted_but_not_kept(void **state)
{
    struct problems problems;

    (void)state;
    problems_init(&problems);
    for (unsigned i = 1; i <= PROBLEMS_MAX + 5; i++)
        problems_add(&problems, "f", (struct document_place){i, 1}, "wrong");
    assert_int_equal(problems.count, PROBLEMS_MAX);
    assert_int_equal(problems.total, PROBLEMS_MAX + 5);
    assert_int_equal(problems.list[PROBLEMS_MAX - 1].place.line, PROBLEMS_MAX);
    problems_free(&problems);
}

static void text_is_made_printable(void **state)
{
    struct problems problems;

    (void)state;
    problems_init(&problems);
    problems_add(&problems, "f", (struct document_place){1, 1},
                 "\x1b[2J\n\t\x7f \xc3\xa4 \xe2\x82\xac");
    problems_add(&problems, "f", (struct document_place){1, 1}, "\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0");
    assert_string_equal(problems.list[0].text, "?[2J??? \xc3\xa4 \xe2\x82\xac");
    assert_string_equal(problems.list[1].text, "??????\xc2\xa0");
    problems_free(&problems);
}

/* Whatever number of bytes stands before it, a character is left whole or left out. */
static void a_long_text_is_cut_between_characters(void **state)
{
    struct problems problems;
    char text[1000];

    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        size_t len = shift;
        while (len + 3 < sizeof(text)) {
            memcpy(text + len, "\xe2\x82\xac", 3);
            len += 3;
        }
        text[len] = '\0';
        problems_init(&problems);
        problems_add(&problems, "f", (struct document_place){1, 1}, "%s", text);
        const char *kept = problems.list[0].text;
        size_t kept_len = strlen(kept);
        assert_true(kept_len > 500 && kept_len < 512);
        assert_string_equal(kept + kept_len - 3, "...");
        assert_int_equal((kept_len - 3 - shift) % 3, 0);
        assert_memory_equal(kept, text, kept_len - 3);
        problems_free(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_names_as_much_of_the_place_as_there_is),
        cmocka_unit_test(more_are_counted_but_not_kept),
        cmocka_unit_test(text_is_made_printable),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
