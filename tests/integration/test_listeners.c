/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the daemon listens: a socket in the file system beside one of TCP, its file in every
 * event, the PROXY protocol, each family of IP, sockets of systemd. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "service.h"
#include "traffic.h"

#define SYSTEM 71
#define CONFIG 78

#define HEADER "PROXY TCP4 192.0.2.1 198.51.100.2 4242 443\r\n"

/* TCP stands first: it is what the daemon is awaited by. */
#define TCP_LISTENER "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"

static char socket_path[96];

/* Writes a configuration with a listener of TCP, and one in the folder. */
static void write_config(void **state, const char *more)
{
    char text[512];

    snprintf(socket_path, sizeof(socket_path), "%s/derp.sock", service_folder);
    snprintf(text, sizeof(text),
             TCP_LISTENER "[[listener]]\naddress = \"unix:%s\"\ntls = false\n%s", socket_path,
             more);
    service_write_text(*state, text);
}

static int unix_connect(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* Joins over a socket that has said what comes first. */
static struct client_socket *join_over(int fd)
{
    struct client_options options = {
        .info = {.version = DERP_PROTOCOL_VERSION, .can_ack_pings = true}};
    struct client_socket *client;

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    assert_int_equal(client_socket_connect_over(&client, fd, "relay", &options, NULL, PATIENCE_MS),
                     0);
    return client;
}

static void exchange(struct client_socket *a, struct client_socket *b)
{
    client_settle(a);
    client_settle(b);
    client_send(a, b, "there", 5);
    client_expect_packet(b, a, "there", 5);
    client_send(b, a, "and back", 8);
    client_expect_packet(a, b, "and back", 8);
}

static void expect_stopped(struct process *daemon)
{
    struct stat info;

    process_stop(daemon);
    process_free(daemon);
    assert_int_equal(lstat(socket_path, &info), -1);
}

static void test_unix_beside_tcp(void **state)
{
    struct stat info;

    service_make_folder();
    write_config(state, "");
    struct process *daemon = service_start();
    assert_int_equal(lstat(socket_path, &info), 0);
    assert_int_equal(info.st_mode, S_IFSOCK | 0660);
    struct client_socket *near = join_over(unix_connect(socket_path));
    struct client_socket *far = client_join(process_address(daemon), NULL);
    exchange(near, far);

    kill(process_pid(daemon), SIGTERM);
    (void)client_expect(near, CLIENT_MESSAGE_RESTARTING);
    (void)client_expect(far, CLIENT_MESSAGE_RESTARTING);
    client_socket_close(near);
    client_socket_close(far);
    expect_stopped(daemon);
    service_remove_folder();
}

/* What a daemon leaves that was killed is no hindrance to the next one; a daemon that lives is. */
static void test_socket_file(void **state)
{
    service_make_folder();
    write_config(state, "");
    struct process *daemon = service_start();
    process_kill(daemon);
    process_free(daemon);
    assert_int_equal(access(socket_path, F_OK), 0);

    daemon = service_start();
    struct process *second = service_refuses(SYSTEM);
    assert_contains(process_log(second), "Address already in use; another program listens there");
    process_free(second);
    struct client_socket *client = join_over(unix_connect(socket_path));
    client_settle(client);
    client_socket_close(client);
    expect_stopped(daemon);

    FILE *out = fopen(socket_path, "w");
    fputs("precious", out);
    fclose(out);
    daemon = service_refuses(CONFIG);
    assert_contains(process_log(daemon), "what is there is no socket, and was left alone");
    process_free(daemon);
    char text[16] = "";
    out = fopen(socket_path, "r");
    assert_non_null(fgets(text, sizeof(text), out));
    fclose(out);
    assert_string_equal(text, "precious");
    assert_int_equal(unlink(socket_path), 0);
    service_remove_folder();
}

static void test_proxy_protocol(void **state)
{
    service_make_folder();
    write_config(state, "proxy_protocol = true\n[limits]\nconnections_per_ip = 1\n");
    struct process *daemon = service_start();
    int fd = unix_connect(socket_path), again = unix_connect(socket_path);
    assert_int_equal(send(fd, HEADER, strlen(HEADER), MSG_NOSIGNAL), strlen(HEADER));
    struct client_socket *proxied = join_over(fd);
    struct client_socket *direct = client_join(process_address(daemon), NULL);
    exchange(proxied, direct);

    /* Of the same client, a second; and one without a header. */
    assert_int_equal(send(again, HEADER, strlen(HEADER), MSG_NOSIGNAL), strlen(HEADER));
    assert_true(tcp_await_end(again, PATIENCE_MS));
    close(again);
    fd = unix_connect(socket_path);
    assert_int_equal(send(fd, "GET /derp ", 10, MSG_NOSIGNAL), 10);
    assert_true(tcp_await_end(fd, PATIENCE_MS));
    close(fd);
    process_await_log(daemon, "without a good header of the PROXY protocol");
    assert_true(service_metric(daemon, "hyper_derp_proxy_headers_total{outcome=\"ok\"}") == 2);
    assert_true(service_metric(daemon, "hyper_derp_proxy_headers_total{outcome=\"bad\"}") == 1);
    assert_true(service_metric(daemon, "hyper_derp_accepts_refused_total{reason=\"per_ip\"}") == 1);

    /* A reload cannot change listeners, and says so. */
    write_config(state, "[limits]\nconnections_per_ip = 1\n");
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "needs a restart, and was left as it was: the listeners");
    client_socket_close(proxied);
    client_socket_close(direct);
    expect_stopped(daemon);
    service_remove_folder();
}

