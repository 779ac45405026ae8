/* SPDX-License-Identifier: BSD-3-Clause */
/* What is scarce runs out: connections, memory, file descriptors, receive chunks. Who comes too
 * late is refused, who is there goes on, and all recovers. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay_embedded.h"
#include "traffic.h"

#define STREAM 11

static void test_connections(void **state)
{
    enum { MOST = 5 };
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct client_socket *clients[MOST];
    struct embedded relay;

    embedded_options(&options, *state);
    options.max_connections = MOST;
    embedded_start(&relay, &options);
    for (unsigned i = 0; i < MOST; i++)
        clients[i] = client_join(relay.address, NULL);
    for (unsigned i = 0; i < 3; i++) {
        int fd = tcp_connect(relay.address);
        assert_true(tcp_await_end(fd, PATIENCE_MS));
        close(fd);
    }
    embedded_counters(&relay, &counters);
    assert_int_equal(counters.slab_exhausts, 3);
    assert_int_equal(counters.connections, MOST);
    client_send(clients[0], clients[1], "still", 5);
    client_expect_packet(clients[1], clients[0], "still", 5);

    for (unsigned i = 0; i < 20; i++) {
        client_socket_close(clients[i % MOST]);
        embedded_await_fall(&relay, connections, MOST - 1);
        clients[i % MOST] = client_join(relay.address, NULL);
    }
    for (unsigned i = 0; i < MOST; i++)
        client_socket_close(clients[i]);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.slab_exhausts, 3);
    assert_int_equal(counters.handshakes_ok, MOST + 20);
}

#define STALLED     12
#define PACKET_SIZE 1200
#define MEMORY      (1u << 20)

/* The bound holds, but for a packet of each connection that is half sent: its rest must be kept, or
 * the stream could not go on. */
static void check_queued(const struct embedded *relay)
{
    hyperderp_counters counters;

    embedded_counters(relay, &counters);
    assert_true(counters.queued_bytes <= MEMORY + (STALLED + 1) * 2 * PACKET_SIZE);
}

/* Sends to all in turn until memory has run out for a while. Returns the packets sent to each. */
static uint32_t use_up_memory(const struct embedded *relay, struct client_socket *sender,
                              struct client_socket **stalled)
{
    uint8_t packet[PACKET_SIZE];
    uint32_t number = 0;

    while (embedded_drops(relay, HYPERDERP_DROP_MEMORY) < 2000) {
        if (number > 20000)
            fail_msg("no packet was dropped for want of memory");
        packet_fill(packet, sizeof(packet), STREAM, number);
        for (unsigned i = 0; i < STALLED; i++)
            client_send(sender, stalled[i], packet, sizeof(packet));
        number++;
        check_queued(relay);
    }
    return number;
}

/* A stream that has holes but no damage. */
struct stream {
    struct client_socket *client;
    uint32_t next, received;
    bool closed;
};

/* Reads a packet, if there is one within the time. */
static bool read_one(struct stream *stream, int timeout_ms)
{
    struct client_message message;

    int error =
        stream->closed ? -ETIMEDOUT : client_socket_recv(stream->client, &message, timeout_ms);
    if (error) {
        stream->closed = stream->closed || error != -ETIMEDOUT;
        return false;
    }
    assert_int_equal(message.type, CLIENT_MESSAGE_PACKET);
    uint32_t number = packet_number(message.payload, message.len, STREAM);
    assert_true(number >= stream->next);
    stream->next = number + 1;
    stream->received++;
    return true;
}

/* Lets all receivers read until the relay holds nothing for them any more, and then a last packet.
 */
static void read_all(const struct embedded *relay, struct client_socket *sender,
                     struct stream *streams, unsigned count, uint32_t last)
{
    uint8_t packet[PACKET_SIZE];
    hyperderp_counters counters;

    packet_fill(packet, sizeof(packet), STREAM, last);
    do {
        for (unsigned i = 0; i < count; i++)
            while (read_one(&streams[i], 0))
                ;
        embedded_counters(relay, &counters);
    } while (counters.queued_bytes > 0);
    for (unsigned i = 0; i < count; i++) {
        client_send(sender, streams[i].client, packet, sizeof(packet));
        while (!streams[i].closed && streams[i].next <= last)
            if (!read_one(&streams[i], PATIENCE_MS))
                break;
    }
}

