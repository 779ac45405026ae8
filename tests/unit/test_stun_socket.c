/* SPDX-License-Identifier: BSD-3-Clause */
/* STUN on sockets of a relay: who is answered, from where, when, and what is ignored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay_fixture.h"
#include "wire/stun.h"

/* In which what should not come would have come, on the loopback. */
#define MOMENT_MS 30

static char said[512];

static void take_line(void *user, hyperderp_log_level level, const char *line)
{
    (void)user;
    (void)level;
    snprintf(said, sizeof(said), "%s", line);
}

/* A relay with a listener, and STUN on these addresses; not started yet. */
static hyperderp_relay *make(hyperderp_engine engine, unsigned workers,
                             const char *const *addresses)
{
    hyperderp_relay_options options = fixture_options(engine, workers);
    hyperderp_listener_options listener;
    hyperderp_relay *relay;

    options.log = take_line;
    options.log_level = HYPERDERP_LOG_INFO;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), 0);
    for (int i = 0; addresses[i]; i++)
        assert_int_equal(hyperderp_relay_add_stun(relay, addresses[i]), i);
    return relay;
}

static uint16_t port_of(const hyperderp_relay *relay, int stun)
{
    char text[64];

    assert_int_equal(hyperderp_relay_stun_address(relay, stun, text, sizeof(text)), 0);
    return (uint16_t)atoi(strrchr(text, ':') + 1);
}

static hyperderp_counters counters_of(const hyperderp_relay *relay)
{
    hyperderp_counters counters = {.size = sizeof(counters)};

    hyperderp_relay_counters(relay, &counters);
    return counters;
}

/* A socket from which datagrams go to a port of the host. */
static int client_to(const char *host, uint16_t port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool is_ipv6 = strchr(host, ':') != NULL;
    int fd = socket(is_ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(inet_pton(is_ipv6 ? AF_INET6 : AF_INET, host,
                               is_ipv6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr),
                     1);
    /* Connected: only what comes from that very address is received. */
    if (is_ipv6)
        assert_int_equal(connect(fd, (struct sockaddr *)&in6, sizeof(in6)), 0);
    else
        assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static void make_request(uint8_t out[STUN_HEADER_SIZE], uint8_t mark)
{
    static const uint8_t head[8] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42};

    memcpy(out, head, sizeof(head));
    memset(out + sizeof(head), mark, STUN_TRANSACTION_SIZE);
}

static void ask(int fd, uint8_t mark)
{
    uint8_t request[STUN_HEADER_SIZE];

    make_request(request, mark);
    assert_int_equal(send(fd, request, sizeof(request), 0), sizeof(request));
}

/* The next datagram; its size. */
static size_t next_answer(int fd, uint8_t out[STUN_MAX_ANSWER])
{
    struct pollfd item = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&item, 1, FIXTURE_PATIENCE_MS), 1);
    ssize_t got = recv(fd, out, STUN_MAX_ANSWER, MSG_TRUNC);
    assert_in_range(got, 1, STUN_MAX_ANSWER);
    return (size_t)got;
}

static void expect_nothing(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&item, 1, MOMENT_MS), 0);
}

/* The answer to that request must be the next, and tell the socket's own address. */
static void expect_answer(int fd, uint8_t mark)
{
    struct sockaddr_storage own = {0};
    struct stun_address address = {0};
    struct stun_request request;
    socklen_t size = sizeof(own);
    uint8_t got[STUN_MAX_ANSWER], expected[STUN_MAX_ANSWER];

    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &size), 0);
    if (own.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&own;
        memcpy(address.bytes, &in->sin_addr, 4);
        address.size = 4;
        address.port = ntohs(in->sin_port);
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&own;
        memcpy(address.bytes, &in6->sin6_addr, 16);
        address.size = 16;
        address.port = ntohs(in6->sin6_port);
    }
    memset(request.transaction, mark, sizeof(request.transaction));
    size_t len = next_answer(fd, got);
    assert_int_equal(len, stun_answer(expected, &request, &address));
    assert_memory_equal(got, expected, len);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool works = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    if (fd >= 0)
        close(fd);
    return works;
}

