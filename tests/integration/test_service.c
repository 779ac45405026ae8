/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon as a service: its configuration file, reload, the service manager's socket, sockets
 * handed over, the key file, metrics, logs. */
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "service.h"
#include "traffic.h"

#define SYSTEM 71
#define CONFIG 78

static void test_key_is_made_once(void **state)
{
    char first[128], second[128];
    struct stat info;

    service_make_folder();
    service_write_config(*state, "");
    struct process *daemon = service_start();
    assert_contains(process_log(daemon), "made the key file");
    assert_int_equal(stat(service_key, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    sscanf(strstr(process_log(daemon), "nodekey:"), "%127s", first);
    process_stop(daemon);
    process_free(daemon);

    daemon = service_start();
    assert_null(strstr(process_log(daemon), "made the key file"));
    sscanf(strstr(process_log(daemon), "nodekey:"), "%127s", second);
    assert_string_equal(first, second);
    process_stop(daemon);
    process_free(daemon);

    const char *arguments[] = {"keygen", "--pub", service_key, NULL};
    struct process *keygen = process_spawn(DAEMON, arguments, -1);
    assert_int_equal(process_wait(keygen, PATIENCE_MS), 0);
    assert_contains(process_output(keygen), first);
    process_free(keygen);
    service_remove_folder();
}

static void test_all_mistakes_are_told(void **state)
{
    char line[256];

    service_make_folder();
    service_write_config(*state, "keepalive = 1\nqueue_framse = 2\nclient_rate = 4");
    struct process *daemon = service_refuses(CONFIG);
    const char *log = process_log(daemon);
    snprintf(line, sizeof(line), "%s:14:13: limits.keepalive: expected a duration", service_file);
    assert_contains(log, line);
    snprintf(line, sizeof(line),
             "%s:15:1: unknown key queue_framse in limits: did you mean queue_frames?",
             service_file);
    assert_contains(log, line);
    snprintf(line, sizeof(line), "%s:16:15: limits.client_rate: expected", service_file);
    assert_contains(log, line);
    process_free(daemon);

    /* The key's folder is a file. */
    service_write_config(*state, "");
    char place[96];
    snprintf(place, sizeof(place), "%s/certs", service_folder);
    FILE *out = fopen(place, "w");
    fclose(out);
    daemon = service_refuses(74);
    assert_contains(process_log(daemon), "key file");
    process_free(daemon);
    service_remove_folder();
}

static void test_metrics_address_in_use(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    service_make_folder();
    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    FILE *out = fopen(service_file, "w");
    fprintf(out,
            "key_file = \"%s\"\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"
            "[metrics]\naddress = \"127.0.0.1:%u\"\n[stun]\naddress = \"\"\n",
            service_key, ntohs(at.sin_port));
    fclose(out);
    struct process *daemon = service_refuses(SYSTEM);
    assert_contains(process_log(daemon), "another program listens there");
    process_free(daemon);
    close(fd);
    service_remove_folder();
}

/* A reload changes what can be changed, and a broken file nothing; packets pass all the while. */
static void test_reload(void **state)
{
    service_make_folder();
    service_write_config(*state, "max_connections = 100");
    struct process *daemon = service_start();
    struct pair *pair = pair_start(process_address(daemon), 500, 400);

    service_write_config(*state, "max_connections = 3\nkeepalive = \"2s\"\n[mesh]\nwith = []");
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon,
                      "limits.max_connections 100 -> 3, limits.keepalive \"60s\" -> \"2s\"");
    assert_true(service_metric(daemon, "hyper_derp_config_reloads_total") == 1);
    assert_true(service_metric(daemon, "hyper_derp_config_reload_errors_total") == 0);

    /* Two are the pair's: a third may come, a fourth may not. */
    struct client_socket *third = client_join(process_address(daemon), NULL);
    int fourth = tcp_connect(process_address(daemon));
    assert_true(tcp_await_end(fourth, PATIENCE_MS));
    close(fourth);
    assert_true(service_metric(
                    daemon, "hyper_derp_accepts_refused_total{reason=\"max_connections\"}") == 1);

    service_write_config(*state, "max_connections = \"many\"\nkeepalive = \"9s\"");
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "was not reloaded: everything stays as it was");
    assert_contains(process_log(daemon), "limits.max_connections: expected an integer");
    assert_true(service_metric(daemon, "hyper_derp_config_reload_errors_total") == 1);
    fourth = tcp_connect(process_address(daemon));
    assert_true(tcp_await_end(fourth, PATIENCE_MS));
    close(fourth);

    /* What needs a restart is named, and stays. */
    service_write_config(*state, "max_connections = 50\n[http]\nhome = \"default\"");
    FILE *out = fopen(service_file, "a");
    fprintf(out, "[[listener]]\naddress = \"127.0.0.1:1\"\ntls = false\n");
    fclose(out);
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "needs a restart, and was left as it was: the listeners");
    assert_contains(process_log(daemon), "limits.max_connections 3 -> 50");
    struct client_socket *again = client_join(process_address(daemon), NULL);

    client_socket_close(again);
    client_socket_close(third);
    pair_stop(pair, "reloads", A_SECOND_US);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

