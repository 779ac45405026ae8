/* SPDX-License-Identifier: BSD-3-Clause */
/* One process takes another one's place while clients send and connect: nobody is refused, and each
 * pair is together again after one reconnect. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "crowd.h"
#include "manager.h"
#include "service.h"
#include "traffic.h"

#define CONFIG   78
#define SYSTEM   71
#define PAIRS    12
#define UPGRADES 3

/* For how long a pair may be apart: a millisecond a client, and a reconnect. Half a second is the
 * most that has been seen, on a machine that did other things too. */
#define GAP_US (SANITIZED ? 10000000 : 3000000)

/* A listener of TCP, one in the file system, and a socket to take over by. */
static void write_config(const struct cell *cell, const char *more)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = %s\n"
             "[[listener]]\naddress = \"unix:%s/x.sock\"\ntls = false\n"
             "[tls]\nhostname = \"127.0.0.1\"\n"
             "%s",
             matrix_is_tls() ? "true" : "false", service_folder, more);
    service_write_text(cell, text);
}

static void write_takeover_config(const struct cell *cell)
{
    char more[256];

    snprintf(more, sizeof(more), "[takeover]\nsocket = \"%s/takeover.sock\"\n", service_folder);
    write_config(cell, more);
}

static struct process *spawn_to_take_over(void)
{
    return process_spawn(DAEMON, (const char *[]){"--takeover", "-c", service_file, NULL}, -1);
}

static struct process *take_over(struct process *before)
{
    struct process *after = spawn_to_take_over();

    process_await_ready(after);
    assert_string_equal(process_address(after), process_address(before));
    assert_int_equal(process_wait(before, PATIENCE_MS), 0);
    assert_contains(process_log(before), "another process has taken over");
    process_stop(before); /* has ended: each packet was delivered or is accounted for */
    process_free(before);
    return after;
}

/* Somebody connects over the socket in the file system. */
static bool connects_by_file(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(un.sun_path, sizeof(un.sun_path), "%s/x.sock", service_folder);
    bool done = connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0;
    close(fd);
    return done;
}

static bool file_is_there(const char *name)
{
    char path[128];
    struct stat info;

    snprintf(path, sizeof(path), "%s/%s", service_folder, name);
    return stat(path, &info) == 0;
}

static void test_takeover(void **state)
{
    service_make_folder();
    write_takeover_config(*state);
    struct process *daemon = spawn_to_take_over();
    process_await_ready(daemon);
    assert_contains(process_log(daemon), "to take over from"); /* nobody was there */
    struct crowd *crowd = crowd_start(process_address(daemon), PAIRS);
    for (unsigned i = 0; i < UPGRADES; i++) {
        daemon = take_over(daemon);
        crowd_await(crowd, i + 2);
        assert_true(connects_by_file());
        assert_true(service_metric(daemon, "hyper_derp_peers_active") >= 2 * PAIRS);
    }
    crowd_stop(crowd, "takeovers", UPGRADES + 1, GAP_US);
    assert_true(file_is_there("x.sock"));
    process_stop(daemon);
    process_free(daemon);
    assert_false(file_is_there("x.sock"));
    assert_false(file_is_there("takeover.sock"));
    service_remove_folder();
}

