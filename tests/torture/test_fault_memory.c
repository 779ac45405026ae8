/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that the system does not give: an address space that is used up (RLIMIT_AS), and a cgroup
 * with a limit. New work is refused and counted, who is there goes on, and all recovers. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flow.h"
#include "launch.h"
#include "service.h"
#include "storm.h"

#define HALVES  4000
#define KEPT    60000 /* bytes of each half-sent frame */
#define STALLED 60
#define CGROUPS "/sys/fs/cgroup"

static void write_config(const struct cell *cell, const char *limits)
{
    char text[256];

    snprintf(text, sizeof(text),
             "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = %s\n[tls]\nhostname = \"127.0.0.1\"\n"
             "[limits]\n%s\n",
             matrix_is_tls() ? "true" : "false", limits);
    service_write_text(cell, text);
}

/* The address space of an idle daemon with this configuration. */
static long idle_kib(void)
{
    char path[64], line[256];
    long kib = 0;
    struct process *daemon = launch_ready(&(struct restriction){0});

    snprintf(path, sizeof(path), "/proc/%d/status", (int)process_pid(daemon));
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    while (kib == 0 && fgets(line, sizeof(line), in))
        if (strncmp(line, "VmPeak:", 7) == 0)
            kib = strtol(line + 7, NULL, 10);
    fclose(in);
    assert_true(kib > 0);
    process_stop(daemon);
    process_free(daemon);
    return kib;
}

/* A client that does not mind being refused or closed; NULL when it was. */
static struct client_socket *try_half(const char *address, const hyperderp_key *to)
{
    static uint8_t bytes[FRAME_PACKET_OVERHEAD + KEPT];
    struct client_options options = {.info = {.version = DERP_PROTOCOL_VERSION}};
    struct client_socket *client;

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    if (client_socket_connect(&client, address, &options, 200) != 0)
        return NULL;
    client_packet_header(bytes, to, FRAME_MAX_PACKET);
    if (client_socket_send_raw(client, bytes, sizeof(bytes), 200) == 0)
        return client;
    client_socket_close(client);
    return NULL;
}

/* Half-sent frames until memory has run out, and then many more. */
static void test_address_space(void **state)
{
    static struct client_socket *halves[HALVES];
    unsigned refused = 0;

    if (SANITIZED) {
        print_message("a sanitizer takes all of the address space\n");
        skip();
    }
    (void)storm_size(HALVES + 200);
    service_make_folder();
    write_config(*state, "");
    struct process *daemon = launch_ready(&(struct restriction){.address_space_kib = idle_kib()});
    const char *address = process_address(daemon);
    unsigned files = process_files(daemon);
    struct flow *flow = flow_start(address, 200, 600);
    struct client_socket *to = client_join(address, NULL);
    for (unsigned i = 0; i < HALVES; i++) {
        halves[i] = try_half(address, client_socket_key(to));
        refused += halves[i] == NULL;
    }
    double queued = service_metric(daemon, "hyper_derp_queued_bytes");
    print_message("%u half-sent frames: %u clients refused or closed at once, %.1f MiB held\n",
                  HALVES, refused, queued / (1 << 20));
    assert_true(queued < 0.9 * HALVES * KEPT); /* memory has run out */
    assert_true(queued > 0);
    for (unsigned i = 0; i < HALVES; i++)
        client_socket_close(halves[i]);
    int64_t began = now_us();
    process_await_files(daemon, files + 3);
    struct client_socket *late = client_join(address, NULL);
    client_send(late, to, "late", 4);
    client_expect_packet(to, late, "late", 4);
    print_message("a client joined %.1f ms after the others had gone\n",
                  (double)(now_us() - began) / 1000);
    assert_true(now_us() - began < 5 * A_SECOND_US);
    struct flow_figures figures = flow_stop(flow, "while memory was used up");
    assert_false(figures.sender_ended || figures.receiver_ended);
    assert_true(figures.received > figures.sent * 9 / 10);
    client_socket_close(late);
    client_socket_close(to);
    process_await_files(daemon, files);
    process_stop(daemon);
    static const char *const counted[] = {"slab_exhausts", "refused_memory", "accept_errors",
                                          "handshakes_failed", "control_drops"};
    uint64_t sum = 0;
    for (unsigned i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        uint64_t value = process_counter(daemon, counted[i]);
        print_message("%s %" PRIu64 "\n", counted[i], value);
        sum += value;
    }
    assert_true(sum > 0 || refused == 0);
    process_free(daemon);
    service_remove_folder();
}

static bool put(const char *folder, const char *name, const char *text)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *out = fopen(path, "r+"); /* a file that is there: of a cgroup, not of a tmpfs */
    if (!out)
        return false;
    bool done = fputs(text, out) >= 0;
    return fclose(out) == 0 && done;
}

/* Of version 2, or of version 1 where that is what the system has. */
static bool make_cgroup(char folder[96], const char *limit)
{
    snprintf(folder, 96, CGROUPS "/hyper-derp-test-%d", (int)getpid());
    if (mkdir(folder, 0700) == 0) {
        if (put(folder, "memory.max", limit))
            return true;
        rmdir(folder);
    }
    snprintf(folder, 96, CGROUPS "/memory/hyper-derp-test-%d", (int)getpid());
    if (mkdir(folder, 0700) != 0)
        return false;
    if (put(folder, "memory.limit_in_bytes", limit))
        return true;
    rmdir(folder);
    return false;
}

/* With limits.memory at a quarter of it, a limit on the whole process is never met. */
static void test_cgroup(void **state)
{
    struct client_socket *stalled[STALLED];
    char folder[96], file[128];
    uint8_t packet[1200];

    if (SANITIZED || !make_cgroup(folder, "67108864")) {
        print_message("no cgroup for memory can be made here\n");
        skip();
    }
    snprintf(file, sizeof(file), "%s/cgroup.procs", folder);
    service_make_folder();
    write_config(*state, "memory = \"16MiB\"\nwrite_timeout = \"60s\"\nqueue_time = \"60s\"");
    struct process *daemon = launch_ready(&(struct restriction){.cgroup = file});
    const char *address = process_address(daemon);
    struct pair *pair = pair_start(address, 200, 600);
    struct client_socket *from = client_join(address, NULL);
    for (unsigned i = 0; i < STALLED; i++)
        stalled[i] = client_join_small(address, 4096);
    for (uint32_t number = 0; number < 2000; number++) {
        packet_fill(packet, sizeof(packet), 1, number);
        for (unsigned i = 0; i < STALLED; i++)
            client_send(from, stalled[i], packet, sizeof(packet));
    }
    client_settle(from);
    print_message("%.1f MiB wait for receivers that read nothing, resident at most %.1f MiB\n",
                  service_metric(daemon, "hyper_derp_queued_bytes") / (1 << 20),
                  (double)process_peak_kib(daemon) / 1024);
    pair_stop(pair, "a full cgroup", A_SECOND_US);
    for (unsigned i = 0; i < STALLED; i++)
        client_socket_close(stalled[i]);
    client_socket_close(from);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
    assert_int_equal(rmdir(folder), 0);
}

int main(int argc, char **argv)
{
    static const struct matrix_test tests[] = {
        {"address_space", test_address_space, CELLS_ENGINES},
        {"cgroup", test_cgroup, CELLS_ENGINES | CELLS_TLS},
    };

    launch_main(argc, argv);
    return matrix_run("fault_memory", tests, sizeof(tests) / sizeof(tests[0]));
}
