/* SPDX-License-Identifier: BSD-3-Clause */
/* --check-config and --print-config: what they print, where, and their exit status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands.h"

struct run {
    char file[64];
    int status;
    char output[8192], errors[8192];
};

/* A stream of the process, caught in a temporary file meanwhile. */
struct caught {
    FILE *stream, *file;
    int before;
};

static void catch_stream(struct caught *caught, FILE *stream)
{
    fflush(stream);
    *caught = (struct caught){stream, tmpfile(), dup(fileno(stream))};
    assert_non_null(caught->file);
    dup2(fileno(caught->file), fileno(stream));
}

static void let_stream(struct caught *caught, char *text, size_t room)
{
    fflush(caught->stream);
    dup2(caught->before, fileno(caught->stream));
    close(caught->before);
    rewind(caught->file);
    text[fread(text, 1, room - 1, caught->file)] = '\0';
    fclose(caught->file);
}

static void run_on(struct run *run, const char *text, struct flags flags,
                   int (*command)(const struct flags *))
{
    struct caught output, errors;

    strcpy(run->file, "/tmp/hyper-derp-test-XX"
                      "XXXX.toml");
    int fd = mkstemps(run->file, 5);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    flags.config_file = run->file;
    catch_stream(&output, stdout);
    catch_stream(&errors, stderr);
    run->status = command(&flags);
    let_stream(&errors, run->errors, sizeof(run->errors));
    let_stream(&output, run->output, sizeof(run->output));
    unlink(run->file);
}

static const char good[] = "workers = 2\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n";

static void a_good_file_is_called_good(void **state)
{
    (void)state;
    struct run run;
    char said[128];

    run_on(&run, good, (struct flags){0}, command_check_config);
    assert_int_equal(run.status, STATUS_OK);
    snprintf(said, sizeof(said), "%s: the configuration is good\n", run.file);
    assert_string_equal(run.output, said);
    assert_string_equal(run.errors, "");
}

/* Faults of keys and of the whole are told in one go. */
static void all_problems_are_printed(void **state)
{
    (void)state;
    struct run run;
    char said[1024];

    run_on(&run,
           "wrokers = 2\n[[listener]]\naddress = \":1\"\n[tls]\ncert = \"/c\"\n[metrics]\ntls_key "
           "= \"/k\"\n"
           "[limits]\nqueue_frames = -1\n",
           (struct flags){0}, command_check_config);
    assert_int_equal(run.status, STATUS_CONFIG);
    assert_string_equal(run.output, "");
    const char *f = run.file;
    snprintf(said, sizeof(said),
             "%s:1:1: unknown key wrokers: did you mean workers?\n"
             "%s:9:16: limits.queue_frames: expected an integer from 1 to 1048576, or 0, found "
             "-1\n"
             "%s: tls.cert and tls.key: give both or neither\n"
             "%s: metrics.tls_cert and metrics.tls_key: give both or neither\n",
             f, f, f, f);
    assert_string_equal(run.errors, said);
}

static void the_list_of_keys_is_read(void **state)
{
    (void)state;
    struct run run;
    char text[256], keys[] = "/tmp/hyper-derp-keys.XXXXXX", said[256];
    int fd = mkstemp(keys);

    assert_true(fd >= 0);
    snprintf(text, sizeof(text), "%s[access]\nallow_keys_file = \"%s\"\n", good, keys);
    run_on(&run, text, (struct flags){0}, command_check_config);
    assert_int_equal(run.status, STATUS_OK);
    assert_int_equal(write(fd, "# me\nkey\n", 9), 9);
    close(fd);
    run_on(&run, text, (struct flags){0}, command_check_config);
    assert_int_equal(run.status, STATUS_CONFIG);
    snprintf(said, sizeof(said),
             "%s:2:1: expected nodekey: and 64 hexadecimal digits, or a comment after #\n", keys);
    assert_string_equal(run.errors, said);
    unlink(keys);
}

/* A short name is near to no key, and least of all to one without a name. */
static void a_guess_is_never_empty(void **state)
{
    (void)state;
    struct run run;
    char said[128];

    run_on(&run, "a = 1\n", (struct flags){0}, command_check_config);
    assert_int_equal(run.status, STATUS_CONFIG);
    snprintf(said, sizeof(said), "%s:1:1: unknown key a\n", run.file);
    assert_string_equal(run.errors, said);
}

static void what_is_printed_is_in_effect(void **state)
{
    (void)state;
    struct run run;

    run_on(&run, good, (struct flags){.has_workers = true, .workers = 7}, command_print_config);
    assert_int_equal(run.status, STATUS_OK);
    assert_string_equal(run.errors, "");
    assert_non_null(strstr(run.output, "workers = 7\n"));
    assert_non_null(strstr(run.output, "\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"));
    assert_non_null(strstr(run.output, "\n[stun]\naddress = \":3478\"\n"));
    run_on(&run, "workers = 300\n", (struct flags){0}, command_print_config);
    assert_int_equal(run.status, STATUS_CONFIG);
    assert_string_equal(run.output, "");
}