static void reload_limits(const struct cell *cell, struct process *daemon, const char *limits,
                          const char *said)
{
    service_write_config(cell, limits);
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, said);
}

/* Limits by address and rate come and go with a reload; who is there already stays. */
static void test_reload_of_client_limits(void **state)
{
    uint8_t packet[1000] = {0};

    service_make_folder();
    service_write_config(*state, "");
    struct process *daemon = service_start();
    struct client_socket *from = client_join(process_address(daemon), NULL);
    struct client_socket *to = client_join(process_address(daemon), NULL);

    reload_limits(*state, daemon, "connections_per_ip = 2", "limits.connections_per_ip 0 -> 2");
    int refused = tcp_connect(process_address(daemon));
    assert_true(tcp_await_end(refused, PATIENCE_MS));
    close(refused);
    assert_true(service_metric(daemon, "hyper_derp_accepts_refused_total{reason=\"per_ip\"}") == 1);

    reload_limits(*state, daemon, "client_rate = 20000\nclient_burst = 70000",
                  "limits.client_rate 0 -> \"20000B\"");
    for (unsigned i = 0; i < 100; i++) /* the burst, and more than a second's */
        client_send(from, to, packet, sizeof(packet));
    for (unsigned i = 0; i < 100; i++)
        client_expect_packet(to, from, packet, sizeof(packet));
    assert_true(service_metric(daemon, "hyper_derp_client_rate_pauses_total") > 0);

    reload_limits(*state, daemon, "accept_rate = 1\naccept_burst = 1", "limits.accept_rate 0 -> 1");
    unsigned closed = 0;
    for (unsigned i = 0; i < 20; i++) {
        int fd = tcp_connect(process_address(daemon));
        closed += tcp_await_end(fd, 50);
        close(fd);
    }
    assert_true(closed >= 10); /* those that got in are only closed by the end of the handshake */
    assert_true(
        service_metric(daemon, "hyper_derp_accepts_refused_total{reason=\"accept_rate\"}") >= 10);

    reload_limits(*state, daemon, "", "limits.accept_rate 1 -> 0");
    for (unsigned i = 0; i < 10; i++) {
        struct client_socket *again = client_join(process_address(daemon), NULL);
        client_socket_close(again);
    }
    client_send(from, to, "free", 5);
    client_expect_packet(to, from, "free", 5);
    client_socket_close(from);
    client_socket_close(to);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

/* ---- The service manager ---- */

static int notify_socket(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", service_folder);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    setenv("WATCHDOG_USEC", "3000000", 1);
    return fd;
}

/* The next message but STATUS and WATCHDOG, which it counts, and those with sockets to keep. */
static const char *next_message(int fd, unsigned *statuses, unsigned *watchdogs)
{
    static char message[512];

    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, message, sizeof(message) - 1, 0);
        assert_true(n > 0);
        message[n] = '\0';
        if (strncmp(message, "STATUS=", 7) == 0)
            ++*statuses;
        else if (strcmp(message, "WATCHDOG=1") == 0)
            ++*watchdogs;
        else if (strncmp(message, "FDSTORE=1\n", 10) != 0)
            return message;
    }
}

