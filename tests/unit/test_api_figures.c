/* SPDX-License-Identifier: BSD-3-Clause */
/* What a running relay tells and lets change: limits, workers, peers, states. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "relay_fixture.h"

static hyperderp_limits limits_with(unsigned max_connections)
{
    return (hyperderp_limits){.size = sizeof(hyperderp_limits), .max_connections = max_connections};
}

static bool refused_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->refused[HYPERDERP_REFUSED_MAX_CONNECTIONS] == value;
}

static void limits_change_while_it_runs(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_limits limits = limits_with(2);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *first = fixture_join(&fixture, 0), *second = fixture_join(&fixture, 0);
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limits), 0);
    int third = fixture_connect(&fixture);
    assert_true(fixture_read_end(third) >= 0);
    close(third);
    fixture_wait(&fixture, refused_are, 1);
    assert_int_equal(fixture_counters(&fixture).slab_exhausts, 1);
    fixture_pass(first, second, "those who are here stay");
    limits.max_connections = 0; /* the default again */
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limits), 0);
    struct client_socket *more = fixture_join(&fixture, 0);
    fixture_pass(more, first, "and others come");
    client_socket_close(first);
    client_socket_close(second);
    client_socket_close(more);
    fixture_stop(&fixture);
}

static void wrong_limits_change_nothing(void **state)
{
    (void)state;
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_EPOLL, 1);
    static const hyperderp_limits bad[] = {
        {.size = sizeof(bad[0]), .max_connections = 1, .queue_bytes = 1000},
        {.size = sizeof(bad[0]), .max_connections = 1, .memory_bytes = 1000},
        {.size = sizeof(bad[0]), .max_connections = 1, .keepalive_ms = 86400001},
        {.size = 1, .max_connections = 1},
    };
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &bad[i]), -EINVAL);
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_set_limits(NULL, &bad[0]), -EINVAL);
    hyperderp_relay_set_log_level(fixture.relay, (hyperderp_log_level)77);
    hyperderp_relay_set_log_level(NULL, HYPERDERP_LOG_INFO);
    hyperderp_relay_wake(NULL);
    struct client_socket *first = fixture_join(&fixture, 0), *second = fixture_join(&fixture, 0);
    client_socket_close(first);
    client_socket_close(second);
    fixture_stop(&fixture);
}

/* What is read can be set again, with one of them changed. */
static void limits_are_told(void **state)
{
    (void)state;
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_EPOLL, 1);
    hyperderp_limits limits = {.size = sizeof(limits)}, again = {.size = sizeof(again)};
    struct fixture fixture;

    options.queue_frames = 77;
    options.accept_rate = 50;
    options.queue_time_ms = 0;
    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_relay_limits(fixture.relay, &limits), 0);
    assert_int_equal(limits.size, sizeof(limits));
    assert_true(limits.max_connections > 0);
    assert_int_equal(limits.queue_frames, 77);
    assert_int_equal(limits.queue_bytes, 2 << 20);
    assert_int_equal(limits.memory_bytes, 256 << 20);
    assert_int_equal(limits.handshake_timeout_ms, 10000);
    assert_int_equal(limits.keepalive_ms, 60000);
    assert_int_equal(limits.write_timeout_ms, 15000);
    assert_int_equal(limits.accept_rate, 50);
    assert_int_equal(limits.accept_burst, 50);
    assert_int_equal(limits.client_rate, 0);
    assert_int_equal(limits.queue_time_ms, 0);
    limits.keepalive_ms = 1234;
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limits), 0);
    assert_int_equal(hyperderp_relay_limits(fixture.relay, &again), 0);
    assert_memory_equal(&again, &limits, sizeof(limits));
    limits.queue_bytes = 1;
    assert_int_equal(hyperderp_relay_set_limits(fixture.relay, &limits), -EINVAL);
    assert_int_equal(hyperderp_relay_limits(fixture.relay, &again), 0);
    assert_int_equal(again.queue_bytes, 2 << 20);

    /* A caller with an older header. */
    memset(&again, 0xff, sizeof(again));
    again.size = offsetof(hyperderp_limits, queue_bytes);
    assert_int_equal(hyperderp_relay_limits(fixture.relay, &again), 0);
    assert_int_equal(again.size, offsetof(hyperderp_limits, queue_bytes));
    assert_int_equal(again.queue_frames, 77);
    assert_int_equal(again.queue_bytes, SIZE_MAX);
    again.size = 1;
    assert_int_equal(hyperderp_relay_limits(fixture.relay, &again), -EINVAL);
    assert_int_equal(hyperderp_relay_limits(fixture.relay, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_limits(NULL, &limits), -EINVAL);
    fixture_stop(&fixture);
}