static void test_memory(void **state)
{
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct client_socket *stalled[STALLED];
    struct stream streams[STALLED + 1] = {{0}};
    uint8_t packet[PACKET_SIZE];
    struct embedded relay;
    uint32_t received = 0;

    embedded_options(&options, *state);
    options.memory_bytes = MEMORY;
    embedded_start(&relay, &options);
    struct client_socket *sender = client_join(relay.address, NULL);
    for (unsigned i = 0; i < STALLED; i++)
        streams[i].client = stalled[i] = client_join(relay.address, NULL);
    struct client_socket *other = client_join(relay.address, NULL);
    uint32_t sent = use_up_memory(&relay, sender, stalled);

    /* A packet to who reads needs no memory, though all of it is used up. */
    client_send(sender, other, "quick", 5);
    client_expect_packet(other, sender, "quick", 5);
    /* Who is slow now loses packets, but not the connection. */
    for (uint32_t i = 0; i < sent; i++) {
        packet_fill(packet, sizeof(packet), STREAM, i);
        client_send(sender, other, packet, sizeof(packet));
    }
    streams[STALLED].client = other;

    read_all(&relay, sender, streams, STALLED + 1, sent);
    for (unsigned i = 0; i <= STALLED; i++) {
        received += streams[i].received;
        if (streams[i].closed)
            fail_msg("receiver %u was closed, as there was no memory for its packets", i);
        assert_int_equal(streams[i].next, sent + 1);
        client_socket_close(streams[i].client);
    }
    client_socket_close(client_join(relay.address, NULL));
    client_socket_close(sender);
    embedded_stop(&relay, &counters);
    print_message("%u x %u packets sent, %u arrived, %" PRIu64 " dropped for memory\n", STALLED + 1,
                  sent + 1, received, counters.drops[HYPERDERP_DROP_MEMORY][HYPERDERP_PACKET_DATA]);
    assert_int_equal(counters.send_errors, 0);
    assert_int_equal(counters.packets_delivered, received + 1);
}

#define HALVES 50

/* Clients that send half a packet and stop hold memory of their own, but no receive chunks. */
static void test_half_frames(void **state)
{
    static uint8_t bytes[FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET];
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct client_socket *halves[HALVES];
    struct embedded relay;

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    struct client_socket *receiver = client_join(relay.address, NULL);
    for (unsigned i = 0; i < HALVES; i++) {
        halves[i] = client_join(relay.address, NULL);
        client_packet_header(bytes, client_socket_key(receiver), FRAME_MAX_PACKET);
        packet_fill(bytes + FRAME_PACKET_OVERHEAD, FRAME_MAX_PACKET, STREAM, i);
        assert_int_equal(client_socket_send_raw(halves[i], bytes, sizeof(bytes) / 2, PATIENCE_MS),
                         0);
    }
    embedded_await(&relay, queued_bytes, HALVES * FRAME_MAX_PACKET);
    embedded_counters(&relay, &counters);
    assert_true(counters.queued_bytes < HALVES * (FRAME_MAX_PACKET + 1024));

    struct pair *pair = pair_start(relay.address, 1000, 1400);
    (void)poll(NULL, 0, 300); /* the time in which the pair passes packets */
    for (unsigned i = 0; i < HALVES; i++) {
        packet_fill(bytes + FRAME_PACKET_OVERHEAD, FRAME_MAX_PACKET, STREAM, i);
        assert_int_equal(client_socket_send_raw(halves[i], bytes + sizeof(bytes) / 2,
                                                sizeof(bytes) - sizeof(bytes) / 2, PATIENCE_MS),
                         0);
        struct client_message message = client_expect(receiver, CLIENT_MESSAGE_PACKET);
        assert_int_equal(message.len, FRAME_MAX_PACKET);
        assert_int_equal(packet_number(message.payload, message.len, STREAM), i);
    }
    pair_stop(pair, "half-sent frames", A_SECOND_US);
    /* And those that never send the other half. */
    for (unsigned i = 0; i < HALVES; i++) {
        assert_int_equal(client_socket_send_raw(halves[i], bytes, sizeof(bytes) / 2, PATIENCE_MS),
                         0);
        client_socket_close(halves[i]);
    }
    embedded_await_fall(&relay, connections, 1);
    embedded_await_fall(&relay, queued_bytes, 0);
    client_socket_close(receiver);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.packets_delivered, counters.packets_received);
}

#define MANY 150 /* more than a worker has receive chunks */

