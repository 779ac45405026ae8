/* SPDX-License-Identifier: BSD-3-Clause */
/* The choice of the engine where the kernel forbids io_uring, as containers commonly do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "client/client_socket.h"

static char log_text[4096];

static void keep_log(void *user, hyperderp_log_level level, const char *line)
{
    size_t at = strlen(log_text);
    (void)user;
    snprintf(log_text + at, sizeof(log_text) - at, "%d %s\n", level, line);
}

/* Makes io_uring_setup() fail with EPERM in this process, for good. */
static int forbid_io_uring(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -errno;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 ? 0 : -errno;
}

/* Passes one packet from a client to itself. */
static int passes_a_packet(hyperderp_relay *relay)
{
    hyperderp_listener_options listener;
    struct client_options options = {.info.version = DERP_PROTOCOL_VERSION};
    struct client_socket *socket;
    struct client_message message = {0};
    char address[64];

    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    if (hyperderp_relay_add_listener(relay, &listener) != 0 ||
        hyperderp_relay_listener_address(relay, 0, address, sizeof(address)) != 0 ||
        hyperderp_relay_start(relay) != 0 ||
        hyperderp_private_key_generate(&options.private_key) != 0 ||
        client_socket_connect(&socket, address, &options, 10000) != 0)
        return 0;
    int error = client_socket_send(socket, client_socket_key(socket), "packet", 6, 10000);
    if (error == 0)
        error = client_socket_recv(socket, &message, 10000);
    int passed = error == 0 && message.type == CLIENT_MESSAGE_PACKET && message.len == 6;
    client_socket_close(socket);
    return passed;
}

/* Runs in a child, which cannot get rid of its filter. Returns 0, or the number of what went wrong.
 */
static int without_io_uring(void)
{
    hyperderp_relay_options options;
    hyperderp_relay *relay;

    if (forbid_io_uring() != 0)
        return 77;
    hyperderp_relay_options_init(&options);
    options.log = keep_log;
    options.workers = 2;
    if (hyperderp_relay_new(&relay, &options) != 0)
        return 1;
    if (hyperderp_relay_engine(relay) != HYPERDERP_ENGINE_EPOLL)
        return 2;
    if (!strstr(log_text,
                "1 io_uring is not available here (Operation not permitted); using epoll"))
        return 3;
    if (!passes_a_packet(relay))
        return 4;
    hyperderp_relay_free(relay);

    options.engine = HYPERDERP_ENGINE_IO_URING;
    log_text[0] = '\0';
    if (hyperderp_relay_new(&relay, &options) != -ENOSYS || relay)
        return 5;
    return strstr(log_text, "choose the engine epoll") ? 0 : 6;
}

static void test_falls_back_to_epoll(void **state)
{
    int status = 0;

    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(without_io_uring());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("this kernel does not let a process filter its system calls\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_falls_back_to_epoll)};
    return cmocka_run_group_tests_name("engine choice", tests, NULL, NULL);
}