static const hyperderp_peer_info *find(const hyperderp_peer_info *peers, size_t count,
                                       const struct client_socket *client)
{
    for (size_t i = 0; i < count; i++)
        if (hyperderp_key_equal(&peers[i].key, client_socket_key(client)))
            return &peers[i];
    fail_msg("a client is not in the list");
    return NULL;
}

static void peers_are_listed_with_their_figures(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_peer_info *peers;
    struct fixture fixture;
    size_t count;

    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_relay_peers(fixture.relay, &peers, &count), 0);
    assert_null(peers);
    assert_int_equal(count, 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    for (int i = 0; i < 10; i++)
        fixture_pass(from, to, "sixteen letters.");
    fixture_wait(&fixture, counters_at_rest, 10);

    assert_int_equal(hyperderp_relay_peers(fixture.relay, &peers, &count), 0);
    assert_int_equal(count, 2);
    const hyperderp_peer_info *sender = find(peers, count, from),
                              *receiver = find(peers, count, to);
    assert_int_equal(sender->packets_received, 10);
    assert_int_equal(sender->bytes_received, 10 * (FRAME_PACKET_OVERHEAD + 16));
    assert_int_equal(sender->packets_delivered, 0);
    assert_int_equal(receiver->packets_delivered, 10);
    assert_true(receiver->bytes_delivered >= 10 * (FRAME_PACKET_OVERHEAD + 16));
    assert_int_equal(receiver->packets_received, 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(peers[i].active);
        assert_false(peers[i].home);
        assert_false(peers[i].mesh);
        assert_true(strncmp(peers[i].address, "127.0.0.1:", 10) == 0);
        assert_int_equal(peers[i].drops, 0);
        assert_int_equal(peers[i].queued_bytes, 0);
        assert_true(peers[i].worker < 3);
    }
    hyperderp_peers_free(peers);

    /* An older caller knows a shorter entry. */
    assert_int_equal(hyperderp_relay_peers_sized(fixture.relay, &peers, &count, 32), 0);
    assert_int_equal(count, 2);
    assert_true(memcmp(peers, client_socket_key(from), 32) == 0 ||
                memcmp(peers, client_socket_key(to), 32) == 0);
    hyperderp_peers_free(peers);
    assert_int_equal(hyperderp_relay_peers(NULL, &peers, &count), -EINVAL);
    assert_int_equal(hyperderp_relay_peers(fixture.relay, NULL, &count), -EINVAL);
    assert_int_equal(hyperderp_relay_peers_sized(fixture.relay, &peers, &count, 0), -EINVAL);
    hyperderp_peers_free(NULL);
    client_socket_close(from);
    client_socket_close(to);
    fixture_stop(&fixture);
}

/* Sends a fast start with another header behind the request line. */
static int join_with_header(const struct fixture *fixture, const char *header,
                            struct client *client)
{
    uint8_t request[2048];
    size_t size = fixture_fast_request(fixture, client, request, sizeof(request));
    const uint8_t *line_end = memchr(request, '\n', size);
    int fd = fixture_connect(fixture);

