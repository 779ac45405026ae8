/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets found by what they are bound to, and both ends of the socket to take over by. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "socket_address.h"
#include "takeover.h"

static char folder[64], path[96];

static int make_folder(void **state)
{
    (void)state;
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, TAKEOVER_SIGNAL);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    snprintf(folder, sizeof(folder), "/tmp/hyper-derp-takeover.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/sock", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static int bind_ip(int family, int type, bool v6only)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    int fd = socket(family, type | SOCK_CLOEXEC, 0), only = v6only;

    assert_true(fd >= 0);
    if (family == AF_INET6) {
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)), 0);
        if (v6only)
            in6.sin6_addr = in6addr_loopback;
        assert_int_equal(bind(fd, (struct sockaddr *)&in6, sizeof(in6)), 0);
    } else {
        assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    }
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static unsigned port_of(int fd)
{
    struct sockaddr_in6 in6;
    socklen_t size = sizeof(in6);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&in6, &size), 0);
    return ntohs(in6.sin6_port); /* where that of IPv4 lies as well */
}

static bool matches(int fd, int type, const char *host, unsigned port)
{
    char address[128];

    snprintf(address, sizeof(address), "%s:%u", host, port);
    return socket_address_matches(fd, type, address);
}

static void addresses_of_ipv4(void **state)
{
    (void)state;
    int fd = bind_ip(AF_INET, SOCK_STREAM, false);
    unsigned port = port_of(fd);

    assert_true(matches(fd, SOCK_STREAM, "127.0.0.1", port));
    assert_true(matches(fd, SOCK_STREAM, "127.0.0.1", 0));
    assert_false(matches(fd, SOCK_DGRAM, "127.0.0.1", port));
    assert_false(matches(fd, SOCK_STREAM, "127.0.0.2", port));
    assert_false(matches(fd, SOCK_STREAM, "127.0.0.1", port ^ 1));
    assert_false(matches(fd, SOCK_STREAM, "", port));
    assert_false(matches(fd, SOCK_STREAM, "[::1]", port));
    assert_false(socket_address_matches(fd, SOCK_STREAM, "unix:/tmp/x"));
    assert_false(socket_address_matches(fd, SOCK_STREAM, "nothing"));
    assert_false(socket_address_matches(-1, SOCK_STREAM, "127.0.0.1:0"));
    close(fd);

    /* One that does not listen is of no use. */
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_false(matches(fd, SOCK_STREAM, "0.0.0.0", 0));
    close(fd);

    fd = bind_ip(AF_INET, SOCK_DGRAM, false);
    assert_true(matches(fd, SOCK_DGRAM, "127.0.0.1", port_of(fd)));
    assert_false(matches(fd, SOCK_STREAM, "127.0.0.1", port_of(fd)));
    close(fd);
}

