/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon as a person meets it: its command line, its messages, its signals. */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay_process.h"
#include "traffic.h"

#define USAGE  64
#define SYSTEM 71
#define CONFIG 78

#define MAX_ARGUMENTS 40

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

/* Runs the daemon to its end. */
static struct process *run(const char *const *arguments, int status)
{
    struct process *daemon = process_spawn(DAEMON, arguments, -1);

    int got = process_wait(daemon, PATIENCE_MS);
    if (got != status)
        fail_msg("%s: exit status %d, not %d:\n%s", arguments[0] ? arguments[0] : "no arguments",
                 got, status, process_log(daemon));
    return daemon;
}

static void test_help(void **state)
{
    static const char *const flags[] = {"--dev",    "--listen",         "--workers",
                                        "--engine", "--log-level",      "--version",
                                        "--help",   "Usage: hyper-derp"};
    (void)state;

    struct process *daemon = run((const char *[]){"--help", NULL}, 0);
    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        assert_contains(process_output(daemon), flags[i]);
    assert_string_equal(process_log(daemon), "");
    process_free(daemon);

    daemon = run((const char *[]){"--version", NULL}, 0);
    assert_contains(process_output(daemon), "hyper-derp ");
    assert_contains(process_output(daemon), hyperderp_version());
    assert_string_equal(process_log(daemon), "");
    process_free(daemon);
}

static void test_wrong_flags(void **state)
{
    static const struct {
        const char *arguments[4];
        const char *says;
    } cases[] = {
        {{NULL}, "nowhere to listen"},
        {{"--workers", "2", NULL}, "nowhere to listen"},
        {{"--no-such-flag", NULL}, "no-such-flag"},
        {{"-x", NULL}, "-x: no such flag"},
        {{"--listen", NULL}, "--listen: needs a value"},
        {{"--dev", "extra", NULL}, "extra"},
        {{"--dev", "--workers", "0"}, "--workers 0: expected a number from 1 to 128"},
        {{"--dev", "--workers", "129"}, "129"},
        {{"--dev", "--workers", "-1"}, "-1"},
        {{"--dev", "--workers", "2x"}, "2x"},
        {{"--dev", "--workers", ""}, "expected a number"},
        {{"--dev", "--engine", "kqueue"}, "--engine kqueue: expected auto, io_uring or epoll"},
        {{"--dev", "--log-level", "loud"}, "--log-level loud: expected debug"},
        {{"--listen", "127.0.0.1", NULL}, "127.0.0.1"},
        {{"--listen", "127.0.0.1:", NULL}, "127.0.0.1:"},
        {{"--listen", "127.0.0.1:65536", NULL}, "127.0.0.1:65536"},
        {{"--listen", "127.0.0.1:ssh", NULL}, "127.0.0.1:ssh"},
        {{"--listen", "::1:3340", NULL}, "::1:3340"},
        {{"--listen", "", NULL}, "HOST:PORT"},
    };
    (void)state;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *arguments[5] = {NULL};
        memcpy(arguments, cases[i].arguments, sizeof(cases[i].arguments));
        struct process *daemon = run(arguments, USAGE);
        assert_contains(process_log(daemon), cases[i].says);
        assert_string_equal(process_output(daemon), "");
        process_free(daemon);
    }
}

static void test_many_listeners(void **state)
{
    const char *arguments[MAX_ARGUMENTS] = {NULL};
    (void)state;

    for (unsigned i = 0; i < 17; i++) {
        arguments[2 * i] = "--listen";
        arguments[2 * i + 1] = "127.0.0.1:0";
    }
    struct process *daemon = run(arguments, USAGE);
    assert_contains(process_log(daemon), "at most 16");
    process_free(daemon);

    arguments[32] = NULL;
    daemon = process_spawn(DAEMON, arguments, -1);
    process_await_ready(daemon);
    /* Each of them serves. */
    const char *at = process_log(daemon);
    struct client_socket *first = client_join(process_address(daemon), NULL);
    unsigned count = 0;
    for (; (at = strstr(at, "listening on ")) != NULL; at++, count++) {
        char address[64];
        assert_int_equal(sscanf(at, "listening on %63s", address), 1);
        struct client_socket *client = client_join(address, NULL);
        client_send(client, first, "hello", 5);
        client_expect_packet(first, client, "hello", 5);
        client_socket_close(client);
        (void)client_expect(first, CLIENT_MESSAGE_PEER_GONE);
    }
    assert_int_equal(count, 16);
    client_socket_close(first);
    process_stop(daemon);
    process_free(daemon);
}

