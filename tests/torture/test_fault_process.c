/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults around the process: it is stopped for half a minute, the wall clock jumps by years,
 * io_uring is forbidden, the other node of its region freezes. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flow.h"
#include "launch.h"
#include "member.h"
#include "service.h"

static void wait_ms(int ms)
{
    (void)poll(NULL, 0, ms); /* how long the fault lasts */
}

static void write_plain(const struct cell *cell, const char *tables)
{
    char text[1024];

    snprintf(text, sizeof(text), "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = %s\n%s",
             matrix_is_tls() ? "true\n[tls]\nhostname = \"127.0.0.1\"" : "false", tables);
    service_write_text(cell, text);
}

/* ---- Stopped ---- */

#define STOPPED_MS 30000
#define STREAM     3

/* What one daemon has around it while it is stopped. */
struct halted {
    struct process *daemon;
    const char *address;
    unsigned files;
    struct client_socket *idle;
    struct flow *flow;
    /* Takes nothing before the stop, so that the relay waits for it, and all of it during it. */
    struct client_socket *slow, *to_slow;
    uint32_t slow_sent, slow_next;
    int half; /* in the middle of its request */
};

/* Until packets wait at the relay. */
static void fill_slow(struct halted *halted)
{
    uint8_t packet[1200];

    while (service_metric(halted->daemon, "hyper_derp_queued_bytes") < 100000) {
        for (unsigned i = 0; i < 50; i++) {
            packet_fill(packet, sizeof(packet), STREAM, halted->slow_sent++);
            client_send(halted->to_slow, halted->slow, packet, sizeof(packet));
        }
        assert_true(halted->slow_sent < 100000);
    }
}

static void read_slow(struct halted *halted, int timeout_ms)
{
    struct client_message message;
    int error;

    while ((error = client_socket_recv(halted->slow, &message, timeout_ms)) == 0) {
        if (message.type != CLIENT_MESSAGE_PACKET)
            continue;
        uint32_t number = packet_number(message.payload, message.len, STREAM);
        assert_true(number >= halted->slow_next);
        halted->slow_next = number + 1;
        if (halted->slow_next == halted->slow_sent)
            break;
    }
    if (error && error != -ETIMEDOUT)
        fail_msg("a client that reads was closed: %s", strerror(-error));
}

static void surround(struct halted *halted, const struct cell *cell)
{
    write_plain(cell, "[limits]\nwrite_timeout = \"10s\"\nqueue_time = \"60s\"\n");
    halted->daemon = service_start();
    halted->address = process_address(halted->daemon);
    halted->files = process_files(halted->daemon);
    halted->idle = client_join(halted->address, NULL);
    halted->slow = client_join_small(halted->address, 4096);
    halted->to_slow = client_join(halted->address, NULL);
    fill_slow(halted);
    halted->flow = flow_start(halted->address, 200, 600);
    halted->half = tcp_connect(halted->address);
    static const char half[] = "GET /derp HTTP/1.1\r\nHost: x\r\n";
    assert_int_equal(send(halted->half, half, sizeof(half) - 1, MSG_NOSIGNAL), sizeof(half) - 1);
    int64_t until = now_us() + (int64_t)PATIENCE_MS * 1000;
    while (flow_received(halted->flow) < 20)
        assert_true(now_us() < until);
}

static void settle_slow(struct halted *halted)
{
    uint8_t packet[1200];

    packet_fill(packet, sizeof(packet), STREAM, halted->slow_sent++);
    client_send(halted->to_slow, halted->slow, packet, sizeof(packet));
    read_slow(halted, PATIENCE_MS);
    assert_int_equal(halted->slow_next, halted->slow_sent);
    client_settle(halted->idle);
}

static void settle(struct halted *halted)
{
    struct flow_figures figures = flow_stop(halted->flow, "stopped for 30 s");
    assert_false(figures.sender_ended || figures.receiver_ended);
    /* What had no room in the stopped process's socket, its sender's kernel sends again at its own
     * time, which has doubled meanwhile. */
    assert_true(figures.recovered_us < 20 * A_SECOND_US);
    client_settle(halted->idle);
    int64_t began = now_us();
    struct client_socket *late = client_join(halted->address, NULL);
    client_send(late, halted->idle, "late", 4);
    client_expect_packet(halted->idle, late, "late", 4);
    assert_true(now_us() - began < A_SECOND_US);
    client_socket_close(late);
    client_socket_close(halted->idle);
    client_socket_close(halted->slow);
    client_socket_close(halted->to_slow);
    close(halted->half);
    process_await_files(halted->daemon, halted->files);
    process_stop(halted->daemon);
    process_free(halted->daemon);
}

/* Both engines at once. All deadlines pass meanwhile: of writes, of half a request, of keep-alives.
 * Who reads and writes must not pay for it. */
