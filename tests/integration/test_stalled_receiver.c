/* SPDX-License-Identifier: BSD-3-Clause */
/* A receiver that stops reading: its stream stays whole and in order and ends with the newest
 * packet, memory is bounded, nobody else notices, and every packet is accounted for. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

#include "relay_embedded.h"
#include "relay_process.h"
#include "traffic.h"

#define PACKETS     30000
#define PACKET_SIZE 1200
#define STREAM      7

/* What the relay may grow by: its receive chunks (2 MiB a worker), the waiting packets of one
 * destination (2 MiB and what rounding up to buffer sizes adds), and something for connections.
 * Sent are 36 MB. */
#define RSS_BOUND_KIB(workers) (2048 * (long)(workers) + 4096)

/* Sends flat out, with a pause_ms after each thousand packets. When it returns, the relay has dealt
 * with all. */
static void send_all(struct client_socket *from, const struct client_socket *to, uint32_t count,
                     int pause_ms)
{
    uint8_t packet[PACKET_SIZE];

    for (uint32_t i = 0; i < count; i++) {
        packet_fill(packet, sizeof(packet), STREAM, i);
        client_send(from, to, packet, sizeof(packet));
        if (i % 1000 == 999 && pause_ms > 0)
            (void)poll(NULL, 0, pause_ms);
    }
    client_settle(from);
}

/* Makes the relay note that one has heard of the other, and will want to know when it leaves. */
static void introduce(struct client_socket *who, struct client_socket *to)
{
    client_send(who, to, "hello", 5);
    client_expect_packet(to, who, "hello", 5);
}

/* Reads until the last packet and returns how many came. */
static uint32_t read_all(struct client_socket *client, const struct client_socket *from)
{
    uint32_t received = 0, next = 0;

    do {
        struct client_message message = client_expect(client, CLIENT_MESSAGE_PACKET);
        uint32_t number = packet_number(message.payload, message.len, STREAM);
        assert_int_equal(message.len, PACKET_SIZE);
        assert_true(hyperderp_key_equal(&message.peer, client_socket_key(from)));
        assert_true(number >= next);
        next = number + 1;
        received++;
    } while (next < PACKETS);
    return received;
}

static void test_reads_again(void **state)
{
    const struct cell *cell = *state;
    struct process *relay = process_start(cell, 0, -1);
    struct client_socket *sender = client_join(process_address(relay), NULL);
    struct client_socket *receiver = client_join(process_address(relay), NULL);
    struct pair *pair = pair_start(process_address(relay), 200, 1000);

    long rss_before = process_rss_kib(relay);
    send_all(sender, receiver, PACKETS, 30);
    long rss_most = process_peak_kib(relay);
    uint32_t received = read_all(receiver, sender);
    /* Nothing is behind the last packet. */
    client_settle(receiver);
    pair_stop(pair, "a stalled receiver", A_SECOND_US);
    client_socket_close(sender);
    client_socket_close(receiver);
    process_stop(relay);

    uint64_t dropped = process_counter(relay, "drop_queue_full_data") +
                       process_counter(relay, "drop_expired_data");
    print_message("%" PRIu32 " of %d packets arrived, %" PRIu64
                  " dropped; RSS %ld KiB, at most %ld KiB\n",
                  received, PACKETS, dropped, rss_before, rss_most);
    assert_int_equal(received + dropped, PACKETS);
    assert_true(dropped > 0);
    if (!SANITIZED)
        assert_true(rss_most - rss_before <= RSS_BOUND_KIB(cell->workers));
    process_free(relay);
}

static void test_never_reads_again(void **state)
{
    struct process *relay = process_start(*state, 0, -1);
    struct client_socket *sender = client_join(process_address(relay), NULL);
    struct client_socket *receiver = client_join(process_address(relay), NULL);
    hyperderp_key gone = *client_socket_key(receiver);

    introduce(receiver, sender);
    send_all(sender, receiver, PACKETS / 3, 0);
    client_socket_close(receiver);
    struct client_message message = client_expect(sender, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, &gone));
    assert_int_equal(message.reason, PEER_GONE_DISCONNECTED);
    client_socket_close(sender);
    process_stop(relay);

    assert_int_equal(process_counter(relay, "packets_received"), PACKETS / 3 + 1);
    assert_true(process_counter(relay, "drop_queue_full_data") > 0);
    assert_true(process_counter(relay, "drop_gone_data") +
                    process_counter(relay, "drop_write_error_data") >
                0);
    process_free(relay);
}

