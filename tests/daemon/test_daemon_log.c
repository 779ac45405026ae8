/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines: forms, levels, and that repeated warnings are limited and counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "log.h"

static int before;
static FILE *file;

/* Standard error goes into a file. */
static int set_up(void **state)
{
    (void)state;
    file = tmpfile();
    before = dup(STDERR_FILENO);
    unsetenv("JOURNAL_STREAM");
    dup2(fileno(file), STDERR_FILENO);
    log_init();
    log_set_level(HYPERDERP_LOG_INFO);
    log_set_format(LOG_FORMAT_TEXT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(before, STDERR_FILENO);
    close(before);
    fclose(file);
    return 0;
}

/* What has been written since the last call. */
static char *said(void)
{
    static char text[65536];
    static long at;

    fseek(file, 0, SEEK_END);
    if (ftell(file) < at)
        at = 0;
    fseek(file, at, SEEK_SET);
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    at += (long)len;
    return text;
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;

    for (; (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

static void a_file_gets_full_times_and_no_debug(void **state)
{
    (void)state;
    int year, month, day;

    (void)said();
    log_print(HYPERDERP_LOG_INFO, "hello %d", 42);
    log_print(HYPERDERP_LOG_DEBUG, "not this");
    const char *text = said();
    assert_int_equal(sscanf(text, "%d-%d-%dT", &year, &month, &day), 3);
    assert_non_null(strstr(text, " info  hello 42\n"));
    assert_int_equal(lines_of(text), 1);
    log_set_level(HYPERDERP_LOG_DEBUG);
    log_print(HYPERDERP_LOG_DEBUG, "this");
    assert_non_null(strstr(said(), " debug this\n"));
}

static void the_journal_gets_priorities(void **state)
{
    (void)state;
    char stream[64];
    struct stat info;

    fstat(STDERR_FILENO, &info);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)info.st_dev,
             (unsigned long long)info.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init();
    (void)said();
    log_print(HYPERDERP_LOG_ERROR, "broken");
    log_print(HYPERDERP_LOG_INFO, "fine");
    assert_string_equal(said(), "<3>broken\n<6>fine\n");
}

static void json_escapes_what_it_must(void **state)
{
    (void)state;
    (void)said();
    log_set_format(LOG_FORMAT_JSON);
    log_print(HYPERDERP_LOG_WARN, "a \"quote\" \\ and \xc3\xa4");
    json_t *object = json_loads(said(), 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "message")),
                        "a \"quote\" \\ and \xc3\xa4");
    assert_string_equal(json_string_value(json_object_get(object, "level")), "warn");
    json_decref(object);
    log_print(HYPERDERP_LOG_WARN, "\xff is not UTF-8");
    object = json_loads(said(), 0, NULL);
    assert_non_null(object);
    json_decref(object);
}

static void repeated_warnings_are_limited_and_counted(void **state)
{
    (void)state;
    char line[64];
    uint64_t kept_back = log_suppressed(), written = log_lines(HYPERDERP_LOG_WARN);

    (void)said();
    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof(line), "listener %d: accepting failed", i);
        log_from_relay(NULL, HYPERDERP_LOG_WARN, line);
    }
    unsigned passed = lines_of(said());
    assert_in_range(passed, 5, 8); /* some seconds may have gone by */
    assert_int_equal(log_suppressed() - kept_back, 200 - passed);
    assert_int_equal(log_lines(HYPERDERP_LOG_WARN) - written, passed);
    /* Another one has a budget of its own, and information is never kept back. */
    log_from_relay(NULL, HYPERDERP_LOG_WARN, "something else");
    for (int i = 0; i < 20; i++)
        log_from_relay(NULL, HYPERDERP_LOG_INFO, "news");
    assert_int_equal(lines_of(said()), 21);
}

static void what_others_cause_is_limited_at_any_level(void **state)
{
    (void)state;
    (void)said();
    for (int i = 0; i < 50; i++)
        log_limited(HYPERDERP_LOG_INFO, "client refused, as it is not in the list: %d", i);
    assert_in_range(lines_of(said()), 5, 8);
    log_limited(HYPERDERP_LOG_DEBUG, "nothing at this level");
    log_limited(HYPERDERP_LOG_INFO, "another: %s", "once");
    assert_non_null(strstr(said(), "info  another: once\n"));
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    char text[3000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    (void)said();
    log_print(HYPERDERP_LOG_INFO, "%s", text);
    const char *line = said();
    assert_int_equal(lines_of(line), 1);
    assert_true(strlen(line) < 1100 && line[strlen(line) - 1] == '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_gets_full_times_and_no_debug, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_journal_gets_priorities, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_escapes_what_it_must, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repeated_warnings_are_limited_and_counted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_others_cause_is_limited_at_any_level, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
