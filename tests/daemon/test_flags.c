/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line, and that it wins over the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "flags.h"
#include "nearest.h"

/* Parses words between single blanks; said receives what was printed on standard error. */
static int parse(struct flags *flags, const char *line, char *said, size_t room)
{
    static char copy[256];
    char *argv[16] = {"hyper-derp"};
    int argc = 1, before = dup(STDERR_FILENO);
    FILE *file = tmpfile();

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word && argc < 15; word = strtok(NULL, " "))
        argv[argc++] = word;
    dup2(fileno(file), STDERR_FILENO);
    int status = flags_parse(flags, argc, argv);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    size_t len = fread(said, 1, room - 1, file);
    said[len] = '\0';
    fclose(file);
    return status;
}

static void each_mistake_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *line, *said;
    } cases[] = {
        {"", "nowhere to listen: give -c FILE, --dev to try it out, or --listen ADDRESS"},
        {"--dve", "--dve: no such flag; did you mean --dev?"},
        {"--log-levle debug", "--log-levle: no such flag; did you mean --log-level?"},
        {"--xyzzy", "--xyzzy: no such flag\n"},
        {"-q", "-q: no such flag"},
        {"--dev --workers", "--workers: needs a value"},
        {"--dev --workers 0", "--workers 0: expected a number from 1 to 128"},
        {"--dev --workers 2x", "--workers 2x: expected a number"},
        {"--dev --engine kqueue", "--engine kqueue: expected auto, io_uring or epoll"},
        {"--dev --log-level loud", "--log-level loud: expected debug, info, warn or error"},
        {"--listen nowhere", "--listen nowhere: expected HOST:PORT, :PORT"},
        {"--check-config", "--check-config: needs a configuration, -c FILE"},
        {"--check-config --print-config -c x.toml", "one of them at a time"},
        {"--dev --pub x", "--pub: belongs to keygen"},
        {"derpmap", "derpmap: needs a configuration, -c FILE"},
        {"--takeover", "--takeover: needs a configuration with takeover.socket, -c FILE"},
        {"--takeover --dev", "--takeover: needs a configuration with takeover.socket, -c FILE"},
        {"derpmap keygen", "one of them at a time"},
        {"--dev --headscale", "--headscale: belongs to derpmap"},
        {"serve", "serve: not expected here"},
    };
    struct flags flags;
    char said[512];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(parse(&flags, cases[i].line, said, sizeof(said)), STATUS_USAGE);
        if (!strstr(said, cases[i].said))
            fail_msg("%s: said \"%s\"", cases[i].line, said);
    }
}

static void commands_are_told_apart(void **state)
{
    (void)state;
    struct flags flags;
    char said[512];

    assert_int_equal(parse(&flags, "-c x.toml", said, sizeof(said)), -1);
    assert_int_equal(flags.command, COMMAND_RUN);
    assert_string_equal(flags.config_file, "x.toml");
    assert_int_equal(parse(&flags, "--config=x.toml --check-config", said, sizeof(said)), -1);
    assert_int_equal(flags.command, COMMAND_CHECK_CONFIG);
    assert_int_equal(parse(&flags, "--print-config --workers 2", said, sizeof(said)), -1);
    assert_int_equal(flags.command, COMMAND_PRINT_CONFIG);
    assert_int_equal(parse(&flags, "keygen", said, sizeof(said)), -1);
    assert_int_equal(flags.command, COMMAND_KEYGEN);
    assert_int_equal(parse(&flags, "keygen --pub -", said, sizeof(said)), -1);
    assert_string_equal(flags.key_file, "-");
    assert_int_equal(parse(&flags, "derpmap -c x.toml --headscale", said, sizeof(said)), -1);
    assert_int_equal(flags.command, COMMAND_DERPMAP);
    assert_string_equal(flags.config_file, "x.toml");
    assert_true(flags.headscale);
    assert_string_equal(said, "");
}

