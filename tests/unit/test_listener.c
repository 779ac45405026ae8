/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners: addresses good and bad, sockets of the caller's, and what an operator gets to read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/listener.h"

static char last_line[LOG_LINE_SIZE];
static unsigned lines;

static void take(void *user, hyperderp_log_level level, const char *line)
{
    (void)user;
    assert_int_equal(level, HYPERDERP_LOG_ERROR);
    snprintf(last_line, sizeof(last_line), "%s", line);
    lines++;
}

static const struct log log_ = {.write = take, .level = HYPERDERP_LOG_INFO};

static int open_at(struct listener *listener, const char *address)
{
    hyperderp_listener_options options;

    lines = 0;
    *last_line = '\0';
    hyperderp_listener_options_init(&options);
    options.address = address;
    return listener_open(listener, &options, 0, &log_);
}

static int open_fd(struct listener *listener, int fd)
{
    hyperderp_listener_options options;

    lines = 0;
    *last_line = '\0';
    hyperderp_listener_options_init(&options);
    options.fd = fd;
    return listener_open(listener, &options, 0, &log_);
}

static unsigned port_of(const struct listener *listener)
{
    return (unsigned)strtoul(strrchr(listener->address, ':') + 1, NULL, 10);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool works = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    if (fd >= 0)
        close(fd);
    return works;
}

/* Whether a client of this family gets through to the port on its loopback address. */
static bool reachable(int family, unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool works =
        fd >= 0 && (family == AF_INET ? connect(fd, (struct sockaddr *)&in, sizeof(in))
                                      : connect(fd, (struct sockaddr *)&in6, sizeof(in6))) == 0;

    if (fd >= 0)
        close(fd);
    return works;
}

static void ipv4_with_the_kernels_port(void **state)
{
    struct listener listener;
    char expected[LISTENER_ADDRESS_SIZE];
    int value;
    socklen_t size = sizeof(value);

    (void)state;
    assert_int_equal(open_at(&listener, "127.0.0.1:0"), 0);
    assert_in_range(port_of(&listener), 1, 65535);
    snprintf(expected, sizeof(expected), "127.0.0.1:%u", port_of(&listener));
    assert_string_equal(listener.address, expected);
    assert_true(reachable(AF_INET, port_of(&listener)));
    assert_true(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(listener.fd, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
    assert_true(value);
    listener_set_user_timeout(&listener, 30000);
    assert_int_equal(getsockopt(listener.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &size), 0);
    assert_int_equal(value, 30000);
    assert_int_equal(lines, 0);
    listener_close(&listener, false);
    listener_set_user_timeout(&listener, 30000); /* a closed one has none */
    assert_int_equal(listener.fd, -1);
    listener_close(&listener, false);
}

static void ipv6(void **state)
{
    struct listener listener;

    (void)state;
    if (!has_ipv6()) {
        printf("this machine has no IPv6\n");
        skip();
    }
    assert_int_equal(open_at(&listener, "[::1]:0"), 0);
    assert_memory_equal(listener.address, "[::1]:", 6);
    assert_true(reachable(AF_INET6, port_of(&listener)));
    assert_false(reachable(AF_INET, port_of(&listener)));
    listener_close(&listener, false);
    /* An IPv6 address alone does not take the port of IPv4 as well. */
    assert_int_equal(open_at(&listener, "[::]:0"), 0);
    assert_true(reachable(AF_INET6, port_of(&listener)));
    assert_false(reachable(AF_INET, port_of(&listener)));
    listener_close(&listener, false);
}

static void every_address(void **state)
{
    struct listener listener;

    (void)state;
    assert_int_equal(open_at(&listener, ":0"), 0);
    assert_true(reachable(AF_INET, port_of(&listener)));
    if (has_ipv6())
        assert_true(reachable(AF_INET6, port_of(&listener)));
    listener_close(&listener, false);
}

static void bad_addresses(void **state)
{
    static const char *const bad[] = {
        "",          "127.0.0.1",     "127.0.0.1:",   "127.0.0.1:http", "127.0.0.1:65536",
        "::1:443",   "[::1]",         "127.0.0.1:-1", "127.0.0.1:1 ",   "127.0.0.1: 1",
        ":99999999", "127.0.0.1:+80", "localhost",    "1:2:3",          "127.0.0.1:4294967297",
    };
    struct listener listener;
    char long_host[400];

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(open_at(&listener, bad[i]), -EINVAL);
        assert_int_equal(lines, 1);
        assert_non_null(strstr(last_line, bad[i]));
        assert_non_null(strstr(last_line, "HOST:PORT"));
    }
    memset(long_host, 'a', sizeof(long_host));
    memcpy(long_host + sizeof(long_host) - 4, ":80", 4);
    assert_int_equal(open_at(&listener, long_host), -EINVAL);
}

/* What failed, on what address, and why. */
static void failures_are_explained(void **state)
{
    struct listener listener, second;
    char address[LISTENER_ADDRESS_SIZE];

    (void)state;
    assert_int_equal(open_at(&listener, "127.0.0.1:0"), 0);
    memcpy(address, listener.address, sizeof(address));
    assert_int_equal(open_at(&second, address), -EADDRINUSE);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, address));
    assert_non_null(strstr(last_line, "Address already in use"));
    listener_close(&listener, false);

    assert_int_equal(open_at(&second, "192.0.2.1:0"), -EADDRNOTAVAIL);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, "192.0.2.1:0"));
    assert_non_null(strstr(last_line, "no interface"));

    assert_int_equal(open_at(&second, "host with spaces:80"), -ENOENT);
    assert_non_null(strstr(last_line, "host with spaces:80"));
}