static void test_service_manager(void **state)
{
    unsigned statuses = 0, watchdogs = 0;
    unsigned long long usec;

    service_make_folder();
    service_write_config(*state, "");
    int fd = notify_socket();
    struct process *daemon = service_start();
    assert_string_equal(next_message(fd, &statuses, &watchdogs), "READY=1");

    kill(process_pid(daemon), SIGHUP);
    assert_int_equal(
        sscanf(next_message(fd, &statuses, &watchdogs), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec),
        1);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    assert_in_range((uint64_t)now.tv_sec - usec / 1000000, 0, 30);
    assert_string_equal(next_message(fd, &statuses, &watchdogs), "READY=1");

    /* Six ticks bring watchdogs and one status. */
    char message[512];
    while (statuses == 0 || watchdogs < 4) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, message, sizeof(message) - 1, 0);
        assert_true(n > 0);
        message[n] = '\0';
        watchdogs += strcmp(message, "WATCHDOG=1") == 0;
        if (strncmp(message, "STATUS=", 7) == 0) {
            assert_contains(message, "0 peers, 0 packets/s");
            statuses++;
        }
    }
    kill(process_pid(daemon), SIGTERM);
    assert_string_equal(next_message(fd, &statuses, &watchdogs), "STOPPING=1");
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    process_stop(daemon);
    process_free(daemon);
    close(fd);
    service_remove_folder();
}

/* systemd names the process that sockets are for: a shell that becomes the daemon. */
static void test_sockets_handed_over(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), high = 0;
    char command[256];

    (void)state;
    service_make_folder();
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 16), 0);
    high = dup2(fd, 77);
    snprintf(command, sizeof(command),
             "exec 3<&77 77<&-; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=derp; "
             "exec \"$HYPER_DERP\" --listen systemd:$NAME");
    setenv("SHELL_OF_TEST", "/bin/bash", 1);

    setenv("NAME", "derp", 1);
    struct process *daemon =
        process_spawn("SHELL_OF_TEST", (const char *[]){"-c", command, NULL}, -1);
    process_await_ready(daemon);
    struct client_socket *client = client_join(process_address(daemon), NULL);
    client_settle(client);
    client_socket_close(client);
    process_stop(daemon);
    process_free(daemon);

    setenv("NAME", "web", 1);
    daemon = process_spawn("SHELL_OF_TEST", (const char *[]){"-c", command, NULL}, -1);
    assert_int_equal(process_wait(daemon, PATIENCE_MS), CONFIG);
    assert_contains(process_log(daemon), "listener systemd:web: systemd handed over only derp; the "
                                         "socket unit needs FileDescriptorName=web");
    process_free(daemon);
    close(high);
    close(fd);
    service_remove_folder();
}

/* ---- Stopping, and what is said ---- */