static void addresses_of_ipv6(void **state)
{
    (void)state;
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    bool has = probe >= 0 && bind(probe, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;
    close(probe);
    if (!has)
        skip();
    int any = bind_ip(AF_INET6, SOCK_STREAM, false), one = bind_ip(AF_INET6, SOCK_STREAM, true);

    assert_true(matches(any, SOCK_STREAM, "", port_of(any)));
    assert_false(matches(any, SOCK_STREAM, "[::]", port_of(any))); /* that is IPv6 alone */
    assert_true(matches(one, SOCK_STREAM, "[::1]", port_of(one)));
    assert_false(matches(one, SOCK_STREAM, "[::2]", port_of(one)));
    assert_false(matches(one, SOCK_STREAM, "", port_of(one)));
    close(any);
    close(one);
}

static void names_are_what_systemd_takes(void **state)
{
    char name[128], wanted[128];

    (void)state;
    int fd = bind_ip(AF_INET, SOCK_STREAM, false);
    socket_address_name(fd, name, sizeof(name));
    snprintf(wanted, sizeof(wanted), "tcp.127.0.0.1.%u", port_of(fd));
    assert_string_equal(name, wanted);
    close(fd);
    fd = bind_ip(AF_INET, SOCK_DGRAM, false);
    socket_address_name(fd, name, sizeof(name));
    assert_memory_equal(name, "udp.127.0.0.1.", 14);
    close(fd);

    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/a:b c", folder);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 1), 0);
    socket_address_name(fd, name, sizeof(name));
    snprintf(wanted, sizeof(wanted), "unix.%s/a.b.c", folder);
    assert_string_equal(name, wanted);
    char address[128];
    snprintf(address, sizeof(address), "unix:%s/a:b c", folder);
    assert_true(socket_address_matches(fd, SOCK_STREAM, address));
    unlink(un.sun_path);
    assert_false(socket_address_matches(fd, SOCK_STREAM, address)); /* nobody can reach it */
    close(fd);
}

/* The old one's side, with one socket to give. */
static void be_old(struct takeover *old, struct sockets *sockets, int fd)
{
    takeover_init(old);
    *sockets = (struct sockets){.stun = -1, .metrics = -1, .keeps_copies = true};
    assert_int_equal(sockets_keep(sockets, fd), 0);
    assert_int_equal(takeover_listen(old, path, sockets), 0);
    assert_int_equal(sockets->copy_count, 2); /* with its own */
}

static int connect_raw(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

static bool signal_comes(void)
{
    const struct timespec patience = {.tv_sec = 10};
    sigset_t waited;

    sigemptyset(&waited);
    sigaddset(&waited, TAKEOVER_SIGNAL);
    return sigtimedwait(&waited, NULL, &patience) == TAKEOVER_SIGNAL;
}

/* Whoever says something else, or nothing, changes nothing. */
static void others_are_not_heard(void **state)
{
    static const char *const said[] = {"", "read", "ready!", "READY", "ready\n"};
    struct takeover old;
    struct sockets sockets;

    (void)state;
    int fd = bind_ip(AF_INET, SOCK_STREAM, false);
    be_old(&old, &sockets, fd);
    assert_false(takeover_look(&old, &sockets));
    for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        int peer = connect_raw();
        assert_true(signal_comes());
        assert_false(takeover_look(&old, &sockets));
        assert_true(old.peer >= 0);
        if (*said[i])
            assert_int_equal(send(peer, said[i], strlen(said[i]), 0), strlen(said[i]));
        close(peer);
        assert_true(signal_comes());
        assert_false(takeover_look(&old, &sockets));
        assert_int_equal(old.peer, -1);
    }
    /* The right word comes through. */
    int peer = connect_raw();
    assert_false(takeover_look(&old, &sockets));
    assert_int_equal(send(peer, "ready", 5, 0), 5);
    assert_true(takeover_look(&old, &sockets));
    close(peer);
    takeover_close(&old, path);
    sockets_free(&sockets);
    close(fd);
}

/* What an old one must not send: the new one closes it all, and does not start. */
static void strange_greetings_are_refused(void **state)
{
    static const char *const greetings[] = {"hyper-derp takeover 2", "hyper-derp takeover 1 ",
                                            "hyper-derp takeover", "x"};

    (void)state;
    for (unsigned i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
        assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
        assert_int_equal(listen(listener, 1), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            int peer = accept(listener, NULL, NULL);
            (void)!write(peer, greetings[i], strlen(greetings[i]));
            char byte;
            (void)!read(peer, &byte, 1); /* until it hangs up */
            _exit(0);
        }
        struct handed_sockets handed = {0};
        struct takeover new;
        takeover_init(&new);
        assert_int_equal(takeover_ask(&new, path, &handed), -EPROTO);
        assert_int_equal(new.peer, -1);
        handed_sockets_free(&handed);
        close(listener);
        unlink(path);
    }
}

/* A file that nobody listens at is replaced, another kind of file is not. */
static void files_at_the_path(void **state)
{
    struct sockets sockets;
    struct takeover old, second;
    struct stat info;

    (void)state;
    int fd = bind_ip(AF_INET, SOCK_STREAM, false);
    be_old(&old, &sockets, fd);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    takeover_init(&second);
    struct sockets none = {.stun = -1, .metrics = -1};
    assert_int_equal(takeover_listen(&second, path, &none), -EADDRINUSE);
    takeover_close(&old, NULL); /* its file stays behind */
    sockets_free(&sockets);
    assert_int_equal(stat(path, &info), 0);
    be_old(&old, &sockets, fd);
    takeover_close(&old, path);
    sockets_free(&sockets);
    assert_int_equal(stat(path, &info), -1);

    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(takeover_listen(&second, path, &none), -EADDRINUSE);
    assert_int_equal(stat(path, &info), 0);
    unlink(path);
    close(fd);

    /* Nobody there is no fault. */
    struct handed_sockets handed = {0};
    assert_int_equal(takeover_ask(&second, path, &handed), 0);
    assert_int_equal(handed.count, 0);
    assert_int_equal(second.peer, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_ipv4),
        cmocka_unit_test(addresses_of_ipv6),
        cmocka_unit_test(names_are_what_systemd_takes),
        cmocka_unit_test(others_are_not_heard),
        cmocka_unit_test(strange_greetings_are_refused),
        cmocka_unit_test(files_at_the_path),
    };
    return cmocka_run_group_tests_name("takeover", tests, make_folder, remove_folder);
}