/* Ends while its client is stalled: the drain must not wait for it for ever. */
static void test_stop_while_stalled(void **state)
{
    struct process *relay = process_start(*state, 0, -1);
    struct client_socket *sender = client_join(process_address(relay), NULL);
    struct client_socket *receiver = client_join(process_address(relay), NULL);

    send_all(sender, receiver, PACKETS / 3, 0);
    process_stop(relay);
    assert_int_equal(process_counter(relay, "packets_received"), PACKETS / 3);
    client_socket_close(sender);
    client_socket_close(receiver);
    process_free(relay);
}

static void test_write_timeout(void **state)
{
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct embedded relay;

    embedded_options(&options, *state);
    options.write_timeout_ms = 1000;
    embedded_start(&relay, &options);
    struct client_socket *sender = client_join(relay.address, NULL);
    struct client_socket *receiver = client_join(relay.address, NULL);
    struct pair *pair = pair_start(relay.address, 200, 1000);

    introduce(receiver, sender);
    int64_t begin = now_us();
    send_all(sender, receiver, PACKETS / 3, 0);
    int64_t sent = now_us();
    embedded_await(&relay, send_errors, 1);
    embedded_await_fall(&relay, peers_active, 3);
    int64_t end = now_us();
    print_message("closed %" PRId64 " ms after the last packet\n", (end - sent) / 1000);
    assert_true(end - begin >= 1000000);
    assert_true(end - sent < 1000000 + A_SECOND_US);
    (void)client_expect(sender, CLIENT_MESSAGE_PEER_GONE);
    pair_stop(pair, "a receiver that timed out", A_SECOND_US);
    assert_true(embedded_drops(&relay, HYPERDERP_DROP_WRITE_ERROR) > 0);

    /* Its stream is cut, but only at its end. */
    struct client_message message;
    uint32_t next = 0;
    int error;
    while ((error = client_socket_recv(receiver, &message, PATIENCE_MS)) == 0) {
        assert_int_equal(message.type, CLIENT_MESSAGE_PACKET);
        uint32_t number = packet_number(message.payload, message.len, STREAM);
        assert_true(number >= next);
        next = number + 1;
    }
    assert_true(error == -EPIPE || error == -ECONNRESET);
    client_socket_close(sender);
    client_socket_close(receiver);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.send_errors, 1);
}

/* A receiver that reads little at a time is slow, not stalled: it is never closed for that. */
static void test_slow_is_not_stalled(void **state)
{
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct embedded relay;

    embedded_options(&options, *state);
    options.write_timeout_ms = 1000;
    embedded_start(&relay, &options);
    struct client_socket *sender = client_join(relay.address, NULL);
    struct client_socket *receiver = client_join(relay.address, NULL);

    /* Reads 20 packets and waits for 20 ms, so that what is buffered takes longer than the timeout.
     */
    send_all(sender, receiver, PACKETS / 3, 0);
    int64_t until = now_us() + 3000000;
    uint32_t next = 0;
    while (next < PACKETS / 3 && now_us() < until) {
        for (unsigned i = 0; i < 20 && next < PACKETS / 3; i++) {
            struct client_message message = client_expect(receiver, CLIENT_MESSAGE_PACKET);
            next = packet_number(message.payload, message.len, STREAM) + 1;
        }
        (void)poll(NULL, 0, 20);
    }
    client_socket_close(sender);
    client_socket_close(receiver);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.send_errors, 0);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"reads_again", test_reads_again, CELLS_ALL | CELLS_TLS},
        {"never_reads_again", test_never_reads_again, CELLS_ALL | CELLS_TLS},
        {"stop_while_stalled", test_stop_while_stalled, CELLS_ENGINES | CELLS_TLS},
        {"write_timeout", test_write_timeout, CELLS_ALL | CELLS_TLS},
        {"slow_is_not_stalled", test_slow_is_not_stalled, CELLS_ENGINES | CELLS_TLS},
    };
    return matrix_run("stalled_receiver", tests, sizeof(tests) / sizeof(tests[0]));
}