    assert_non_null(line_end);
    size_t line = (size_t)(line_end - request) + 1;
    fixture_send(fd, request, line);
    fixture_send_text(fd, header);
    fixture_send(fd, request + line, size - line);
    fixture_read_until(fd, client, CLIENT_MESSAGE_SERVER_INFO);
    return fd;
}

static bool not_ideal_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->not_ideal_connections == value;
}

/* What clients tell of themselves is in the list, a long name whole; who prefers another node is
 * counted as long as it is there. */
static void peers_are_listed_with_what_they_say(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    struct client_info info = {
        .version = DERP_PROTOCOL_VERSION, .can_ack_pings = true, .is_prober = true};
    hyperderp_private_key private_key;
    hyperderp_peer_info *peers;
    struct fixture fixture;
    struct client client;
    size_t count;

    /* Characters of two bytes, none of which ends at an even place. */
    info.app_name[0] = 'x';
    for (size_t i = 1; i + 2 < sizeof(info.app_name); i += 2)
        memcpy(info.app_name + i, "\xc3\xa9", 2);
    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *prober = fixture_join_with(&fixture, &private_key, &info);
    struct client_socket *plain = fixture_join(&fixture, 0);
    int other = join_with_header(&fixture, "Ideal-Node: 900b\r\n", &client);
    fixture_wait(&fixture, counters_peers_are, 3);
    assert_int_equal(fixture_counters(&fixture).not_ideal_connections, 1);

    assert_int_equal(hyperderp_relay_peers(fixture.relay, &peers, &count), 0);
    assert_int_equal(count, 3);
    const hyperderp_peer_info *first = find(peers, count, prober);
    const hyperderp_peer_info *second = find(peers, count, plain);
    assert_true(first->can_ack_pings && first->is_prober);
    assert_false(second->can_ack_pings || second->is_prober);
    assert_string_equal(first->app_name, info.app_name);
    assert_string_equal(second->app_name, "");
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(peers[i].not_ideal, &peers[i] != first && &peers[i] != second);
        assert_false(peers[i].muted);
    }
    hyperderp_peers_free(peers);

    fixture_hang_up(other);
    client_wipe(&client);
    fixture_wait(&fixture, not_ideal_are, 0);
    /* A header without a name says nothing. */
    other = join_with_header(&fixture, "Ideal-Node: \r\n", &client);
    fixture_wait(&fixture, counters_peers_are, 3);
    assert_int_equal(fixture_counters(&fixture).not_ideal_connections, 0);
    fixture_hang_up(other);
    client_wipe(&client);
    client_socket_close(prober);
    client_socket_close(plain);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* A thread that reads everything while clients come and go. */
struct reader {
    struct fixture *fixture;
    atomic_bool stop;
};

static void *read_all(void *user)
{
    struct reader *reader = user;
    hyperderp_relay *relay = reader->fixture->relay;
    hyperderp_limits limits = limits_with(0);

    while (!reader->stop) {
        hyperderp_worker_info info = {.size = sizeof(info)};
        hyperderp_peer_info *peers;
        size_t count;
        if (hyperderp_relay_peers(relay, &peers, &count) == 0)
            hyperderp_peers_free(peers);
        (void)hyperderp_relay_worker(relay, 0, &info);
        (void)hyperderp_relay_set_limits(relay, &limits);
        hyperderp_relay_set_log_level(relay, HYPERDERP_LOG_WARN);
        hyperderp_relay_wake(relay);
    }
    return NULL;
}

static void reading_disturbs_nobody(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    pthread_t thread;

    fixture_start(&fixture, &options, 0);
    struct reader reader = {.fixture = &fixture};
    assert_int_equal(pthread_create(&thread, NULL, read_all, &reader), 0);
    struct client_socket *stays = fixture_join(&fixture, 0);
    for (int i = 0; i < 40; i++) {
        struct client_socket *comes = fixture_join(&fixture, 0);
        fixture_pass(comes, stays, "hello");
        client_socket_close(comes);
        (void)fixture_expect(stays, CLIENT_MESSAGE_PEER_GONE);
    }
    reader.stop = true;
    pthread_join(thread, NULL);
    client_socket_close(stays);
    fixture_stop(&fixture);
}

