/* SPDX-License-Identifier: BSD-3-Clause */
/* Checked traffic. */
#include "traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIR_STREAM   0x70616972
#define PAIR_MAX_SIZE 4096

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t seed_of(uint32_t stream, uint32_t number, size_t len)
{
    return mix((uint64_t)stream << 32 | number) + len;
}

void packet_fill(uint8_t *packet, size_t len, uint32_t stream, uint32_t number)
{
    uint64_t seed = seed_of(stream, number, len);

    put_u32(packet, stream);
    put_u32(packet + 4, number);
    for (size_t i = 8; i < len; i += 8) {
        uint64_t word = mix(seed + i);
        memcpy(packet + i, &word, len - i < 8 ? len - i : 8);
    }
}

static bool packet_is_whole(const uint8_t *packet, size_t len, uint32_t stream)
{
    if (len < PACKET_MIN || get_u32(packet) != stream)
        return false;
    uint64_t seed = seed_of(stream, get_u32(packet + 4), len);
    for (size_t i = 8; i < len; i += 8) {
        uint64_t word = mix(seed + i);
        if (memcmp(packet + i, &word, len - i < 8 ? len - i : 8) != 0)
            return false;
    }
    return true;
}

uint32_t packet_number(const uint8_t *packet, size_t len, uint32_t stream)
{
    if (!packet_is_whole(packet, len, stream))
        fail_msg("a packet of %zu bytes is damaged or of another stream", len);
    return get_u32(packet + 4);
}

/* The tests of certificates check them; here it matters what comes behind them. */
static const struct client_tls_options *trust(void)
{
    static const struct tls_client_options anybody = {.verification = TLS_VERIFY_NOTHING};
    static struct client_tls_options options;
    char fault[HYPERDERP_FAULT_SIZE];

    if (!options.client)
        assert_int_equal(tls_client_new(&options.client, &anybody, fault), 0);
    return &options;
}

const struct client_tls_options *client_trust(void)
{
    return matrix_is_tls() ? trust() : NULL;
}

static struct {
    const hyperderp_private_key *keys;
    unsigned count, next;
} invited;

void client_invite(const hyperderp_private_key *keys, unsigned count)
{
    invited.keys = keys;
    invited.count = count;
    invited.next = 0;
}

int client_try(struct client_socket **out, const char *address, const hyperderp_private_key *key)
{
    struct client_options options = {
        .info = {.version = DERP_PROTOCOL_VERSION, .can_ack_pings = true}};
    int error = 0;

    if (key)
        options.private_key = *key;
    else if (invited.count > 0)
        options.private_key = invited.keys[invited.next++ % invited.count];
    else
        error = hyperderp_private_key_generate(&options.private_key);
    return error ? error
                 : client_socket_connect_tls(out, address, &options, client_trust(), PATIENCE_MS);
}

struct client_socket *client_join(const char *address, const hyperderp_private_key *key)
{
    struct client_socket *client;

    int error = client_try(&client, address, key);
    if (error)
        fail_msg("cannot join %s: %s", address, strerror(-error));
    return client;
}

void client_send(struct client_socket *from, const struct client_socket *to, const void *packet,
                 size_t len)
{
    int error = client_socket_send(from, client_socket_key(to), packet, len, PATIENCE_MS);
    if (error)
        fail_msg("sending a packet of %zu bytes: %s", len, strerror(-error));
}

struct client_message client_expect(struct client_socket *client, enum client_message_type type)
{
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};

    int error = client_socket_recv(client, &message, PATIENCE_MS);
    if (error)
        fail_msg("waiting for message %d: %s", (int)type, strerror(-error));
    assert_int_equal(message.type, type);
    return message;
}

void client_expect_packet(struct client_socket *client, const struct client_socket *from,
                          const void *packet, size_t len)
{
    struct client_message message = client_expect(client, CLIENT_MESSAGE_PACKET);

    assert_true(hyperderp_key_equal(&message.peer, client_socket_key(from)));
    assert_int_equal(message.len, len);
    if (len > 0)
        assert_memory_equal(message.payload, packet, len);
}