static void the_callers_socket(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct listener listener;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    /* One that does not listen is refused, and stays the caller's. */
    assert_int_equal(open_fd(&listener, fd), -EINVAL);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, "not a listening socket"));
    assert_true(fcntl(fd, F_GETFD) >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(open_fd(&listener, fd), 0);
    assert_int_equal(listener.fd, fd);
    assert_memory_equal(listener.address, "127.0.0.1:", 10);
    assert_true(reachable(AF_INET, port_of(&listener)));
    listener_close(&listener, false);
    assert_int_equal(fcntl(fd, F_GETFD), -1);

    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    assert_int_equal(open_fd(&listener, pipe_fd[0]), -EINVAL);
    assert_non_null(strstr(last_line, "not a listening socket"));
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    assert_int_equal(open_fd(&listener, 1000000), -EINVAL);
}

static void neither_or_both(void **state)
{
    struct listener listener;
    hyperderp_listener_options options;

    (void)state;
    hyperderp_listener_options_init(&options);
    assert_int_equal(listener_open(&listener, &options, 0, &log_), -EINVAL);
    options.address = "127.0.0.1:0";
    options.fd = 0;
    assert_int_equal(listener_open(&listener, &options, 0, &log_), -EINVAL);
    options.fd = -1;
    options.backlog = -1;
    assert_int_equal(listener_open(&listener, &options, 0, &log_), -EINVAL);
}

/* The public functions around it. */
static void of_a_relay(void **state)
{
    hyperderp_relay_options options;
    hyperderp_listener_options listener;
    hyperderp_relay *relay;
    char text[64], again[64];

    (void)state;
    hyperderp_relay_options_init(&options);
    options.workers = 1;
    options.engine = HYPERDERP_ENGINE_EPOLL;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    assert_int_equal(hyperderp_relay_start(relay), -EINVAL);
    assert_int_equal(hyperderp_relay_drain(relay, 0), -EINVAL);
    hyperderp_listener_options_init(&listener);
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -EINVAL);
    assert_int_equal(hyperderp_relay_add_listener(relay, NULL), -EINVAL);
    listener.address = "127.0.0.1:0";
    for (int i = 0; i < 64; i++)
        assert_int_equal(hyperderp_relay_add_listener(relay, &listener), i);
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -ENOSPC);
    assert_int_equal(hyperderp_relay_listener_address(relay, 63, text, sizeof(text)), 0);
    assert_int_equal(hyperderp_relay_listener_address(relay, 63, again, strlen(text) + 1), 0);
    assert_string_equal(text, again);
    assert_int_equal(hyperderp_relay_listener_address(relay, 63, again, strlen(text)), -ENOSPC);
    assert_int_equal(hyperderp_relay_listener_address(relay, 64, again, sizeof(again)), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(relay, -1, again, sizeof(again)), -EINVAL);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    assert_int_equal(hyperderp_relay_start(relay), -EBUSY);
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -EBUSY);
    assert_int_equal(hyperderp_relay_drain(relay, 5000), 0);
    hyperderp_relay_free(relay);
    hyperderp_relay_free(NULL);
    hyperderp_relay_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_with_the_kernels_port),
        cmocka_unit_test(ipv6),
        cmocka_unit_test(every_address),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(failures_are_explained),
        cmocka_unit_test(the_callers_socket),
        cmocka_unit_test(neither_or_both),
        cmocka_unit_test(of_a_relay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
