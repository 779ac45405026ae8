/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay as a part of a larger program, which makes several, many after another, and children. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "relay_fixture.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* The argument by which this program, executed anew, tells of the files that it was left. */
#define COUNT_FILES "--count-files"

/* Makes a relay listen, and keeps where. */
static void listen_on(struct fixture *fixture, hyperderp_certificate *certificate, int fd)
{
    hyperderp_listener_options listener;

    hyperderp_listener_options_init(&listener);
    listener.address = fd < 0 ? "127.0.0.1:0" : NULL;
    listener.fd = fd;
    listener.certificate = certificate;
    int number = hyperderp_relay_add_listener(fixture->relay, &listener);
    assert_true(number >= 0);
    assert_int_equal(hyperderp_relay_listener_address(fixture->relay, number, fixture->address,
                                                      sizeof(fixture->address)),
                     0);
    hyperderp_relay_public_key(fixture->relay, &fixture->key);
}

static void make(struct fixture *fixture, hyperderp_engine engine, unsigned workers)
{
    hyperderp_relay_options options = fixture_options(engine, workers);

    *fixture = (struct fixture){0};
    options.mesh_key[0] = 1;
    assert_int_equal(hyperderp_relay_new(&fixture->relay, &options), 0);
}

static void send_one(struct client_socket *from, struct client_socket *to)
{
    static const char packet[] = "from one to the other";

    assert_int_equal(client_socket_send(from, client_socket_key(to), packet, sizeof(packet),
                                        FIXTURE_PATIENCE_MS),
                     0);
    struct client_message message = fixture_expect(to, CLIENT_MESSAGE_PACKET);
    assert_true(hyperderp_key_equal(&message.peer, client_socket_key(from)));
    assert_memory_equal(message.payload, packet, sizeof(packet));
}

/* ---- Several in one program ---- */

/* One is stopped and freed, another made, while packets pass through a third. */
static void relays_do_not_know_of_each_other(hyperderp_engine lasting, hyperderp_engine passing)
{
    enum { ROUNDS = 20 };
    struct fixture stays;

    if (!fixture_has(lasting) || !fixture_has(passing))
        skip();
    make(&stays, lasting, 2);
    listen_on(&stays, NULL, -1);
    assert_int_equal(hyperderp_relay_start(stays.relay), 0);
    struct client_socket *from = fixture_join(&stays, 0), *to = fixture_join(&stays, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct fixture passes;
        make(&passes, passing, 1 + round % 2);
        assert_false(hyperderp_key_equal(&passes.key, &stays.key));
        listen_on(&passes, NULL, -1);
        send_one(from, to);
        assert_int_equal(hyperderp_relay_start(passes.relay), 0);
        struct client_socket *other = fixture_join(&passes, 0);
        send_one(from, to);
        assert_int_equal(
            client_socket_send(other, client_socket_key(to), "x", 1, FIXTURE_PATIENCE_MS), 0);
        fixture_wait(&passes, counters_at_rest, 1);
        if (round % 3 == 0)
            assert_int_equal(hyperderp_relay_drain(passes.relay, 0), -ETIMEDOUT);
        hyperderp_relay_stop(passes.relay);
        send_one(from, to);
        assert_int_equal(fixture_counters(&passes).packets_delivered, 0);
        hyperderp_relay_free(passes.relay);
        send_one(from, to);
        client_socket_close(other);
    }
    fixture_wait(&stays, counters_at_rest, 4 * ROUNDS);
    hyperderp_counters counters = fixture_counters(&stays);
    assert_int_equal(counters.packets_delivered, 4 * ROUNDS);
    assert_int_equal(counters.handshakes_ok, 2);
    client_socket_close(from);
    client_socket_close(to);
    hyperderp_relay_free(stays.relay);
}

static void epoll_beside_io_uring(void **state)
{
    (void)state;
    relays_do_not_know_of_each_other(HYPERDERP_ENGINE_EPOLL, HYPERDERP_ENGINE_IO_URING);
}

static void io_uring_beside_epoll(void **state)
{
    (void)state;
    relays_do_not_know_of_each_other(HYPERDERP_ENGINE_IO_URING, HYPERDERP_ENGINE_EPOLL);
}

/* ---- Many, one after another ---- */