static void test_strangers(void **state)
{
    service_make_folder();
    service_write_text(*state, "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"
                               "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.2\"]\n");
    struct process *daemon = service_start();
    int fd = tcp_connect(process_address(daemon));
    assert_true(tcp_await_end(fd, PATIENCE_MS));
    close(fd);
    process_await_log(daemon, "closed a connection that came from no trusted proxy");
    assert_true(service_metric(
                    daemon, "hyper_derp_accepts_refused_total{reason=\"untrusted_proxy\"}") == 1);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool works = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;

    if (fd >= 0)
        close(fd);
    return works;
}

/* One listener for each family, or one for both: all clients meet. */
static void test_families(void **state)
{
    static const char *const listeners[] = {"127.0.0.1:0", "[::1]:0", ":0"};
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};
    char text[128], address[64];

    if (!has_ipv6()) {
        printf("this machine has no IPv6\n");
        skip();
    }
    service_make_folder();
    for (unsigned i = 0; i < 3; i++) {
        struct client_socket *clients[2] = {NULL};
        snprintf(text, sizeof(text), "[[listener]]\naddress = \"%s\"\ntls = false\n", listeners[i]);
        service_write_text(*state, text);
        struct process *daemon = service_start();
        for (unsigned family = 0; family < 2; family++) {
            if (i < 2 && i != family)
                continue;
            snprintf(address, sizeof(address), "%s:%u", hosts[family], process_port(daemon));
            clients[family] = client_join(address, NULL);
            client_settle(clients[family]);
        }
        if (clients[0] && clients[1])
            exchange(clients[0], clients[1]);
        client_socket_close(clients[0]);
        client_socket_close(clients[1]);
        process_stop(daemon);
        process_free(daemon);
    }
    service_remove_folder();
}

/* The file of a socket that systemd has made is systemd's. */
static void test_unix_socket_of_systemd(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char command[256];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    service_make_folder();
    snprintf(socket_path, sizeof(socket_path), "%s/derp.sock", service_folder);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", socket_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 16), 0);
    int high = dup2(fd, 77);
    snprintf(command, sizeof(command),
             "exec 3<&77 77<&-; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=derp; "
             "exec \"$HYPER_DERP\" --listen systemd:derp");
    setenv("SHELL_OF_TEST", "/bin/bash", 1);
    struct process *daemon =
        process_spawn("SHELL_OF_TEST", (const char *[]){"-c", command, NULL}, -1);
    process_await_log(daemon, "public key");
    char line[160];
    snprintf(line, sizeof(line), "listening on unix:%s (DERP, in the clear)", socket_path);
    assert_contains(process_log(daemon), line);
    struct client_socket *client = join_over(unix_connect(socket_path));
    client_settle(client);
    client_socket_close(client);
    process_stop(daemon);
    process_free(daemon);
    assert_int_equal(access(socket_path, F_OK), 0);
    close(high);
    close(fd);
    service_remove_folder();
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"unix_beside_tcp", test_unix_beside_tcp, CELLS_ALL},
        {"socket_file", test_socket_file, CELLS_ONE},
        {"proxy_protocol", test_proxy_protocol, CELLS_ALL},
        {"strangers", test_strangers, CELLS_ENGINES},
        {"families", test_families, CELLS_ENGINES},
        {"unix_socket_of_systemd", test_unix_socket_of_systemd, CELLS_ONE},
    };
    return matrix_run("listeners", tests, sizeof(tests) / sizeof(tests[0]));
}