static void test_stopped(void **state)
{
    const struct cell *first = *state;
    const struct cell cells[] = {{first->engine, 2, false}, {HYPERDERP_ENGINE_EPOLL, 2, false}};
    unsigned count = first->engine == HYPERDERP_ENGINE_EPOLL ? 1 : 2;
    struct halted halted[2] = {{0}};
    int waiting[2];

    service_make_folder();
    for (unsigned i = 0; i < count; i++)
        surround(&halted[i], &cells[i]);
    for (unsigned i = 0; i < count; i++)
        kill(process_pid(halted[i].daemon), SIGSTOP);
    for (unsigned i = 0; i < count; i++)
        waiting[i] = tcp_connect(halted[i].address); /* the kernel says yes */
    for (int ms = 0; ms < STOPPED_MS; ms += 1000) {
        for (unsigned i = 0; i < count; i++)
            read_slow(&halted[i], 1);
        wait_ms(1000);
    }
    for (unsigned i = 0; i < count; i++)
        kill(process_pid(halted[i].daemon), SIGCONT);
    for (unsigned i = 0; i < count; i++)
        settle_slow(&halted[i]);
    for (unsigned i = 0; i < count; i++) {
        settle(&halted[i]);
        close(waiting[i]);
    }
    service_remove_folder();
}

/* ---- The clock ---- */

#define TEN_YEARS INT64_C(315576000)

static void test_clock(void **state)
{
    static const int64_t shifts[] = {TEN_YEARS, -TEN_YEARS, 1, -3600, 0};
    char library[512], file[128];
    volatile int64_t *shift;

    if (SANITIZED) {
        print_message("a sanitizer must be before all other libraries\n");
        skip();
    }
    service_make_folder();
    snprintf(library, sizeof(library), "%s/tests/torture/shift_clock.so", getenv("BUILD"));
    snprintf(file, sizeof(file), "%s/shift", service_folder);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, sizeof(*shift)) == 0);
    shift = mmap(NULL, sizeof(*shift), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(shift, MAP_FAILED);
    write_plain(*state, "[limits]\nwrite_timeout = \"2s\"\nhandshake_timeout = \"2s\"\n");
    setenv("SHIFT_CLOCK", file, 1);
    struct process *daemon = launch_ready(&(struct restriction){.preload = library});
    unsetenv("SHIFT_CLOCK");
    unsigned files = process_files(daemon);
    struct client_socket *idle = client_join(process_address(daemon), NULL);
    int half = tcp_connect(process_address(daemon));
    int64_t began = now_us();
    struct pair *pair = pair_start(process_address(daemon), 200, 600);
    for (unsigned i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++) {
        *shift = shifts[i];
        client_socket_close(client_join(process_address(daemon), NULL));
        client_settle(idle);
        if (i == 0)
            assert_false(tcp_await_end(half, 500));
        wait_ms(200);
    }
    /* Its deadline is of a clock that only goes forward. */
    assert_true(tcp_await_end(half, PATIENCE_MS));
    print_message("half a handshake was ended after %.1f s of 2 s\n",
                  (double)(now_us() - began) / 1e6);
    assert_true(now_us() - began > 1900000 && now_us() - began < 2000000 + 2 * A_SECOND_US);
    *shift = TEN_YEARS;
    write_plain(*state, "[limits]\nwrite_timeout = \"3s\"\n");
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "\n2036-");
    pair_stop(pair, "clocks that jump", A_SECOND_US);
    close(half);
    client_socket_close(idle);
    process_await_files(daemon, files);
    process_stop(daemon);
    process_free(daemon);
    munmap((void *)(uintptr_t)shift, sizeof(*shift));
    close(fd);
    service_remove_folder();
}

/* ---- Without io_uring ---- */

static unsigned count_of(const char *text, const char *part)
{
    unsigned count = 0;

    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        count++;
    return count;
}

static void test_forbidden(void **state)
{
    static const int errors[] = {EPERM, ENOSYS};
    struct cell cell = *(const struct cell *)*state;

    service_make_folder();
    for (unsigned i = 0; i < 2; i++) {
        const struct restriction forbidden = {.no_io_uring = errors[i]};
        cell.engine = HYPERDERP_ENGINE_AUTO;
        cell.workers = 3;
        write_plain(&cell, "");
        struct process *daemon = launch_ready(&forbidden);
        struct pair *pair = pair_start(process_address(daemon), 200, 600);
        wait_ms(200);
        pair_stop(pair, "a daemon without io_uring", A_SECOND_US);
        assert_contains(process_log(daemon), "on epoll");
        assert_int_equal(count_of(process_log(daemon), "io_uring"), 1); /* one line says why */
        assert_contains(process_log(daemon), strerror(errors[i]));
        process_stop(daemon);
        process_free(daemon);

        cell.engine = HYPERDERP_ENGINE_IO_URING;
        write_plain(&cell, "");
        daemon = launch(&forbidden);
        assert_int_not_equal(process_wait(daemon, PATIENCE_MS), 0);
        assert_contains(process_log(daemon), "choose the engine epoll");
        print_message("%s", process_log(daemon));
        process_free(daemon);
    }
    service_remove_folder();
}