static unsigned open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static long resident_kib(void)
{
    long size, resident;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* With a listener and STUN every other time, and as every 20th started and stopped. */
static void make_and_free(hyperderp_engine engine, unsigned times)
{
    struct fixture fixture;

    for (unsigned i = 0; i < times; i++) {
        make(&fixture, engine, 1 + i % 2);
        if (i % 2 == 0) {
            listen_on(&fixture, i % 4 ? fixture_certificate() : NULL, -1);
            assert_int_equal(hyperderp_relay_add_stun(fixture.relay, "127.0.0.1:0"), 0);
        }
        if (i % 20 == 0)
            assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
        if (i % 40 == 0)
            hyperderp_relay_stop(fixture.relay);
        hyperderp_relay_free(fixture.relay);
    }
}

/* What a relay took is there again: a leak of a few bytes for each would be seen. A heap that has
 * seen all of it once does not grow any more. */
static void ten_thousand_leave_nothing(void **state)
{
    const unsigned times = SANITIZED || getenv("VALGRIND") ? 300 : 5000; /* on each engine */
    hyperderp_engine engine = fixture_engine(state);

    make_and_free(engine, times / 10);
    unsigned files = open_files();
    long before = resident_kib();
    make_and_free(engine, times);
    assert_int_equal(open_files(), files);
    long grown = resident_kib() - before;
    print_message("%u relays: %ld KiB more\n", times, grown);
    if (!SANITIZED && !getenv("VALGRIND"))
        assert_true(grown < 256);
}

/* ---- Children ---- */

/* Files of this process beyond the three; -1: it cannot be told. */
static int further_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    if (!dir)
        return -1;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd <= 2 || fd == dirfd(dir))
            continue;
        char path[64], to[128] = "";
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, to, sizeof(to) - 1) > 0)
            fprintf(stderr, "left to the child: %d, %s\n", fd, to);
        count++;
    }
    closedir(dir);
    return count;
}

/* What this process was started with is not the library's. */
static void keep_others_files_from_children(void)
{
    for (int fd = 3; fd < 1024; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int wait_for(pid_t child)
{
    int status;

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_clean_child(void)
{
    static char program[] = "/proc/self/exe", argument[] = COUNT_FILES;
    char *const arguments[] = {program, argument, NULL};
    pid_t child = fork();

    if (child == 0) {
        execv(program, arguments);
        _exit(99);
    }
    assert_int_equal(wait_for(child), 0);
}

static int bound_socket(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0); /* without SOCK_CLOEXEC, as programs do it */

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 16), 0);
    return fd;
}

/* A node of the region that takes the connection and says nothing. */
static int add_silent_node(hyperderp_relay *relay)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    char url[64];
    const hyperderp_mesh_peer_options node = {.size = sizeof(node), .address = url};
    int fd = bound_socket(SOCK_STREAM);

    assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &node), 0);
    return fd;
}

/* Every kind of file that a relay has: rings, sets, listeners of its own and of the program's,
 * STUN, clients, links. */
static void executed_children_get_no_file(void **state)
{
    hyperderp_engine engine = fixture_engine(state);
    struct fixture fixture;
    char path[] = "/tmp/embedding-XXXXXX", address[64];
    hyperderp_listener_options listener;

    keep_others_files_from_children();
    expect_clean_child();
    make(&fixture, engine, 2);
    listen_on(&fixture, fixture_certificate(), -1);
    assert_non_null(mkdtemp(path));
    hyperderp_listener_options_init(&listener);
    snprintf(address, sizeof(address), "unix:%s/socket", path);
    listener.address = address;
    assert_int_equal(hyperderp_relay_add_listener(fixture.relay, &listener), 1);
    assert_int_equal(hyperderp_relay_add_stun(fixture.relay, "127.0.0.1:0"), 0);
    assert_int_equal(hyperderp_relay_add_stun_fd(fixture.relay, bound_socket(SOCK_DGRAM)), 1);
    int copy = hyperderp_relay_listener_fd(fixture.relay, 0);
    assert_true(copy >= 0);
    int node = add_silent_node(fixture.relay);
    listen_on(&fixture, NULL, bound_socket(SOCK_STREAM));
    expect_clean_child();
    assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    assert_int_equal(fcntl(client_socket_fd(from), F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(client_socket_fd(to), F_SETFD, FD_CLOEXEC), 0);
    int accepted = accept4(node, NULL, NULL, SOCK_CLOEXEC); /* so the link has its socket */
    assert_true(accepted >= 0);
    expect_clean_child();
    send_one(from, to);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), -ETIMEDOUT);
    expect_clean_child();
    hyperderp_relay_stop(fixture.relay);
    expect_clean_child();
    client_socket_close(from);
    client_socket_close(to);
    hyperderp_relay_free(fixture.relay);
    close(accepted);
    close(node);
    close(copy);
    rmdir(path);
}

/* A child that leaves all of it alone disturbs nobody. */
static void forked_children_disturb_nobody(void **state)
{
    hyperderp_engine engine = fixture_engine(state);
    struct fixture fixture;

    make(&fixture, engine, 2);
    listen_on(&fixture, NULL, -1);
    assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(hyperderp_key_equal(&fixture.key, client_socket_key(to)) ? 1 : 0);
        send_one(from, to);
        assert_int_equal(wait_for(child), 0);
        send_one(from, to);
    }
    client_socket_close(from);
    client_socket_close(to);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.packets_delivered, 40);
    assert_int_equal(fixture_dropped(&counters), 0);
    hyperderp_relay_free(fixture.relay);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epoll_beside_io_uring),
        cmocka_unit_test(io_uring_beside_epoll),
        FIXTURE_ON_BOTH(ten_thousand_leave_nothing),
        FIXTURE_ON_BOTH(executed_children_get_no_file),
        FIXTURE_ON_BOTH(forked_children_disturb_nobody),
    };

    if (argc == 2 && strcmp(argv[1], COUNT_FILES) == 0)
        return further_files();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
