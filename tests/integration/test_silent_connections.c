/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections that never say who they are: they hold up nobody, end at their deadline and leave no
 * file. */
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay_embedded.h"
#include "relay_process.h"
#include "traffic.h"

#define CONNECTIONS 200

/* "Well under a second". */
#define JOIN_US (SANITIZED ? 2000000 : 300000)

/* Deadlines are met to a tick of the relay's timers; the rest is for a busy machine. */
#define LATE_MS (SANITIZED ? 5000 : 1000)

static const char request[] = "GET /derp HTTP/1.1\r\nHost: relay.example\r\n"
                              "Connection: Upgrade\r\nUpgrade: DERP\r\n\r\n";

static void write_all(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/* Reads the 101 and ServerKey, then sends the beginning of a ClientInfo. */
static void send_half_client_info(int fd)
{
    struct client_options options = {.host = "relay.example"};
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};
    uint8_t bytes[4096];
    struct client client;
    size_t len = 0;

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    assert_int_equal(client_init(&client, &options), 0);
    ssize_t size = client_request(&client, bytes, sizeof(bytes));
    assert_true(size > 0);
    write_all(fd, bytes, (size_t)size);
    while (message.type != CLIENT_MESSAGE_SEND_INFO) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
        ssize_t got = recv(fd, bytes + len, sizeof(bytes) - len, 0);
        assert_true(got > 0);
        len += (size_t)got;
        ssize_t used = client_read(&client, bytes, len, &message);
        assert_true(used >= 0);
        len -= (size_t)used;
        memmove(bytes, bytes + used, len);
    }
    size = client_info_frame(&client, bytes, sizeof(bytes));
    assert_true(size > 0);
    write_all(fd, bytes, (size_t)size / 2);
    client_wipe(&client);
}

/* Half of them say nothing, a quarter half a request, a quarter half a ClientInfo. */
static void connect_all(const char *address, int *fds)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        fds[i] = tcp_connect(address);
        if (i % 4 == 1)
            write_all(fds[i], request, sizeof(request) / 2);
        else if (i % 4 == 3)
            send_half_client_info(fds[i]);
    }
}

static void join_beside(const char *address)
{
    int64_t begin = now_us();
    struct client_socket *client = client_join(address, NULL);
    int64_t joined = now_us() - begin;

    client_settle(client);
    client_socket_close(client);
    print_message("a client joined in %.1f ms\n", (double)joined / 1000);
    assert_true(joined < JOIN_US);
}

/* All must be closed when the timeout has passed since they were opened between first and last. */
static void await_ends(int *fds, int64_t first, int64_t last, int timeout_ms)
{
    int64_t until = last + ((int64_t)timeout_ms + LATE_MS) * 1000;

    for (unsigned i = 0; i < CONNECTIONS; i++) {
        int64_t left = (until - now_us()) / 1000;
        if (!tcp_await_end(fds[i], left > 0 ? (int)left : 0))
            fail_msg("connection %u was not closed", i);
        if (i == 0)
            assert_true(now_us() - first >= (int64_t)timeout_ms * 1000);
    }
    print_message("all closed %" PRId64 " ms after the last was opened\n",
                  (now_us() - last) / 1000);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
}

static void test_deadline(void **state)
{
    const int timeout_ms = SANITIZED ? 5000 : 1000;
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct embedded relay;
    int fds[CONNECTIONS];

    embedded_options(&options, *state);
    options.handshake_timeout_ms = (unsigned)timeout_ms;
    embedded_start(&relay, &options);
    int64_t first = now_us();
    connect_all(relay.address, fds);
    int64_t last = now_us();
    embedded_await(&relay, connections, CONNECTIONS);
    join_beside(relay.address);
    await_ends(fds, first, last, timeout_ms);
    embedded_await_fall(&relay, connections, 0);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.handshakes_timed_out, CONNECTIONS);
    assert_int_equal(counters.handshakes_failed, 0);
    assert_int_equal(counters.handshakes_ok, 1);
}

/* The daemon's own 10 s. */
static void test_daemon(void **state)
{
    struct process *relay = process_start(*state, 0, -1);
    int fds[CONNECTIONS];

    unsigned files = process_files(relay);
    int64_t first = now_us();
    connect_all(process_address(relay), fds);
    int64_t last = now_us();
    join_beside(process_address(relay));
    assert_true(process_files(relay) >= files + CONNECTIONS);
    await_ends(fds, first, last, 10000);
    process_await_files(relay, files);
    process_stop(relay);
    assert_int_equal(process_counter(relay, "handshakes_timed_out"), CONNECTIONS);
    assert_int_equal(process_counter(relay, "handshakes_ok"), 1);
    process_free(relay);
}

/* Connections whose clients give up before the deadline leave nothing either. */
static void test_given_up(void **state)
{
    struct process *relay = process_start(*state, 0, -1);
    int fds[CONNECTIONS];

    unsigned files = process_files(relay);
    connect_all(process_address(relay), fds);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        /* Every other one by a reset. */
        struct linger linger = {.l_onoff = i % 8 < 4};
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(fds[i]);
    }
    join_beside(process_address(relay));
    process_await_files(relay, files);
    process_stop(relay);
    assert_int_equal(process_counter(relay, "handshakes_timed_out"), 0);
    process_free(relay);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"deadline", test_deadline, CELLS_ALL},
        {"given_up", test_given_up, CELLS_ALL},
        {"daemon", test_daemon, CELLS_ONE},
    };
    return matrix_run("silent_connections", tests, sizeof(tests) / sizeof(tests[0]));
}