/* On every worker count, each socket, each family. */
static void answers(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:0", ":0", NULL};
    hyperderp_engine engine = fixture_engine(state);
    unsigned ipv6 = has_ipv6();

    for (unsigned workers = 1; workers <= 3; workers += 2) {
        hyperderp_relay *relay = make(engine, workers, addresses);
        assert_int_equal(hyperderp_relay_start(relay), 0);
        int one = client_to("127.0.0.1", port_of(relay, 0));
        int any = client_to("127.0.0.1", port_of(relay, 1));
        ask(one, 1);
        expect_answer(one, 1);
        ask(any, 2);
        expect_answer(any, 2);
        if (ipv6) {
            int six = client_to("::1", port_of(relay, 1));
            ask(six, 3);
            expect_answer(six, 3);
            close(six);
        }
        hyperderp_relay_stop(relay);
        hyperderp_counters counters = counters_of(relay);
        assert_int_equal(counters.stun_answers_ipv4, 2);
        assert_int_equal(counters.stun_answers_ipv6, ipv6);
        assert_int_equal(counters.stun_malformed + counters.stun_unsupported, 0);
        assert_int_equal(counters.stun_send_errors, 0);
        hyperderp_relay_free(relay);
        close(one);
        close(any);
    }
}

/* On a socket for all addresses: the client takes nothing from another one. */
static void from_the_address_that_was_asked(void **state)
{
    static const char *const addresses[] = {":0", "0.0.0.0:0", NULL};
    hyperderp_relay *relay = make(fixture_engine(state), 1, addresses);

    assert_int_equal(hyperderp_relay_start(relay), 0);
    for (int stun = 0; stun < 2; stun++) {
        for (uint8_t i = 1; i < 4; i++) {
            char host[16];
            snprintf(host, sizeof(host), "127.0.0.%u", i * 3u);
            int fd = client_to(host, port_of(relay, stun));
            ask(fd, i);
            expect_answer(fd, i);
            close(fd);
        }
    }
    hyperderp_relay_free(relay);
}