/* One that cannot start leaves the old one as it was, and so does one that does not ask. */
static void test_failed_takeover(void **state)
{
    char others[192];
    struct stat info;

    service_make_folder();
    write_takeover_config(*state);
    struct process *daemon = service_start();
    struct crowd *crowd = crowd_start(process_address(daemon), 2);
    snprintf(others, sizeof(others), "%s/takeover.sock", service_folder);
    assert_int_equal(stat(others, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);

    /* It fails behind the handing over: nobody here can listen there. */
    snprintf(others, sizeof(others),
             "[[listener]]\naddress = \"192.0.2.1:9\"\ntls = false\n"
             "[takeover]\nsocket = \"%s/takeover.sock\"\n",
             service_folder);
    write_config(*state, others);
    struct process *failed = spawn_to_take_over();
    assert_int_equal(process_wait(failed, PATIENCE_MS), SYSTEM);
    process_free(failed);
    process_await_log(daemon, "the process that would take over has ended: going on");
    assert_true(connects_by_file());

    write_takeover_config(*state);
    failed = service_refuses(SYSTEM);
    assert_contains(process_log(failed), "--takeover takes its place");
    process_free(failed);

    write_config(*state, "");
    failed = spawn_to_take_over();
    assert_int_equal(process_wait(failed, PATIENCE_MS), CONFIG);
    assert_contains(process_log(failed), "takeover.socket is not set");
    process_free(failed);

    write_takeover_config(*state);
    daemon = take_over(daemon);
    crowd_await(crowd, 2);
    crowd_stop(crowd, "a takeover after two that failed", 2, GAP_US);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

/* A signal in the middle of it ends the old one at once; the new one goes on. */
static void test_takeover_cut_short(void **state)
{
    struct client_socket *client[50];
    char more[256];

    service_make_folder();
    snprintf(more, sizeof(more), "[takeover]\nsocket = \"%s/takeover.sock\"\nspread = \"60s\"\n",
             service_folder);
    write_config(*state, more);
    struct process *daemon = service_start();
    for (unsigned i = 0; i < 50; i++)
        client[i] = client_join(process_address(daemon), NULL);
    struct process *after = spawn_to_take_over();
    process_await_ready(after);
    process_await_log(daemon, "another process has taken over");
    kill(process_pid(daemon), SIGTERM);
    assert_int_equal(process_wait(daemon, PATIENCE_MS), 0);
    for (unsigned i = 0; i < 50; i++) {
        (void)client_expect(client[i], CLIENT_MESSAGE_RESTARTING);
        client_socket_close(client[i]);
    }
    process_stop(daemon);
    process_free(daemon);
    client_socket_close(client_join(process_address(after), NULL));
    process_stop(after);
    process_free(after);
    service_remove_folder();
}

/* ---- Under a service manager ---- */

static struct process *restart(struct manager *manager, struct process *before)
{
    kill(process_pid(before), SIGTERM);
    assert_int_equal(process_wait(before, PATIENCE_MS), 0);
    struct process *after = manager_start(manager);
    process_stop(before);
    process_free(before);
    return after;
}

static void test_restart(void **state)
{
    char address[64];

    service_make_folder();
    write_config(*state, "");
    struct manager *manager = manager_new();
    struct process *daemon = manager_start(manager);
    assert_int_equal(manager_stored(manager), 4); /* two listeners, STUN, metrics */
    snprintf(address, sizeof(address), "%s", process_address(daemon));
    struct crowd *crowd = crowd_start(address, PAIRS);
    for (unsigned i = 0; i < UPGRADES; i++) {
        daemon = restart(manager, daemon);
        assert_string_equal(process_address(daemon), address);
        crowd_await(crowd, i + 2);
        assert_true(connects_by_file());
        assert_true(service_metric(daemon, "hyper_derp_peers_active") >= 2 * PAIRS);
        assert_int_equal(manager_stored(manager), 4);
    }
    crowd_stop(crowd, "restarts by a service manager", UPGRADES + 1, GAP_US);
    process_stop(daemon);
    process_free(daemon);
    manager_free(manager);
    service_remove_folder();
}

/* Killed: what it listened on is with the manager all the same. */
static void test_restart_after_a_crash(void **state)
{
    char address[64];

    service_make_folder();
    write_config(*state, "");
    struct manager *manager = manager_new();
    struct process *daemon = manager_start(manager);
    snprintf(address, sizeof(address), "%s", process_address(daemon));
    client_socket_close(client_join(address, NULL));
    process_kill(daemon);
    process_free(daemon);
    int waiting = tcp_connect(address); /* nobody is there to refuse it */
    daemon = manager_start(manager);
    assert_false(tcp_await_end(waiting, 50));
    close(waiting);
    client_socket_close(client_join(address, NULL));
    process_stop(daemon);
    process_free(daemon);
    manager_free(manager);
    service_remove_folder();
}

/* Sockets of listeners that are gone from the configuration are closed, and taken out. */
static void test_listeners_change(void **state)
{
    char text[512];

    service_make_folder();
    write_config(*state, "");
    struct manager *manager = manager_new();
    struct process *daemon = manager_start(manager);
    assert_true(manager_has(manager, "x.sock"));
    assert_false(manager_has(manager, "y.sock"));
    snprintf(text, sizeof(text),
             "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = %s\n"
             "[[listener]]\naddress = \"unix:%s/y.sock\"\ntls = false\n"
             "[[listener]]\naddress = \"127.0.0.2:0\"\ntls = false\n"
             "[tls]\nhostname = \"127.0.0.1\"\n",
             matrix_is_tls() ? "true" : "false", service_folder);
    service_write_text(*state, text);
    unsigned port = process_port(daemon);
    daemon = restart(manager, daemon);
    assert_int_equal(process_port(daemon), port);
    assert_contains(process_log(daemon), "x.sock: it is for no listener any more");
    assert_false(manager_has(manager, "x.sock"));
    assert_true(manager_has(manager, "y.sock"));
    assert_int_equal(manager_stored(manager), 5);
    assert_false(connects_by_file());
    process_stop(daemon);
    process_free(daemon);
    manager_free(manager);
    service_remove_folder();
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"takeover", test_takeover, CELLS_ALL | CELLS_TLS},
        {"failed_takeover", test_failed_takeover, CELLS_ENGINES},
        {"takeover_cut_short", test_takeover_cut_short, CELLS_ENGINES},
        {"restart", test_restart, CELLS_ALL | CELLS_TLS},
        {"restart_after_a_crash", test_restart_after_a_crash, CELLS_ENGINES},
        {"listeners_change", test_listeners_change, CELLS_ONE},
    };
    return matrix_run("upgrade", tests, sizeof(tests) / sizeof(tests[0]));
}
