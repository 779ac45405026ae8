/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may join, by the list and by a URL, and what a change of them brings. Clients that are
 * connected are the business of the interop tests. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <hyperderp/hyperderp.h>

#include "access.h"
#include "http_server.h"

static char path[] = "/tmp/hyper-derp-access.XXXXXX";
static struct access *access_;
static struct problems problems;

static int set_up(void **state)
{
    (void)state;
    log_set_level(HYPERDERP_LOG_ERROR);
    problems_init(&problems);
    access_ = access_new();
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    return access_ && fd >= 0 ? close(fd) : -1;
}

static int tear_down(void **state)
{
    (void)state;
    access_free(access_);
    problems_free(&problems);
    return unlink(path);
}

static void write_list(const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static struct config_access config(const char *list, const char *url)
{
    return (struct config_access){.allow_keys_file = (char *)(uintptr_t)list,
                                  .tailscaled_socket = "",
                                  .verify_client_url = (char *)(uintptr_t)url,
                                  .verify_timeout_ms = 5000};
}

static int change(const char *list, const char *url)
{
    const struct config_access wanted = config(list, url);
    struct access_change *next;
    int error = access_prepare(access_, &next, &wanted, &problems);

    if (error == 0)
        access_commit(access_, next);
    else
        assert_null(next);
    return error;
}

/* Without a ticket a client that is told why it is refused is one that is answered later. */
#define REFUSED HYPERDERP_LATER

static hyperderp_verdict admit(const char *digits)
{
    hyperderp_client_info client = {
        .size = sizeof(client), .address = "192.0.2.1:4242", .app_name = ""};

    assert_int_equal(hyperderp_key_parse(&client.key, digits), 0);
    return access_admit(access_, &client, NULL);
}

#define A "1111111111111111111111111111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222222222222222222222222222"

static void without_a_configuration_everyone_may(void **state)
{
    struct access_figures figures;

    (void)state;
    assert_int_equal(admit(A), HYPERDERP_ALLOW);
    assert_int_equal(change("", ""), 0);
    assert_int_equal(admit(A), HYPERDERP_ALLOW);
    access_read(access_, &figures);
    for (unsigned i = 0; i < ACCESS_REASONS; i++)
        assert_int_equal(figures.refused[i] + figures.closed[i], 0);
    access_read(NULL, &figures);
    assert_int_equal(figures.listed, 0);
}

static void the_list_decides_and_changes(void **state)
{
    struct access_figures figures;

    (void)state;
    write_list("nodekey:" A "\n");
    assert_int_equal(change(path, ""), 0);
    assert_int_equal(admit(A), HYPERDERP_ALLOW);
    assert_int_equal(admit(B), REFUSED);
    write_list("nodekey:" B "\n");
    assert_int_equal(admit(B), REFUSED); /* not before it is read */
    assert_int_equal(change(path, ""), 0);
    assert_int_equal(admit(A), REFUSED);
    assert_int_equal(admit(B), HYPERDERP_ALLOW);
    access_read(access_, &figures);
    assert_int_equal(figures.refused[ACCESS_ALLOW_KEYS], 3);
    assert_int_equal(figures.listed, 1);
    write_list("# nobody\n");
    assert_int_equal(change(path, ""), 0);
    assert_int_equal(admit(B), REFUSED); /* an empty list is one */
    assert_int_equal(change("", ""), 0);
    assert_int_equal(admit(A), HYPERDERP_ALLOW);
}

static void a_bad_list_changes_nothing(void **state)
{
    const struct config_access wanted = config(path, "");

    (void)state;
    write_list("nodekey:" A "\n");
    assert_int_equal(change(path, ""), 0);
    assert_int_equal(access_check(&wanted, &problems), 0);
    write_list("nodekey:" B "\nnodekey:\n");
    assert_int_equal(access_check(&wanted, &problems), -EINVAL);
    assert_int_equal(problems.count, 1);
    assert_int_equal(problems.list[0].place.line, 2);
    assert_int_equal(change(path, ""), -EINVAL);
    assert_int_equal(change("/nonexistent", "http://127.0.0.1:1/"), -EINVAL);
    assert_int_equal(admit(A), HYPERDERP_ALLOW);
    assert_int_equal(admit(B), REFUSED);
}

static void what_was_prepared_may_be_dropped(void **state)
{
    const struct config_access wanted = config(path, "http://127.0.0.1:1/");
    struct access_change *next;

    (void)state;
    write_list("nodekey:" A "\n");
    assert_int_equal(access_prepare(access_, &next, &wanted, &problems), 0);
    access_drop(next);
    access_drop(NULL);
    assert_int_equal(admit(B), HYPERDERP_ALLOW);
}

static void who_is_not_in_the_list_is_not_asked_about(void **state)
{
    struct http_server server;

    (void)state;
    http_server_start(&server, false, "{\"Allow\":true}");
    write_list("nodekey:" A "\n");
    assert_int_equal(change(path, server.url), 0);
    assert_int_equal(admit(B), REFUSED);
    assert_int_equal(http_server_requests(&server), 0);
    http_server_stop(&server);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_a_configuration_everyone_may),
        T(the_list_decides_and_changes),
        T(a_bad_list_changes_nothing),
        T(what_was_prepared_may_be_dropped),
        T(who_is_not_in_the_list_is_not_asked_about),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