static void others_are_ignored(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:0", NULL};
    hyperderp_relay *relay = make(fixture_engine(state), 1, addresses);
    uint8_t bytes[STUN_MAX_REQUEST + 100] = {0};

    assert_int_equal(hyperderp_relay_start(relay), 0);
    int fd = client_to("127.0.0.1", port_of(relay, 0));
    for (size_t len = 0; len < 64; len++) /* also one of no bytes */
        assert_int_equal(send(fd, bytes, len, 0), (ssize_t)len);
    make_request(bytes, 7);
    bytes[1] = 0x11; /* an indication */
    assert_int_equal(send(fd, bytes, STUN_HEADER_SIZE, 0), STUN_HEADER_SIZE);
    /* A request up to where the relay reads, but the datagram is longer. */
    bytes[1] = 0x01;
    bytes[2] = (STUN_MAX_REQUEST - STUN_HEADER_SIZE) >> 8;
    bytes[3] = (STUN_MAX_REQUEST - STUN_HEADER_SIZE) & 0xff;
    bytes[20] = 0xc0;
    bytes[22] = (STUN_MAX_REQUEST - STUN_HEADER_SIZE - 4) >> 8;
    bytes[23] = (STUN_MAX_REQUEST - STUN_HEADER_SIZE - 4) & 0xff;
    assert_int_equal(send(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
    ask(fd, 9);
    expect_answer(fd, 9); /* the only one */
    expect_nothing(fd);
    hyperderp_relay_stop(relay);
    hyperderp_counters counters = counters_of(relay);
    assert_int_equal(counters.stun_answers_ipv4, 1);
    assert_int_equal(counters.stun_malformed, 65);
    assert_int_equal(counters.stun_unsupported, 1);
    hyperderp_relay_free(relay);
    close(fd);
}

/* More at once than a batch: each is answered, with its own address. */
static void many_at_once(void **state)
{
    enum { CLIENTS = 100 };
    static const char *const addresses[] = {"127.0.0.1:0", NULL};
    hyperderp_relay *relay = make(fixture_engine(state), 1, addresses);
    int fd[CLIENTS];

    assert_int_equal(hyperderp_relay_start(relay), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        fd[i] = client_to("127.0.0.1", port_of(relay, 0));
        ask(fd[i], (uint8_t)i);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        expect_answer(fd[i], (uint8_t)i);
        close(fd[i]);
    }
    hyperderp_relay_stop(relay);
    assert_int_equal(counters_of(relay).stun_answers_ipv4, CLIENTS);
    hyperderp_relay_free(relay);
}

/* What came before the start is not answered, and after a drain nobody holds the port. */
static void silent_while_not_running(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:0", NULL};
    hyperderp_relay *relay = make(fixture_engine(state), 3, addresses);
    uint16_t port = port_of(relay, 0);
    int fd = client_to("127.0.0.1", port);
    uint8_t request[STUN_HEADER_SIZE];

    ask(fd, 1);
    ask(fd, 2);
    expect_nothing(fd);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    /* The worker lets go of what was there when it begins: until then it may be asked in vain. */
    struct pollfd item = {.fd = fd, .events = POLLIN};
    do
        ask(fd, 3);
    while (poll(&item, 1, MOMENT_MS) == 0);
    expect_answer(fd, 3);
    assert_int_equal(hyperderp_relay_drain(relay, FIXTURE_PATIENCE_MS), 0);
    while (recv(fd, request, sizeof(request), MSG_DONTWAIT) > 0)
        ; /* answers to the others that were asked in vain, perhaps */
    make_request(request, 4);
    (void)!send(fd, request, sizeof(request), 0);
    assert_true(poll(&item, 1, MOMENT_MS) == 0 || recv(fd, request, sizeof(request), 0) < 0);
    assert_int_equal(counters_of(relay).stun_malformed, 0);
    hyperderp_relay_free(relay);
    close(fd);
}

/* While a client of the relay stays through a drain, nobody is answered any more. */
static void a_drain_is_silent_at_once(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:0", NULL};
    hyperderp_relay *relay = make(fixture_engine(state), 1, addresses);
    struct fixture fixture = {.relay = relay};
    uint8_t request[STUN_HEADER_SIZE];

    assert_int_equal(hyperderp_relay_start(relay), 0);
    assert_int_equal(
        hyperderp_relay_listener_address(relay, 0, fixture.address, sizeof(fixture.address)), 0);
    hyperderp_relay_public_key(relay, &fixture.key);
    struct client_socket *client = fixture_join(&fixture, 0);
    int fd = client_to("127.0.0.1", port_of(relay, 0));
    ask(fd, 1);
    expect_answer(fd, 1);
    assert_int_equal(hyperderp_relay_drain(relay, 0), -ETIMEDOUT);
    make_request(request, 2);
    (void)!send(fd, request, sizeof(request), 0);
    struct pollfd item = {.fd = fd, .events = POLLIN};
    assert_true(poll(&item, 1, MOMENT_MS) == 0 || recv(fd, request, sizeof(request), 0) < 0);
    client_socket_close(client);
    assert_int_equal(hyperderp_relay_drain(relay, FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(counters_of(relay).stun_answers_ipv4, 1);
    hyperderp_relay_free(relay);
    close(fd);
}

static void addresses_are_checked(void **state)
{
    static const char *const none[] = {NULL};
    hyperderp_engine engine = fixture_engine(state);
    hyperderp_relay *relay = make(engine, 1, none);
    char text[64], taken[64];

    assert_int_equal(hyperderp_relay_add_stun(relay, "3478"), -EINVAL);
    assert_non_null(strstr(said, "STUN on 3478"));
    assert_int_equal(hyperderp_relay_add_stun(relay, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_add_stun(NULL, ":0"), -EINVAL);
    assert_int_equal(hyperderp_relay_add_stun(relay, "192.0.2.1:3478"), -EADDRNOTAVAIL);
    assert_int_equal(hyperderp_relay_stun_address(relay, 0, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_add_stun(relay, "127.0.0.1:0"), 0);
    assert_non_null(strstr(said, "answering STUN on 127.0.0.1:"));
    assert_int_equal(hyperderp_relay_stun_address(relay, 0, taken, sizeof(taken)), 0);
    assert_int_equal(hyperderp_relay_stun_address(relay, 0, text, strlen(taken)), -ENOSPC);
    assert_int_equal(hyperderp_relay_stun_address(relay, -1, text, sizeof(text)), -EINVAL);
    /* A port in use is an error: two servers would share what comes. */
    assert_int_equal(hyperderp_relay_add_stun(relay, taken), -EADDRINUSE);
    assert_non_null(strstr(said, "another program listens there"));
    for (int i = 1; i < 8; i++)
        assert_int_equal(hyperderp_relay_add_stun(relay, "127.0.0.1:0"), i);
    assert_int_equal(hyperderp_relay_add_stun(relay, "127.0.0.1:0"), -ENOSPC);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    assert_int_equal(hyperderp_relay_add_stun(relay, "127.0.0.1:0"), -EBUSY);
    hyperderp_relay_free(relay);

    /* It is free again, also after a relay that was never started. */
    relay = make(engine, 1, (const char *const[]){taken, NULL});
    hyperderp_relay_free(relay);
    relay = make(engine, 1, (const char *const[]){taken, NULL});
    hyperderp_relay_free(relay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_BOTH(answers),
        FIXTURE_ON_BOTH(from_the_address_that_was_asked),
        FIXTURE_ON_BOTH(others_are_ignored),
        FIXTURE_ON_BOTH(many_at_once),
        FIXTURE_ON_BOTH(silent_while_not_running),
        FIXTURE_ON_BOTH(a_drain_is_silent_at_once),
        FIXTURE_ON_BOTH(addresses_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
