/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon with what it leaves itself: it does its work, and has no more than it should. That the
 * sandbox is on by default makes every other test one of it as well. */
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service.h"
#include "traffic.h"

#define LISTENER "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"
#define CONFIG   78

/* With a name, as a machine need not have one that a certificate can be for. */
#define TLS_LISTENER                                                                               \
    "[[listener]]\naddress = \"127.0.0.1:0\"\n[tls]\nhostname = \"derp.example.com\"\n"

/* A line of /proc/PID/status, without its name; valid until the next call. */
static const char *status_line(struct process *daemon, const char *name)
{
    static char line[256];
    char path[64];
    size_t len = strlen(name);

    snprintf(path, sizeof(path), "/proc/%d/status", (int)process_pid(daemon));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            fclose(file);
            line[strcspn(line, "\n")] = '\0';
            return line + len + 1 + strspn(line + len + 1, "\t ");
        }
    fclose(file);
    fail_msg("no %s in %s", name, path);
    return NULL;
}

/* Packets pass, metrics answer, a reload is applied. */
static void use(struct process *daemon)
{
    struct pair *pair = pair_start(process_address(daemon), 500, 400);
    int64_t end = now_us() + PATIENCE_MS * INT64_C(1000);

    while (service_metric(daemon, "hyper_derp_packets_delivered_total") < 100)
        assert_true(now_us() < end);
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "reloaded");
    pair_stop(pair, "a reload", A_SECOND_US);
}

static void test_is_on_by_default(void **state)
{
    if (SANITIZED) {
        print_message("not in a build with sanitizers\n");
        skip();
    }
    service_make_folder();
    service_write_text(*state, matrix_is_tls() ? TLS_LISTENER : LISTENER);
    struct process *daemon = service_start();
    assert_string_equal(status_line(daemon, "Seccomp"), "2");
    assert_string_equal(status_line(daemon, "NoNewPrivs"), "1");
    assert_string_equal(status_line(daemon, "Seccomp_filters"), "2"); /* the start is over */
    if (geteuid() != 0)
        assert_string_equal(status_line(daemon, "CapEff"), "0000000000000000");
    use(daemon);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

static void test_can_be_off(void **state)
{
    service_make_folder();
    service_write_text(*state, "sandbox = \"off\"\n" LISTENER);
    struct process *daemon = service_start();
    assert_string_equal(status_line(daemon, "Seccomp"), "0");
    use(daemon);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

static void test_becomes_a_user(void **state)
{
    const struct passwd *nobody = getpwnam("nobody");
    char command[256], uids[64];

    if (geteuid() != 0 || !nobody) {
        print_message("only root can become another user\n");
        skip();
    }
    service_make_folder();
    service_write_text(*state, "user = \"nobody\"\n" TLS_LISTENER);
    snprintf(command, sizeof(command), "chown -R nobody '%s'", service_folder);
    assert_int_equal(system(command), 0);
    struct process *daemon = service_start();
    snprintf(uids, sizeof(uids), "%u\t%u\t%u\t%u", nobody->pw_uid, nobody->pw_uid, nobody->pw_uid,
             nobody->pw_uid);
    assert_string_equal(status_line(daemon, "Uid"), uids);
    assert_null(strstr(status_line(daemon, "Gid"), "\t0"));
    assert_string_equal(status_line(daemon, "CapEff"), "0000000000000400"); /* NET_BIND_SERVICE */
    assert_string_equal(status_line(daemon, "CapPrm"), "0000000000000400");
    /* Its files are its own. */
    struct stat info;
    assert_int_equal(stat(service_key, &info), 0);
    assert_int_equal(info.st_uid, nobody->pw_uid);
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "reloaded");
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

static void test_user_that_there_is_not(void **state)
{
    service_make_folder();
    service_write_text(*state, "user = \"no-such-user-here\"\n" LISTENER);
    struct process *daemon = service_refuses(CONFIG);
    assert_contains(process_log(daemon), "no-such-user-here: there is no such user");
    process_free(daemon);
    service_remove_folder();
}

/* A reload that names a folder of which the sandbox knows nothing says so. */
static void test_reload_names_another_folder(void **state)
{
    char folder[] = "/tmp/hyper-derp-elsewhere.XXXXXX", text[512], keys[96], expected[160];

    if (SANITIZED) {
        print_message("not in a build with sanitizers\n");
        skip();
    }
    service_make_folder();
    service_write_text(*state, LISTENER);
    struct process *daemon = service_start();
    if (strstr(process_log(daemon), "files (Landlock): ")) {
        process_stop(daemon);
        process_free(daemon);
        service_remove_folder();
        print_message("this kernel has no Landlock\n");
        skip();
    }
    assert_non_null(mkdtemp(folder));
    snprintf(keys, sizeof(keys), "%s/keys", folder);
    FILE *out = fopen(keys, "w");
    assert_non_null(out);
    fclose(out);
    snprintf(text, sizeof(text), LISTENER "[access]\nallow_keys_file = \"%s\"\n", keys);
    service_write_text(*state, text);
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "was not reloaded");
    snprintf(expected, sizeof(expected), "access.allow_keys_file %s: the sandbox", keys);
    assert_contains(process_log(daemon), expected);

    /* In the folder of the configuration it is found. */
    snprintf(keys, sizeof(keys), "%s/keys", service_folder);
    out = fopen(keys, "w");
    assert_non_null(out);
    fclose(out);
    snprintf(text, sizeof(text), LISTENER "[access]\nallow_keys_file = \"%s\"\n", keys);
    service_write_text(*state, text);
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "reloaded");
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
    snprintf(text, sizeof(text), "rm -rf '%s'", folder);
    assert_int_equal(system(text), 0);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"is_on_by_default", test_is_on_by_default, CELLS_ALL | CELLS_TLS},
        {"can_be_off", test_can_be_off, CELLS_ENGINES},
        {"becomes_a_user", test_becomes_a_user, CELLS_ENGINES},
        {"user_that_there_is_not", test_user_that_there_is_not, CELLS_ONE},
        {"reload_names_another_folder", test_reload_names_another_folder, CELLS_ONE},
    };
    return matrix_run("sandbox", tests, sizeof(tests) / sizeof(tests[0]));
}