static void flags_win_over_the_file(void **state)
{
    (void)state;
    static const char text[] = "workers = 3\nlog_level = \"warn\"\n"
                               "[[listener]]\naddress = \":1\"\n"
                               "[io]\nengine = \"io_uring\"\n";
    struct problems problems;
    struct config config;
    struct flags flags;
    char said[512];

    problems_init(&problems);
    assert_int_equal(config_read_bytes(&config, text, strlen(text), "x.toml", &problems), 0);
    assert_int_equal(parse(&flags, "-c x.toml", said, sizeof(said)), -1);
    assert_int_equal(flags_apply(&flags, &config), 0);
    assert_int_equal(config.workers, 3);
    assert_string_equal(config.listeners[0].address, ":1");
    assert_string_equal(config.metrics.address, ":9090");
    assert_string_equal(config.stun_address, ":3478");

    assert_int_equal(parse(&flags,
                           "-c x.toml --workers 5 --engine epoll --log-level debug --listen :7 "
                           "--listen [::1]:8",
                           said, sizeof(said)),
                     -1);
    assert_int_equal(flags_apply(&flags, &config), 0);
    assert_int_equal(config.workers, 5);
    assert_int_equal(config.io.engine, HYPERDERP_ENGINE_EPOLL);
    assert_int_equal(config.log_level, HYPERDERP_LOG_DEBUG);
    assert_int_equal(config.listener_count, 2);
    assert_string_equal(config.listeners[0].address, ":7");
    assert_string_equal(config.listeners[1].address, "[::1]:8");
    assert_false(config.listeners[0].tls);
    config_free(&config);
    problems_free(&problems);
}

/* Neither file nor command line says where to listen. */
static void the_default_is_tls_on_443(void **state)
{
    (void)state;
    struct config config;
    struct flags flags;
    char said[512];

    assert_int_equal(config_init(&config), 0);
    assert_int_equal(parse(&flags, "-c x.toml", said, sizeof(said)), -1);
    assert_int_equal(flags_apply(&flags, &config), 0);
    assert_int_equal(config.listener_count, 1);
    assert_string_equal(config.listeners[0].address, ":443");
    assert_true(config.listeners[0].tls);
    assert_true(config_has_tls(&config));
    assert_int_equal(parse(&flags, "-c x.toml --listen :7", said, sizeof(said)), -1);
    assert_int_equal(flags_apply(&flags, &config), 0);
    assert_int_equal(config.listener_count, 1);
    assert_false(config_has_tls(&config));
    config_free(&config);
}

static void without_a_file_nothing_else_is_opened(void **state)
{
    (void)state;
    struct config config;
    struct flags flags;
    char said[512];

    assert_int_equal(config_init(&config), 0);
    assert_int_equal(parse(&flags, "--listen 127.0.0.1:0", said, sizeof(said)), -1);
    assert_int_equal(flags_apply(&flags, &config), 0);
    assert_string_equal(config.metrics.address, "");
    assert_string_equal(config.stun_address, "");
    assert_int_equal(parse(&flags, "--dev", said, sizeof(said)), -1);
    assert_int_equal(flags_apply(&flags, &config), 0);
    assert_string_equal(config.listeners[0].address, "127.0.0.1:3340");
    assert_string_equal(config.metrics.address, "127.0.0.1:9090");
    assert_string_equal(config.stun_address, "");
    config_free(&config);
}

static void near_names_are_near(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("abc", ""), 3);
    assert_int_equal(nearest_distance("abc", "abd"), 1);
    assert_int_equal(nearest_distance("abc", "acb"), 1);
    assert_int_equal(nearest_distance("metrics", "mertics"), 1);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_is_told),
        cmocka_unit_test(commands_are_told_apart),
        cmocka_unit_test(flags_win_over_the_file),
        cmocka_unit_test(the_default_is_tls_on_443),
        cmocka_unit_test(without_a_file_nothing_else_is_opened),
        cmocka_unit_test(near_names_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