/* ---- The mesh ---- */

static void write_node(const struct cell *cell, unsigned port, unsigned with)
{
    char text[1024], nodes[64] = "";

    if (with)
        snprintf(nodes, sizeof(nodes), "\"http://127.0.0.1:%u\"", with);
    snprintf(text, sizeof(text),
             "[[listener]]\naddress = \"127.0.0.1:%u\"\ntls = false\n"
             "[limits]\nwrite_timeout = \"2s\"\n"
             "[mesh]\nkey_file = \"%s/mesh.key\"\nwith = [%s]\n",
             port, service_folder, nodes);
    snprintf(service_key, sizeof(service_key), "%s/%s.key", service_folder, with ? "b" : "a");
    service_write_text(cell, text);
}

/* Until a packet passes from one to the other; what came before it is read. */
static int64_t await_path(struct client_socket *from, struct client_socket *to)
{
    int64_t began = now_us(), until = began + 2 * (int64_t)PATIENCE_MS * 1000;
    struct client_message message;
    char text[32];

    for (unsigned i = 0; now_us() < until; i++) {
        int len = snprintf(text, sizeof(text), "here %u", i);
        client_send(from, to, text, (size_t)len);
        while (client_socket_recv(to, &message, 50) == 0)
            if (message.type == CLIENT_MESSAGE_PACKET && message.len == (size_t)len &&
                memcmp(message.payload, text, message.len) == 0)
                return now_us() - began;
    }
    fail_msg("no packet passes from one node to the other");
    return 0;
}

static void test_mesh(void **state)
{
    const struct cell *cell = *state;
    char key[128];
    uint8_t packet[1200];

    service_make_folder();
    snprintf(key, sizeof(key), "%s/mesh.key", service_folder);
    FILE *out = fopen(key, "w");
    assert_non_null(out);
    fprintf(out, "%064d\n", 7);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(key, 0600), 0);
    /* Each is told the other's address: the first by a reload. */
    write_node(cell, 0, 0);
    struct process *a = service_start();
    write_node(cell, 0, process_port(a));
    struct process *b = service_start();
    write_node(cell, 0, process_port(b));
    kill(process_pid(a), SIGHUP);
    struct client_socket *on_a = client_join(process_address(a), NULL);
    struct client_socket *on_b = client_join(process_address(b), NULL);
    print_message("paths after %.1f ms and %.1f ms\n", (double)await_path(on_b, on_a) / 1000,
                  (double)await_path(on_a, on_b) / 1000);

    struct pair *pair = pair_start(process_address(a), 500, 600);
    long before = process_rss_kib(a);
    kill(process_pid(b), SIGSTOP);
    int64_t since = now_us();
    unsigned sent = 0;
    char name[96];
    bool up = true;
    snprintf(name, sizeof(name), "hyper_derp_mesh_link_up{node=\"http://127.0.0.1:%u\"}",
             process_port(b));
    /* Flat out to the client of the frozen node, until the link is dropped. */
    while (up && now_us() - since < 20 * INT64_C(1000000)) {
        for (unsigned i = 0; i < 100; i++) {
            packet_fill(packet, sizeof(packet), STREAM, sent++);
            client_send(on_a, on_b, packet, sizeof(packet));
        }
        wait_ms(1);
        up = service_metric(a, name) > 0;
    }
    print_message(
        "the frozen node was given up after %.1f s and %u packets; memory grew by %ld KiB\n",
        (double)(now_us() - since) / 1e6, sent, process_peak_kib(a) - before);
    assert_false(up);
    assert_true(process_peak_kib(a) - before < 16384);
    wait_ms(1000); /* how long it stays frozen, given up */
    kill(process_pid(b), SIGCONT);
    pair_stop_within(pair, "a frozen node", A_SECOND_US, A_SECOND_US / 20);
    int64_t took = await_path(on_b, on_a);
    print_message("a path again %.1f ms after it goes on\n", (double)took / 1000);
    assert_true(took < 12 * A_SECOND_US);
    client_socket_close(on_a);
    client_socket_close(on_b);
    process_stop(b);
    process_free(b);
    process_stop(a);
    process_free(a);
    service_remove_folder();
}

int main(int argc, char **argv)
{
    static const struct matrix_test tests[] = {
        {"stopped", test_stopped, CELLS_ONE},
        {"clock", test_clock, CELLS_ENGINES | CELLS_TLS},
        {"forbidden", test_forbidden, CELLS_ONE},
        {"mesh", test_mesh, CELLS_ENGINES},
    };

    launch_main(argc, argv);
    return matrix_run("fault_process", tests, sizeof(tests) / sizeof(tests[0]));
}
