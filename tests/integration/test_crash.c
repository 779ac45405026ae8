/* SPDX-License-Identifier: BSD-3-Clause */
/* Killed under load and started again on the same port, the relay serves again at once. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

#include "relay_process.h"
#include "traffic.h"

#define KILLS 5

/* A new pair of clients, and a packet each way. */
static void pass_packets(const char *address)
{
    struct client_socket *a = client_join(address, NULL);
    struct client_socket *b = client_join(address, NULL);

    client_send(a, b, "to b", 4);
    client_expect_packet(b, a, "to b", 4);
    client_send(b, a, "to a", 4);
    client_expect_packet(a, b, "to a", 4);
    client_socket_close(a);
    client_socket_close(b);
}

static struct process *start_load(const char *address)
{
    const char *arguments[] = {"--relay", address,      "--rate", "0", "--burst",
                               "8",       "--duration", "60",     NULL};

    return process_spawn(BENCH, arguments, -1);
}

static void test_kill(void **state)
{
    struct process *relay = process_start(*state, 0, -1);
    unsigned port = process_port(relay);

    for (unsigned i = 0; i < KILLS; i++) {
        struct client_socket *waits = client_join(process_address(relay), NULL);
        struct process *load = start_load(process_address(relay));
        (void)poll(NULL, 0, 50 + 70 * (int)i); /* the load it is killed under, another each time */
        pass_packets(process_address(relay));
        process_kill(relay);
        process_free(relay);
        int64_t begin = now_us();
        relay = process_start(*state, port, -1);
        assert_int_equal(process_port(relay), port);
        pass_packets(process_address(relay));
        int64_t took = now_us() - begin;
        print_message("serves again %.1f ms after its start\n", (double)took / 1000);
        assert_true(took < A_SECOND_US);
        assert_true(tcp_await_end(client_socket_fd(waits), PATIENCE_MS));
        client_socket_close(waits);
        process_kill(load);
        process_free(load);
    }
    process_stop(relay);
    process_free(relay);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"kill", test_kill, CELLS_ALL | CELLS_TLS},
    };
    return matrix_run("crash", tests, sizeof(tests) / sizeof(tests[0]));
}