void client_settle(struct client_socket *client)
{
    uint8_t ping[FRAME_HEADER_SIZE + FRAME_PING_SIZE];
    static uint64_t number;

    number++;
    frame_header_encode(ping, FRAME_PING, FRAME_PING_SIZE);
    memcpy(ping + FRAME_HEADER_SIZE, &number, FRAME_PING_SIZE);
    assert_int_equal(client_socket_send_raw(client, ping, sizeof(ping), PATIENCE_MS), 0);
    struct client_message message = client_expect(client, CLIENT_MESSAGE_PONG);
    assert_memory_equal(message.payload, &number, FRAME_PING_SIZE);
}

static int tcp_connect_small(const char *address, int receive_buffer)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port =
                                 htons((uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    assert_true(fd >= 0);
    if (receive_buffer > 0) /* before it tells the other side how much it takes */
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(int)), 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        fail_msg("cannot connect to %s: %s", address, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

int tcp_connect(const char *address)
{
    return tcp_connect_small(address, 0);
}

struct client_socket *client_join_small(const char *address, int receive_buffer)
{
    struct client_options options = {
        .info = {.version = DERP_PROTOCOL_VERSION, .can_ack_pings = true}};
    struct client_socket *client;

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    int error =
        client_socket_connect_over(&client, tcp_connect_small(address, receive_buffer), address,
                                   &options, matrix_is_tls() ? trust() : NULL, PATIENCE_MS);
    if (error)
        fail_msg("cannot join %s: %s", address, strerror(-error));
    return client;
}

bool tcp_await_end(int fd, int timeout_ms)
{
    int64_t until = now_us() + (int64_t)timeout_ms * 1000;
    struct pollfd item = {.fd = fd, .events = POLLIN};
    uint8_t bytes[4096];

    for (;;) {
        int64_t left = (until - now_us() + 999) / 1000;
        if (poll(&item, 1, left > 0 ? (int)left : 0) == 0)
            return false;
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return true;
    }
}

struct pair {
    /* Fixed before the thread starts. */
    struct client_socket *from, *to;
    int64_t interval_us;
    size_t len;
    pthread_t thread;

    atomic_bool stop;

    /* The thread's, until it is joined. */
    uint32_t sent, received;
    uint32_t lost;      /* of those before one that was received */
    int64_t sending_us; /* from its first packet to its last */
    int64_t max_latency_us;
    uint32_t *latencies_us; /* of received packets, in the order of arrival */
    size_t room;            /* in it */
    const char *fault;
    int error;
};

/* Each packet carries the time of its sending behind its number. */
static bool pair_send(struct pair *pair)
{
    uint8_t packet[PAIR_MAX_SIZE];
    int64_t now = now_us();

    packet_fill(packet, pair->len, PAIR_STREAM, pair->sent);
    memcpy(packet + pair->len, &now, sizeof(now));
    pair->error = client_socket_send(pair->from, client_socket_key(pair->to), packet,
                                     pair->len + sizeof(now), PATIENCE_MS);
    if (pair->error)
        pair->fault = "sending";
    else
        pair->sent++;
    return pair->error == 0;
}

static void note_latency(struct pair *pair, int64_t latency)
{
    if (pair->received == pair->room) {
        size_t room = pair->room ? 2 * pair->room : 1024;
        uint32_t *grown = realloc(pair->latencies_us, room * sizeof(*grown));
        if (!grown) {
            pair->fault = "no memory";
            return;
        }
        pair->latencies_us = grown;
        pair->room = room;
    }
    pair->latencies_us[pair->received] = (uint32_t)(latency < UINT32_MAX ? latency : UINT32_MAX);
    if (latency > pair->max_latency_us)
        pair->max_latency_us = latency;
    pair->received++;
}

/* Takes one packet, if one comes within the time. */
static bool pair_recv(struct pair *pair, int timeout_ms)
{
    struct client_message message;
    int64_t sent_at;

    int error = client_socket_recv(pair->to, &message, timeout_ms);
    if (error == -ETIMEDOUT)
        return false;
    pair->error = error;
    if (error) {
        pair->fault = "receiving";
        return false;
    }
    if (message.type != CLIENT_MESSAGE_PACKET)
        return true;
    if (message.len != pair->len + sizeof(sent_at) ||
        !packet_is_whole(message.payload, pair->len, PAIR_STREAM)) {
        pair->fault = "damaged";
    } else if (get_u32(message.payload + 4) < pair->received + pair->lost) {
        pair->fault = "twice or out of order";
    } else {
        pair->lost = get_u32(message.payload + 4) - pair->received;
        memcpy(&sent_at, message.payload + pair->len, sizeof(sent_at));
        note_latency(pair, now_us() - sent_at);
    }
    return pair->fault == NULL;
}

/* Sends at its times whatever has arrived, so that a packet that waits holds up no other. */
static void *pair_run(void *arg)
{
    struct pair *pair = arg;
    int64_t next = now_us(), began = next;

    while (!pair->fault && !atomic_load(&pair->stop)) {
        if (!pair_send(pair))
            break;
        next += pair->interval_us;
        for (int64_t left = next - now_us(); left > 0 && !pair->fault; left = next - now_us())
            (void)pair_recv(pair, (int)((left + 999) / 1000));
        /* After a halt of the whole machine the packets of that time are not made up for. */
        if (now_us() - next > 10 * pair->interval_us)
            next = now_us();
    }
    pair->sending_us = now_us() - began;
    while (!pair->fault && pair->received + pair->lost < pair->sent && pair_recv(pair, PATIENCE_MS))
        ;
    return NULL;
}

struct pair *pair_start(const char *address, unsigned rate, size_t len)
{
    struct pair *pair = calloc(1, sizeof(*pair));

    assert_non_null(pair);
    assert_true(len >= PACKET_MIN && len + 8 <= PAIR_MAX_SIZE);
    pair->from = client_join(address, NULL);
    pair->to = client_join(address, NULL);
    pair->interval_us = 1000000 / rate;
    pair->len = len;
    atomic_init(&pair->stop, false);
    assert_int_equal(pthread_create(&pair->thread, NULL, pair_run, pair), 0);
    return pair;
}

static int compare_latencies(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* What so many of 100 packets took at most; they are sorted. */
static uint32_t percentile(const struct pair *pair, unsigned of_100)
{
    return pair->received ? pair->latencies_us[(uint64_t)pair->received * of_100 / 100] : 0;
}

void pair_stop(struct pair *pair, const char *beside_what, int64_t within_us)
{
    pair_stop_within(pair, beside_what, within_us, within_us);
}

void pair_finish(struct pair *pair, const char *beside_what, struct pair_figures *figures)
{
    atomic_store(&pair->stop, true);
    pthread_join(pair->thread, NULL);
    if (pair->received > 0)
        qsort(pair->latencies_us, pair->received, sizeof(uint32_t), compare_latencies);
    print_message("a pair beside %s: %u packets sent, %u received, p50 %.1f ms, p99 %.1f ms, at "
                  "most %.1f ms\n",
                  beside_what, pair->sent, pair->received, percentile(pair, 50) / 1000.0,
                  percentile(pair, 99) / 1000.0, (double)pair->max_latency_us / 1000);
    if (pair->fault)
        fail_msg("the pair's packet %u: %s (%s)", pair->received, pair->fault,
                 strerror(-pair->error));
    assert_true(pair->sent > 0);
    *figures = (struct pair_figures){
        .rate = pair->sent * 1e6 / (double)pair->sending_us,
        .p50_us = percentile(pair, 50),
        .p99_us = percentile(pair, 99),
        .max_us = pair->max_latency_us,
        .lost = pair->sent - pair->received,
    };
    client_socket_close(pair->from);
    client_socket_close(pair->to);
    free(pair->latencies_us);
    free(pair);
}

void pair_stop_within(struct pair *pair, const char *beside_what, int64_t within_us, int64_t p99_us)
{
    struct pair_figures figures;

    pair_finish(pair, beside_what, &figures);
    assert_int_equal(figures.lost, 0);
    assert_true(figures.max_us < within_us);
    assert_true(figures.p99_us <= p99_us);
}
