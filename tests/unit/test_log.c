/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines: levels, length, and nothing in them that forges a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "relay/log.h"

struct taken {
    unsigned count;
    hyperderp_log_level level;
    char line[2 * LOG_LINE_SIZE];
};

static void take(void *user, hyperderp_log_level level, const char *line)
{
    struct taken *taken = user;

    taken->count++;
    taken->level = level;
    assert_true(strlen(line) < LOG_LINE_SIZE);
    strcpy(taken->line, line);
}

static void levels(void **state)
{
    struct taken taken = {0};

    (void)state;
    for (int level = HYPERDERP_LOG_ERROR; level <= HYPERDERP_LOG_DEBUG; level++) {
        struct log log = {.write = take, .user = &taken, .level = (hyperderp_log_level)level};

        for (int of_line = HYPERDERP_LOG_ERROR; of_line <= HYPERDERP_LOG_DEBUG; of_line++) {
            taken.count = 0;
            log_line(&log, (hyperderp_log_level)of_line, "%s %d", "number", of_line);
            assert_int_equal(taken.count, of_line <= level);
            assert_int_equal(log_wants(&log, (hyperderp_log_level)of_line), of_line <= level);
            if (taken.count)
                assert_int_equal(taken.level, of_line);
        }
    }
    assert_string_equal(taken.line, "number 3");
}

static void nobody_listens(void **state)
{
    const struct log log = {.level = HYPERDERP_LOG_DEBUG};

    (void)state;
    assert_false(log_wants(&log, HYPERDERP_LOG_ERROR));
    log_line(&log, HYPERDERP_LOG_ERROR, "for nobody");
}

static void cut_to_fit(void **state)
{
    struct taken taken = {0};
    const struct log log = {.write = take, .user = &taken};
    char text[3 * LOG_LINE_SIZE];

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_line(&log, HYPERDERP_LOG_ERROR, "%s", text);
    assert_int_equal(strlen(taken.line), LOG_LINE_SIZE - 1);
}

static void not_printable(void **state)
{
    struct taken taken = {0};
    const struct log log = {.write = take, .user = &taken};

    (void)state;
    log_line(&log, HYPERDERP_LOG_ERROR, "a\nb\rc\td\033[31me\177f%% \xc3\xa9");
    assert_string_equal(taken.line, "a?b?c?d?[31me?f% \xc3\xa9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(cut_to_fit),
        cmocka_unit_test(not_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
