/* SPDX-License-Identifier: BSD-3-Clause */
/* client_rate, on both engines, with TLS and without: the rate holds, nothing is lost, and what a
 * client may expect of the relay is not changed by its being read slowly. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "relay_fixture.h"

#define RATE  (1u << 20)
#define BURST (RATE / 8)
#define SIZE  1400
#define FRAME (FRAME_PACKET_OVERHEAD + SIZE)

/* Sends numbered packets in a thread of its own. */
struct sender {
    struct client_socket *from;
    hyperderp_key to;
    unsigned packets;
    size_t size;
    int error;
    pthread_t thread;
};

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    uint8_t *packet = calloc(1, sender->size);

    for (unsigned i = 0; packet && i < sender->packets && sender->error == 0; i++) {
        memcpy(packet, &i, sizeof(i));
        sender->error = client_socket_send(sender->from, &sender->to, packet, sender->size,
                                           4 * FIXTURE_PATIENCE_MS);
    }
    free(packet);
    return NULL;
}

static void begin(struct sender *sender, struct client_socket *from, struct client_socket *to,
                  unsigned packets, size_t size)
{
    *sender = (struct sender){
        .from = from, .to = *client_socket_key(to), .packets = packets, .size = size};
    assert_int_equal(pthread_create(&sender->thread, NULL, send_all, sender), 0);
}

static void receive_all(struct client_socket *to, unsigned packets, size_t size)
{
    for (unsigned i = 0; i < packets; i++) {
        struct client_message message = fixture_expect(to, CLIENT_MESSAGE_PACKET);
        unsigned number;
        assert_int_equal(message.len, size);
        memcpy(&number, message.payload, sizeof(number));
        assert_int_equal(number, i);
    }
}

static void end(struct sender *sender)
{
    pthread_join(sender->thread, NULL);
    assert_int_equal(sender->error, 0);
}

/* Sends so many packets; returns the milliseconds until the last has come. */
static int64_t pass_all(struct client_socket *from, struct client_socket *to, unsigned packets,
                        size_t size)
{
    struct sender sender;
    int64_t began = fixture_now_ms();

    begin(&sender, from, to, packets, size);
    receive_all(to, packets, size);
    int64_t took = fixture_now_ms() - began;
    end(&sender);
    return took;
}

static hyperderp_limits rate_limit(uint64_t rate, uint64_t burst)
{
    return (hyperderp_limits){
        .size = sizeof(hyperderp_limits), .client_rate = rate, .client_burst = burst};
}

static void rate_is_held(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    const unsigned packets = (RATE + RATE / 2 + BURST) / FRAME;
    struct fixture fixture;

    options.client_rate = RATE;
    options.client_burst = 1; /* as little as may be */
    fixture_start(&fixture, &options, 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    int64_t expected = ((int64_t)packets * FRAME - BURST) * 1000 / RATE;
    int64_t took = pass_all(from, to, packets, SIZE);
    print_message("%u packets took %lld ms, %lld expected\n", packets, (long long)took,
                  (long long)expected);
    assert_in_range(took, expected * 9 / 10, expected * 11 / 10);
    fixture_wait(&fixture, counters_at_rest, packets);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_true(counters.client_rate_pauses > 0);
    assert_int_equal(counters.packets_delivered, packets);
    assert_int_equal(fixture_dropped(&counters), 0);
    /* The other one has a bucket of its own. */
    fixture_pass(to, from, "and back");
    client_socket_close(from);
    client_socket_close(to);
    fixture_stop(&fixture);
}

/* What comes at once is the burst; below it nobody waits. */
static void burst_is_free(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    const unsigned packets = (1u << 20) / FRAME - 1;
    struct fixture fixture;

    options.client_rate = 131072;
    options.client_burst = 1u << 20;
    fixture_start(&fixture, &options, 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    int64_t took = pass_all(from, to, packets, SIZE);
    assert_int_equal(fixture_counters(&fixture).client_rate_pauses, 0);
    assert_true(took < 7000); /* at the rate it would be 8 s */
    client_socket_close(from);
    client_socket_close(to);
    fixture_stop(&fixture);
}

/* The rest of a frame that the relay itself does not read yet may take longer than the time that a
 * client has for it. */
static void large_frames_at_a_low_rate(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;

    options.client_rate = 65536;
    options.client_burst = 1;
    options.write_timeout_ms = 200; /* so that half a frame is waited for 400 ms */
    fixture_start(&fixture, &options, 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    int64_t took = pass_all(from, to, 3, FRAME_MAX_PACKET);
    /* 2 s, of which the last chunk's overdraft need not be waited for. */
    assert_in_range(took, 1700, 2400);
    client_socket_close(from);
    client_socket_close(to);
    fixture_stop(&fixture);
}

static void limit_changes_while_clients_are_there(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_limits limited = rate_limit(RATE, 1), unlimited = rate_limit(0, 0);
    const unsigned packets = (RATE / 2 + BURST) / FRAME;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    (void)pass_all(from, to, packets, SIZE);
    assert_int_equal(fixture_counters(&fixture).client_rate_pauses, 0);
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limited), 0);
    int64_t took = pass_all(from, to, packets, SIZE);
    assert_in_range(took, 400, 650);
    uint64_t pauses = fixture_counters(&fixture).client_rate_pauses;
    assert_true(pauses > 0);
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &unlimited), 0);
    (void)pass_all(from, to, packets, SIZE);
    assert_int_equal(fixture_counters(&fixture).client_rate_pauses, pauses);
    client_socket_close(from);
    client_socket_close(to);
    fixture_stop(&fixture);
}