static void test_any_address(void **state)
{
    char address[64];
    (void)state;

    struct process *daemon = process_spawn(DAEMON, (const char *[]){"--listen", ":0", NULL}, -1);
    process_await_ready(daemon);
    snprintf(address, sizeof(address), "127.0.0.1:%u", process_port(daemon));
    struct client_socket *client = client_join(address, NULL);
    client_settle(client);
    client_socket_close(client);
    process_stop(daemon);
    process_free(daemon);
}

static void test_refused_address(void **state)
{
    (void)state;
    struct process *first =
        process_spawn(DAEMON, (const char *[]){"--listen", "127.0.0.1:0", NULL}, -1);
    process_await_ready(first);

    struct process *second =
        run((const char *[]){"--listen", process_address(first), NULL}, SYSTEM);
    assert_contains(process_log(second), process_address(first));
    assert_contains(process_log(second), "Address already in use");
    process_free(second);

    /* An address for documentation, which no machine has. */
    second = run((const char *[]){"--listen", "203.0.113.7:0", NULL}, SYSTEM);
    assert_contains(process_log(second), "203.0.113.7:0");
    assert_contains(process_log(second), "no interface of this machine");
    process_free(second);
    process_stop(first);
    process_free(first);
}

static void test_config(void **state)
{
    (void)state;
    struct process *daemon = run((const char *[]){"-c", "/etc/none.toml", NULL}, CONFIG);
    assert_contains(process_log(daemon), "/etc/none.toml");
    process_free(daemon);
    daemon = run((const char *[]){"--config", "/etc/none.toml", NULL}, CONFIG);
    assert_contains(process_log(daemon), "/etc/none.toml");
    process_free(daemon);
}

static void test_log_level(void **state)
{
    const char *arguments[] = {"--listen", "127.0.0.1:0", "--log-level", "debug", NULL};
    (void)state;

    struct process *daemon = process_spawn(DAEMON, arguments, -1);
    process_await_ready(daemon);
    client_socket_close(client_join(process_address(daemon), NULL));
    process_await_log(daemon, "joined");
    process_stop(daemon);
    process_free(daemon);
    arguments[1] = "203.0.113.7:0";
    arguments[3] = "error";
    daemon = run(arguments, SYSTEM);
    assert_contains(process_log(daemon), "error");
    assert_null(strstr(process_log(daemon), "info"));
    process_free(daemon);
}

/*
 * Reads until Restarting and (from that client, unless NULL) a last packet have come. The relay's
 * own frames may overtake packets that wait, and clients on other workers may be seen leaving
 * before.
 */
static struct client_message expect_restarting(struct client_socket *client,
                                               const struct client_socket *from)
{
    struct client_message message, restarting = {.type = CLIENT_MESSAGE_NONE};
    bool packet = from == NULL;

    while (restarting.type == CLIENT_MESSAGE_NONE || !packet) {
        assert_int_equal(client_socket_recv(client, &message, PATIENCE_MS), 0);
        if (message.type == CLIENT_MESSAGE_RESTARTING) {
            restarting = message;
        } else if (message.type == CLIENT_MESSAGE_PACKET && !packet) {
            assert_true(hyperderp_key_equal(&message.peer, client_socket_key(from)));
            assert_int_equal(message.len, 4);
            assert_memory_equal(message.payload, "last", 4);
            packet = true;
        } else {
            assert_int_equal(message.type, CLIENT_MESSAGE_PEER_GONE);
        }
    }
    return restarting;
}