static void workers_and_states_are_told(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    hyperderp_worker_info info = {.size = sizeof(info)};
    uint64_t connections = 0, received = 0;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    int half = fixture_connect(&fixture);
    fixture_pass(from, to, "x");
    fixture_wait(&fixture, counters_connections_are, 3);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.connections_by_state[HYPERDERP_CONNECTION_OPEN], 2);
    assert_int_equal(counters.connections_by_state[HYPERDERP_CONNECTION_HTTP], 1);
    for (unsigned i = 0; i < 2; i++) {
        info.size = sizeof(info);
        assert_int_equal(hyperderp_relay_worker(fixture.relay, i, &info), 0);
        connections += info.connections;
        received += info.packets_received;
        assert_true(info.loop_turns > 0);
        assert_true(info.cpu_ns > 0);
        assert_true(info.free_chunks > 0);
    }
    assert_int_equal(connections, 3);
    assert_int_equal(received, 1);
    assert_int_equal(hyperderp_relay_worker(fixture.relay, 2, &info), -EINVAL);
    assert_int_equal(hyperderp_relay_worker(NULL, 0, &info), -EINVAL);
    assert_int_equal(hyperderp_relay_worker(fixture.relay, 0, NULL), -EINVAL);
    close(half);
    client_socket_close(from);
    client_socket_close(to);
    fixture_wait(&fixture, counters_connections_are, 0);
    counters = fixture_counters(&fixture);
    for (unsigned i = 0; i < HYPERDERP_CONNECTION_STATES; i++)
        assert_int_equal(counters.connections_by_state[i], 0);
    fixture_stop(&fixture);
}

static void pinned_polled_and_buffered(void **state)
{
    (void)state;
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_AUTO, 2);
    const unsigned beyond[] = {1023};
    struct fixture fixture;

    options.pin_workers = true;
    options.sqpoll = true;
    options.socket_buffer = 65536;
    fixture_start(&fixture, &options, 0);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 0);
    for (int i = 0; i < 100; i++)
        fixture_pass(from, to, "through a kernel's thread");
    client_socket_close(from);
    client_socket_close(to);
    fixture_stop(&fixture);

    options.pin_cores = beyond;
    options.pin_core_count = 1;
    assert_int_equal(hyperderp_relay_new(&fixture.relay, &options), -EINVAL);
    options.pin_cores = NULL;
    assert_int_equal(hyperderp_relay_new(&fixture.relay, &options), -EINVAL);
    options.pin_core_count = 0;
    options.socket_buffer = (1u << 30) + 1;
    assert_int_equal(hyperderp_relay_new(&fixture.relay, &options), -EINVAL);
}

static void names_are_words(void **state)
{
    (void)state;
    assert_string_equal(hyperderp_connection_state_name(HYPERDERP_CONNECTION_OPEN), "open");
    assert_string_equal(hyperderp_connection_state_name((hyperderp_connection_state)9), "unknown");
    assert_string_equal(hyperderp_refusal_name(HYPERDERP_REFUSED_DRAINING), "draining");
    assert_string_equal(hyperderp_refusal_name((hyperderp_refusal)9), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_BOTH(limits_change_while_it_runs),
        cmocka_unit_test(wrong_limits_change_nothing),
        cmocka_unit_test(limits_are_told),
        FIXTURE_ON_ALL(peers_are_listed_with_their_figures),
        FIXTURE_ON_ALL(peers_are_listed_with_what_they_say),
        FIXTURE_ON_ALL(reading_disturbs_nobody),
        FIXTURE_ON_ALL(workers_and_states_are_told),
        cmocka_unit_test(pinned_polled_and_buffered),
        cmocka_unit_test(names_are_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