static bool counters_pauses_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->client_rate_pauses >= value;
}

/* Who is not read gets what is for him all the same: packets, and Restarting when the relay
 * drains. */
static void paused_clients_still_receive(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    const unsigned packets = (65536 + 16384) / FRAME;
    struct client_message message;
    struct fixture fixture;
    uint8_t packet[SIZE] = {0};

    options.client_rate = 1024;
    options.client_burst = 1;
    fixture_start(&fixture, &options, 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < packets; i++)
        assert_int_equal(client_socket_send(from, client_socket_key(to), packet, sizeof(packet),
                                            FIXTURE_PATIENCE_MS),
                         0);
    fixture_wait(&fixture, counters_pauses_are, 1);
    fixture_pass(to, from, "are you there");
    (void)hyperderp_relay_drain(fixture.relay, 0);
    (void)fixture_expect(from, CLIENT_MESSAGE_RESTARTING);
    assert_int_equal(client_socket_recv(from, &message, FIXTURE_PATIENCE_MS), -EPIPE);
    client_socket_close(from);
    client_socket_close(to);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    fixture_stop(&fixture);
}

/* A client that leaves while it is not read is noticed when its turn comes, and the relay's stop
 * does not wait for that. */
static void paused_client_leaves(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    uint8_t packet[SIZE] = {0};

    options.client_rate = 65536;
    options.client_burst = 1;
    fixture_start(&fixture, &options, 0);
    for (unsigned round = 0; round < 2; round++) {
        struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
        uint64_t pauses = fixture_counters(&fixture).client_rate_pauses;
        for (unsigned i = 0; i < (65536 + 16384) / FRAME; i++)
            assert_int_equal(client_socket_send(from, client_socket_key(to), packet, sizeof(packet),
                                                FIXTURE_PATIENCE_MS),
                             0);
        fixture_wait(&fixture, counters_pauses_are, pauses + 1);
        client_socket_close(from);
        client_socket_close(to);
        if (round == 0)
            fixture_wait(&fixture, counters_connections_are, 0);
    }
    fixture_stop(&fixture);
}

/* Reads the handshake's ServerInfo byte by byte. */
static struct server_info server_info_of(const struct fixture *fixture)
{
    uint8_t bytes[4096];
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};
    struct client client;
    size_t len = fixture_fast_request(fixture, &client, bytes, sizeof(bytes)), used = 0;
    int fd = fixture_connect(fixture);

    fixture_send(fd, bytes, len);
    len = 0;
    while (message.type != CLIENT_MESSAGE_SERVER_INFO) {
        fixture_receive(fd, bytes + len++, 1);
        ssize_t took = client_read(&client, bytes + used, len - used, &message);
        assert_true(took >= 0 && len < sizeof(bytes));
        used += (size_t)took;
    }
    fixture_hang_up(fd);
    client_wipe(&client);
    return message.server_info;
}

static void clients_are_told(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_limits limits = rate_limit(1000000, 3000000);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct server_info info = server_info_of(&fixture);
    assert_int_equal(info.token_bucket_bytes_per_second, 0);
    assert_int_equal(info.token_bucket_bytes_burst, 0);
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limits), 0);
    info = server_info_of(&fixture);
    assert_int_equal(info.token_bucket_bytes_per_second, 1000000);
    assert_int_equal(info.token_bucket_bytes_burst, 3000000);
    limits = rate_limit(2000, 1); /* the largest packet must fit */
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limits), 0);
    info = server_info_of(&fixture);
    assert_int_equal(info.token_bucket_bytes_per_second, 2000);
    assert_int_equal(info.token_bucket_bytes_burst, FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET);
    fixture_stop(&fixture);
}

/* A mesh partner carries the packets of many: the rate of one client is not for it. */
static void mesh_partners_are_exempt(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct client_info info = {.version = DERP_PROTOCOL_VERSION, .has_mesh_key = true};
    hyperderp_private_key private_key;
    const unsigned packets = 200;
    struct fixture fixture;

    options.client_rate = 2000;
    memset(options.mesh_key, 7, sizeof(options.mesh_key));
    memset(info.mesh_key, 7, sizeof(info.mesh_key));
    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *partner = fixture_join_with(&fixture, &private_key, &info);
    struct client_socket *to = fixture_join(&fixture, 0);
    (void)pass_all(partner, to, packets, SIZE);
    fixture_wait(&fixture, counters_at_rest, packets);
    assert_int_equal(fixture_counters(&fixture).client_rate_pauses, 0);
    client_socket_close(partner);
    client_socket_close(to);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(rate_is_held),
        FIXTURE_ON_ALL(burst_is_free),
        FIXTURE_ON_ALL(large_frames_at_a_low_rate),
        FIXTURE_ON_ALL(limit_changes_while_clients_are_there),
        FIXTURE_ON_ALL(paused_clients_still_receive),
        FIXTURE_ON_ALL(paused_client_leaves),
        FIXTURE_ON_ALL(clients_are_told),
        FIXTURE_ON_ALL(mesh_partners_are_exempt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