/* A signal ends it; its clients learn that they shall come back, and then are closed. */
static void end_by(const struct cell *cell, int signal_number, const char *name)
{
    struct process *daemon = process_start(cell, 0, -1);
    struct client_socket *clients[6];
    int silent = tcp_connect(process_address(daemon));

    for (unsigned i = 0; i < 6; i++)
        clients[i] = client_join(process_address(daemon), NULL);
    /* What was sent before still arrives. */
    for (unsigned i = 0; i < 5; i++)
        client_send(clients[5], clients[i], "last", 4);
    client_settle(clients[5]);
    int64_t begin = now_us();
    assert_int_equal(kill(process_pid(daemon), signal_number), 0);
    for (unsigned i = 0; i < 6; i++) {
        struct client_message message = expect_restarting(clients[i], i < 5 ? clients[5] : NULL);
        assert_true(message.try_for_ms > 0);
        assert_true(message.reconnect_in_ms < 60000);
        assert_true(tcp_await_end(client_socket_fd(clients[i]), PATIENCE_MS));
    }
    assert_true(tcp_await_end(silent, PATIENCE_MS));
    assert_int_equal(process_wait(daemon, PATIENCE_MS), 0);
    assert_true(now_us() - begin < A_SECOND_US);
    assert_contains(process_log(daemon), name);
    for (unsigned i = 0; i < 6; i++)
        client_socket_close(clients[i]);
    close(silent);
    process_stop(daemon); /* has ended: checks the counters */
    assert_int_equal(process_counter(daemon, "packets_delivered"), 5);
    process_free(daemon);
}

static void test_signals_end(void **state)
{
    end_by(*state, SIGTERM, "SIGTERM: draining");
    end_by(*state, SIGINT, "SIGINT: draining");
}

static void test_other_signals(void **state)
{
    struct process *daemon = process_start(*state, 0, -1);
    struct client_socket *client = client_join(process_address(daemon), NULL);

    for (unsigned i = 0; i < 3; i++) {
        kill(process_pid(daemon), SIGUSR1);
        kill(process_pid(daemon), SIGHUP);
        kill(process_pid(daemon), SIGPIPE);
        client_settle(client);
    }
    process_await_log(daemon, "SIGHUP: ");
    client_settle(client);
    client_socket_close(client);
    process_stop(daemon);
    process_free(daemon);
}

/* While a client that does not read keeps the drain waiting, a second signal ends it. */
static void test_second_signal(void **state)
{
    static uint8_t packet[1200];
    struct process *daemon = process_start(*state, 0, -1);
    struct client_socket *sender = client_join(process_address(daemon), NULL);
    struct client_socket *stalled = client_join(process_address(daemon), NULL);

    for (unsigned i = 0; i < 10000; i++)
        client_send(sender, stalled, packet, sizeof(packet));
    client_settle(sender);
    kill(process_pid(daemon), SIGTERM);
    process_await_log(daemon, "draining");
    (void)expect_restarting(sender, NULL);
    int64_t begin = now_us();
    kill(process_pid(daemon), SIGINT);
    assert_int_equal(process_wait(daemon, PATIENCE_MS), 0);
    assert_true(now_us() - begin < A_SECOND_US);
    assert_contains(process_log(daemon), "stopping at once");
    client_socket_close(sender);
    client_socket_close(stalled);
    process_stop(daemon);
    process_free(daemon);
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool is = bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 1) == 0;
    close(fd);
    return is;
}

/* What it says to type next works. */
static void test_dev(void **state)
{
    static const char next[] = "build/hyper-derp-bench --relay 127.0.0.1:3340";
    (void)state;

    if (!is_free(3340)) {
        print_message("port 3340 is in use\n");
        skip();
    }
    struct process *daemon = process_spawn(DAEMON, (const char *[]){"--dev", NULL}, -1);
    process_await_ready(daemon);
    assert_string_equal(process_address(daemon), "127.0.0.1:3340");
    const char *arguments[] = {"--relay", "127.0.0.1:3340", "--duration", "1", "--rate",
                               "500",     "--warmup",       "0",          NULL};
    struct process *bench = process_spawn(BENCH, arguments, -1);
    assert_int_equal(process_wait(bench, PATIENCE_MS), 0);
    process_free(bench);
    assert_contains(process_output(daemon), next);
    process_stop(daemon);
    process_free(daemon);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"help", test_help, CELLS_ONE},
        {"wrong_flags", test_wrong_flags, CELLS_ONE},
        {"many_listeners", test_many_listeners, CELLS_ONE},
        {"any_address", test_any_address, CELLS_ONE},
        {"refused_address", test_refused_address, CELLS_ONE},
        {"config", test_config, CELLS_ONE},
        {"log_level", test_log_level, CELLS_ONE},
        {"signals_end", test_signals_end, CELLS_ALL},
        {"other_signals", test_other_signals, CELLS_ALL},
        {"second_signal", test_second_signal, CELLS_ALL},
        {"dev", test_dev, CELLS_ONE},
    };
    return matrix_run("daemon", tests, sizeof(tests) / sizeof(tests[0]));
}