/* A client that does not read must not keep the daemon from stopping in time. */
static void test_drain_timeout(void **state)
{
    static uint8_t packet[1200];

    service_make_folder();
    service_write_config(*state, "drain_timeout = \"700ms\"");
    struct process *daemon = service_start();
    struct client_socket *sender = client_join(process_address(daemon), NULL);
    struct client_socket *stalled = client_join(process_address(daemon), NULL);
    for (unsigned i = 0; i < 10000; i++)
        client_send(sender, stalled, packet, sizeof(packet));
    client_settle(sender);
    kill(process_pid(daemon), SIGTERM);
    (void)client_expect(sender, CLIENT_MESSAGE_RESTARTING);
    client_socket_close(sender);
    assert_int_equal(process_wait(daemon, SANITIZED ? 20000 : 2500), 0);
    assert_contains(process_log(daemon), "some clients did not go within 700 ms");
    client_socket_close(stalled);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

/* While packets pass at full rate: clients are told, what is queued goes out, and it ends in time.
 */
static void test_drain_under_load(void **state)
{
    service_make_folder();
    service_write_config(*state, "drain_timeout = \"5s\"");
    struct process *daemon = service_start();
    struct client_socket *watcher = client_join(process_address(daemon), NULL);
    const char *arguments[] = {"--relay",    process_address(daemon),
                               "--pairs",    "4",
                               "--rate",     "20000",
                               "--duration", "60",
                               "--warmup",   "0",
                               NULL};
    struct process *bench = process_spawn(BENCH, arguments, -1);
    while (service_metric(daemon, "hyper_derp_packets_delivered_total") < 5000)
        client_settle(watcher);

    int64_t begin = now_us();
    kill(process_pid(daemon), SIGTERM);
    (void)client_expect(watcher, CLIENT_MESSAGE_RESTARTING);
    assert_int_equal(process_wait(daemon, PATIENCE_MS), 0);
    assert_true(now_us() - begin < 5 * A_SECOND_US);
    client_socket_close(watcher);
    assert_int_equal(process_wait(bench, PATIENCE_MS), 1);
    assert_contains(process_output(bench), "the relay closed it");
    process_free(bench);
    process_stop(daemon); /* has ended: each packet was delivered or is accounted for */
    assert_true(process_counter(daemon, "packets_delivered") >= 5000);
    if (!SANITIZED) /* a loader with a sanitizer may be a slow receiver */
        assert_int_equal(process_counter(daemon, "drop_queue_full_data"), 0);
    assert_null(strstr(process_log(daemon), "did not go within"));
    process_free(daemon);
    service_remove_folder();
}

/* The clients of the list of this key; each must be muted or not, as the test says. */
static unsigned count_listed(struct process *daemon, const struct client_socket *client, bool muted)
{
    const char *body = strstr(service_fetch(daemon, "/debug/peers"), "\r\n\r\n");
    char key[HYPERDERP_KEY_TEXT_SIZE];
    unsigned count = 0;
    json_t *peer;
    size_t i;

    assert_non_null(body);
    json_t *whole = json_loads(body, 0, NULL);
    assert_non_null(whole);
    hyperderp_key_format(client_socket_key(client), key);
    json_array_foreach(json_object_get(whole, "peers"), i, peer)
    {
        if (strcmp(json_string_value(json_object_get(peer, "key")), key) != 0)
            continue;
        count++;
        assert_int_equal(json_is_true(json_object_get(peer, "muted")), muted);
        assert_int_equal(json_is_true(json_object_get(peer, "active")), !muted);
        assert_true(json_is_false(json_object_get(peer, "not_ideal")));
        assert_true(json_is_false(json_object_get(peer, "is_prober")));
        assert_true(json_is_boolean(json_object_get(peer, "can_ack_pings")));
    }
    json_decref(whole);
    return count;
}

/* What an operator sees when two machines have the same key. */
static void test_duplicate_key(void **state)
{
    static const char drops[] = "hyper_derp_drops_total{reason=\"duplicate_key\",kind=\"data\"}";
    hyperderp_private_key key;

    service_make_folder();
    service_write_config(*state, "");
    struct process *daemon = service_start();
    assert_int_equal(hyperderp_private_key_generate(&key), 0);
    struct client_socket *sender = client_join(process_address(daemon), NULL);
    struct client_socket *first = client_join(process_address(daemon), &key);
    client_settle(first);
    struct client_socket *second = client_join(process_address(daemon), &key);
    client_settle(second);
    assert_true(service_metric(daemon, "hyper_derp_muted_connections") == 0);
    client_send(first, sender, "again", 5);
    client_expect_packet(sender, first, "again", 5);
    (void)client_expect(first, CLIENT_MESSAGE_HEALTH);
    (void)client_expect(second, CLIENT_MESSAGE_HEALTH);
    client_send(sender, first, "to nobody", 9);
    client_settle(sender);
    assert_true(service_metric(daemon, drops) == 1);
    assert_true(service_metric(daemon, "hyper_derp_muted_connections") == 2);
    assert_true(service_metric(daemon, "hyper_derp_not_ideal_connections") == 0);
    assert_true(service_metric(daemon, "hyper_derp_control_frames_total{frame=\"health\"}") == 2);
    assert_int_equal(count_listed(daemon, first, true), 2);
    assert_int_equal(count_listed(daemon, sender, false), 1);

    client_socket_close(second);
    (void)client_expect(first, CLIENT_MESSAGE_HEALTH);
    assert_int_equal(count_listed(daemon, first, false), 1);
    client_socket_close(first);
    client_socket_close(sender);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

/* Each line of a log for machines is an object. */
static void test_json_log(void **state)
{
    service_make_folder();
    service_write_config(*state, "");
    FILE *out = fopen(service_file, "a+");
    char whole[1024];
    size_t len = fread(whole, 1, sizeof(whole), out);
    out = freopen(service_file, "w", out);
    fprintf(out, "log_format = \"json\"\n%.*s", (int)len, whole);
    fclose(out);
    struct process *daemon = process_spawn(DAEMON, (const char *[]){"-c", service_file, NULL}, -1);
    process_await_log(daemon, "public key");
    kill(process_pid(daemon), SIGTERM);
    assert_int_equal(process_wait(daemon, PATIENCE_MS), 0);

    char *log = strdup(process_log(daemon));
    unsigned lines = 0;
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        json_t *object = json_loads(line, 0, NULL);
        if (!object)
            fail_msg("not JSON: %s", line);
        assert_int_equal(strlen(json_string_value(json_object_get(object, "time"))), 24);
        assert_non_null(json_string_value(json_object_get(object, "level")));
        assert_non_null(json_string_value(json_object_get(object, "message")));
        json_decref(object);
    }
    assert_true(lines >= 6);
    free(log);
    process_free(daemon);
    service_remove_folder();
}

/* Whether a library is mapped into a process. */
static bool has_mapped(const struct process *daemon, const char *library)
{
    char name[64], line[512];
    bool found = false;

    snprintf(name, sizeof(name), "/proc/%d/maps", (int)process_pid(daemon));
    FILE *maps = fopen(name, "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps))
        found = found || strstr(line, library);
    fclose(maps);
    return found;
}

/* Libraries that nobody asked for are not loaded, and the empty relay is small: docs/performance.md
 * says how small. */
static void test_empty_relay_is_small(void **state)
{
    static const char *const libraries[] = {"libcurl", "libmicrohttpd", "libgnutls", "libsystemd"};

    (void)state;
    struct process *daemon = process_spawn(
        DAEMON, (const char *[]){"--listen", "127.0.0.1:0", "--workers", "2", NULL}, -1);
    process_await_ready(daemon);
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
        if (has_mapped(daemon, libraries[i]))
            fail_msg("%s is loaded, and nothing needs it", libraries[i]);
    print_message("empty, 2 workers: %ld KiB\n", process_rss_kib(daemon));
    if (!SANITIZED)
        assert_true(process_rss_kib(daemon) * 1024 <= 8000000);
    process_stop(daemon);
    process_free(daemon);

    service_make_folder();
    service_write_config(*state, "");
    daemon = process_spawn(DAEMON, (const char *[]){"-c", service_file, NULL}, -1);
    process_await_ready(daemon);
    assert_true(has_mapped(daemon, "libmicrohttpd"));
    assert_false(has_mapped(daemon, "libcurl"));
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"empty_relay_is_small", test_empty_relay_is_small, CELLS_ONE},
        {"key_is_made_once", test_key_is_made_once, CELLS_ONE},
        {"all_mistakes_are_told", test_all_mistakes_are_told, CELLS_ONE},
        {"metrics_address_in_use", test_metrics_address_in_use, CELLS_ONE},
        {"reload", test_reload, CELLS_ALL},
        {"reload_of_client_limits", test_reload_of_client_limits, CELLS_ENGINES},
        {"service_manager", test_service_manager, CELLS_ONE},
        {"sockets_handed_over", test_sockets_handed_over, CELLS_ONE},
        {"drain_timeout", test_drain_timeout, CELLS_ALL},
        {"drain_under_load", test_drain_under_load, CELLS_ALL},
        {"duplicate_key", test_duplicate_key, CELLS_ALL},
        {"json_log", test_json_log, CELLS_ONE},
    };
    return matrix_run("service", tests, sizeof(tests) / sizeof(tests[0]));
}