/* A token in the URL is neither printed nor named in what is said of a mistake. */
static void secrets_are_not_printed(void **state)
{
    static const char *const urls[] = {"https://control.example:8443/verify/t0ken",
                                       "https://control.example:8443?key=t0ken",
                                       "https://control.example:8443#t0ken"};
    char text[256];
    struct run run;

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        snprintf(text, sizeof(text), "[access]\nverify_client_url = \"%s\"\n", urls[i]);
        run_on(&run, text, (struct flags){0}, command_print_config);
        assert_int_equal(run.status, STATUS_OK);
        assert_non_null(
            strstr(run.output, "\nverify_client_url = \"https://control.example:8443/***\"\n"));
        assert_null(strstr(run.output, "t0ken"));
    }
    run_on(&run, "[access]\nverify_client_url = \"https://relay:t0ken@control.example/\"\n",
           (struct flags){0}, command_print_config);
    assert_int_equal(run.status, STATUS_CONFIG);
    assert_non_null(strstr(run.errors, "access.verify_client_url: expected a URL"));
    assert_null(strstr(run.errors, "t0ken"));
}

/* What a file leaves out is there, the listener as well. */
static void the_default_listener_is_printed(void **state)
{
    (void)state;
    struct run run;

    run_on(&run, "workers = 2\n", (struct flags){0}, command_print_config);
    assert_int_equal(run.status, STATUS_OK);
    assert_non_null(strstr(run.output, "\n[[listener]]\naddress = \":443\"\ntls = true\n"));
}

static void files_of_certificates_are_looked_into(void **state)
{
    (void)state;
    struct run run;

    run_on(&run, "[tls]\ncert = \"/nonexistent.pem\"\nkey = \"/nonexistent.key\"\n",
           (struct flags){0}, command_check_config);
    assert_int_equal(run.status, STATUS_CONFIG);
    assert_string_equal(run.output, "");
    assert_string_equal(run.errors, "hyper-derp: certificate: /nonexistent.pem: No such file or "
                                    "directory\n");
    /* Not where no listener has TLS, and none is made. */
    run_on(&run,
           "[[listener]]\ntls = false\n[tls]\ncert = \"/nonexistent.pem\"\n"
           "key = \"/nonexistent.key\"\n",
           (struct flags){0}, command_check_config);
    assert_int_equal(run.status, STATUS_OK);
    run_on(&run, "key_file = \"/nonexistent/derp.key\"\n", (struct flags){0}, command_check_config);
    assert_int_equal(run.status, STATUS_OK);
    assert_string_equal(run.errors, "");
}

/* What the map cannot know is said on standard error, and what it needs is asked for. */
static void the_map_says_what_it_lacks(void **state)
{
    (void)state;
    struct run run;

    run_on(&run, "[[listener]]\ntls = false\n[tls]\nhostname = \"a.example\"\n", (struct flags){0},
           command_derpmap);
    assert_int_equal(run.status, STATUS_OK);
    assert_non_null(strstr(run.output, "\"DERPPort\": 443"));
    assert_null(strstr(run.output, "CertName"));
    assert_non_null(strstr(run.errors, "no listener has TLS: port 443 is that of a proxy"));
    run_on(&run, "[tls]\nhostname = \"a.example\"\n[[listener]]\ntls = false\n",
           (struct flags){.headscale = true}, command_derpmap);
    assert_int_equal(run.status, STATUS_OK);
    assert_non_null(strstr(run.output, "        hostname: \"a.example\"\n"));

    run_on(&run, "workers = 1\n", (struct flags){0}, command_derpmap);
    assert_int_equal(run.status, STATUS_CONFIG);
    assert_string_equal(run.output, "");
    assert_non_null(strstr(run.errors, ": tls.hostname is not set: set it to the name"));
    run_on(&run, "key_file = \"/nonexistent/a/derp.key\"\n[tls]\nhostname = \"a.example\"\n",
           (struct flags){0}, command_derpmap);
    assert_int_equal(run.status, STATUS_IO);
    assert_string_equal(run.output, "");
    assert_non_null(strstr(run.errors, "cannot be made: No such file or directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_called_good),
        cmocka_unit_test(all_problems_are_printed),
        cmocka_unit_test(the_list_of_keys_is_read),
        cmocka_unit_test(a_guess_is_never_empty),
        cmocka_unit_test(secrets_are_not_printed),
        cmocka_unit_test(the_default_listener_is_printed),
        cmocka_unit_test(files_of_certificates_are_looked_into),
        cmocka_unit_test(the_map_says_what_it_lacks),
        cmocka_unit_test(what_is_printed_is_in_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