/* Receivers that stall in the middle of a send do not keep the chunk that it was sent from. */
static void test_stalled_chunks(void **state)
{
    static struct client_socket *stalled[MANY];
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct embedded relay;
    uint8_t packet[PACKET_SIZE];

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    struct client_socket *sender = client_join(relay.address, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        uint32_t number = 0;
        stalled[i] = client_join(relay.address, NULL);
        embedded_counters(&relay, &counters);
        uint64_t before = counters.queued_bytes;
        while (counters.queued_bytes == before) {
            assert_true(number < 5000);
            for (unsigned k = 0; k < 20; k++) {
                packet_fill(packet, sizeof(packet), STREAM, number++);
                client_send(sender, stalled[i], packet, sizeof(packet));
            }
            client_settle(sender);
            embedded_counters(&relay, &counters);
        }
    }
    struct pair *pair = pair_start(relay.address, 1000, 1400);
    (void)poll(NULL, 0, 300); /* the time in which the pair passes packets */
    pair_stop(pair, "stalled receivers", A_SECOND_US);
    client_settle(sender);
    for (unsigned i = 0; i < MANY; i++)
        client_socket_close(stalled[i]);
    client_socket_close(sender);
    embedded_stop(&relay, NULL);
}

#define FILES   48 /* that the relay of the child may have open */
#define PENDING 80 /* connections that ask for more */

/* The relay of a process with few file descriptors: writes its address, and its counters for each
 * byte that it reads, until the stream ends. */
static void run_child(int fd, const struct cell *cell)
{
    const struct rlimit files = {.rlim_cur = FILES, .rlim_max = FILES};
    hyperderp_relay_options options;
    hyperderp_counters counters;
    hyperderp_listener_options listener;
    hyperderp_relay *relay;
    char address[64] = "", byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    hyperderp_relay_options_init(&options);
    options.engine = cell->engine;
    options.workers = cell->workers;
    options.max_connections = 1000;
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 || hyperderp_relay_new(&relay, &options) != 0 ||
        hyperderp_relay_add_listener(relay, &listener) != 0 ||
        hyperderp_relay_listener_address(relay, 0, address, sizeof(address)) != 0 ||
        hyperderp_relay_start(relay) != 0)
        _exit(1);
    (void)!write(fd, address, sizeof(address));
    while (read(fd, &byte, 1) == 1) {
        counters.size = sizeof(counters);
        hyperderp_relay_counters(relay, &counters);
        (void)!write(fd, &counters, sizeof(counters));
    }
    hyperderp_relay_free(relay);
    _exit(0);
}

static void read_whole(int fd, void *out, size_t len)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
    assert_int_equal(recv(fd, out, len, MSG_WAITALL), len);
}

static void ask(int fd, hyperderp_counters *counters)
{
    assert_int_equal(send(fd, "?", 1, MSG_NOSIGNAL), 1);
    read_whole(fd, counters, sizeof(*counters));
}

static void test_files(void **state)
{
    int ends[2], pending[PENDING], status;
    char address[64];
    hyperderp_counters before, after;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        run_child(ends[1], *state);
    }
    close(ends[1]);
    read_whole(ends[0], address, sizeof(address));
    struct client_socket *client = client_join(address, NULL);
    for (unsigned i = 0; i < PENDING; i++)
        pending[i] = tcp_connect(address);

    int64_t until = now_us() + (int64_t)PATIENCE_MS * 1000;
    do {
        assert_true(now_us() < until);
        ask(ends[0], &before);
    } while (before.accept_errors == 0);
    assert_true(before.connections < FILES);
    (void)poll(NULL, 0, 1000); /* the time in which it must not spin */
    client_settle(client);
    ask(ends[0], &after);
    print_message("out of files for a second: %" PRIu64 " turns, %" PRIu64 " failed accepts\n",
                  after.loop_turns - before.loop_turns, after.accept_errors - before.accept_errors);
    assert_true(after.accept_errors > before.accept_errors);
    assert_true(after.accept_errors - before.accept_errors < 100);
    assert_true(after.loop_turns - before.loop_turns < 300);

    /* Those that wait behind the others get in as soon as there is room. */
    for (unsigned i = 0; i < PENDING; i++)
        close(pending[i]);
    int64_t begin = now_us();
    struct client_socket *late = client_join(address, NULL);
    print_message("a client joined %.1f ms after files were free\n",
                  (double)(now_us() - begin) / 1000);
    assert_true(now_us() - begin < A_SECOND_US);
    client_send(late, client, "late", 4);
    client_expect_packet(client, late, "late", 4);
    client_socket_close(late);
    client_socket_close(client);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"connections", test_connections, CELLS_ALL},
        {"memory", test_memory, CELLS_ALL | CELLS_TLS},
        {"half_frames", test_half_frames, CELLS_ALL | CELLS_TLS},
        {"stalled_chunks", test_stalled_chunks, CELLS_ENGINES | CELLS_TLS},
        {"files", test_files, CELLS_ENGINES},
    };
    return matrix_run("limits", tests, sizeof(tests) / sizeof(tests[0]));
}
