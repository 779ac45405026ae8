/* SPDX-License-Identifier: BSD-3-Clause */
/* The stream of frames: split at every byte, cut into single bytes, read in small pieces, with keys
 * that are connected twice and peers that have left. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay_embedded.h"
#include "traffic.h"

#define SCRIPT_ROOM  8192
#define STREAM       3
#define UNKNOWN_TYPE 0x7f

/* A byte string to send, and the packets in it. */
struct script {
    uint8_t bytes[SCRIPT_ROOM];
    size_t len;
    const uint8_t *packets[4];
    size_t packet_len[4];
    unsigned packet_count;
};

static const uint8_t ping[FRAME_PING_SIZE] = {'s', 'p', 'l', 'i', 't', 0, 0xff, 4};

static void add_frame(struct script *script, uint8_t type, const void *payload, size_t len)
{
    assert_true(script->len + FRAME_HEADER_SIZE + len <= SCRIPT_ROOM);
    frame_header_encode(script->bytes + script->len, type, (uint32_t)len);
    memcpy(script->bytes + script->len + FRAME_HEADER_SIZE, payload, len);
    script->len += FRAME_HEADER_SIZE + len;
}

static void add_packet(struct script *script, const hyperderp_key *to, size_t len)
{
    uint8_t *at = script->bytes + script->len, *packet = at + FRAME_PACKET_OVERHEAD;

    assert_true(script->len + FRAME_PACKET_OVERHEAD + len <= SCRIPT_ROOM);
    client_packet_header(at, to, len);
    if (len >= PACKET_MIN)
        packet_fill(packet, len, STREAM, script->packet_count);
    else
        memset(packet, (int)('a' + len), len);
    script->packets[script->packet_count] = packet;
    script->packet_len[script->packet_count] = len;
    script->packet_count++;
    script->len += FRAME_PACKET_OVERHEAD + len;
}

static void make_script(struct script *script, const hyperderp_key *to)
{
    static const uint8_t home = 1, away = 0;

    *script = (struct script){.len = 0};
    add_packet(script, to, 0);
    add_frame(script, FRAME_NOTE_PREFERRED, &home, 1);
    add_packet(script, to, 1);
    add_frame(script, UNKNOWN_TYPE, "not for this version", 20);
    add_packet(script, to, 37);
    add_frame(script, FRAME_NOTE_PREFERRED, &away, 1);
    add_frame(script, UNKNOWN_TYPE, "", 0);
    add_packet(script, to, 1400);
    add_frame(script, FRAME_PING, ping, sizeof(ping));
}

/* Sends a piece and waits until the relay has read it, so that the next one cannot join it. */
static void send_piece(const struct embedded *relay, struct client_socket *from,
                       const uint8_t *bytes, size_t len)
{
    hyperderp_counters before;

    if (len == 0)
        return;
    embedded_counters(relay, &before);
    assert_int_equal(client_socket_send_raw(from, bytes, len, PATIENCE_MS), 0);
    embedded_await(relay, recv_bytes, before.recv_bytes + len);
}

static void expect_script(const struct script *script, struct client_socket *from,
                          struct client_socket *to)
{
    for (unsigned i = 0; i < script->packet_count; i++)
        client_expect_packet(to, from, script->packets[i], script->packet_len[i]);
    struct client_message pong = client_expect(from, CLIENT_MESSAGE_PONG);
    assert_memory_equal(pong.payload, ping, sizeof(ping));
}

static void test_split(void **state)
{
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct embedded relay;
    struct script script;

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    struct client_socket *from = client_join(relay.address, NULL);
    struct client_socket *to = client_join(relay.address, NULL);
    make_script(&script, client_socket_key(to));

    for (size_t at = 0; at < script.len; at++) {
        send_piece(&relay, from, script.bytes, at);
        send_piece(&relay, from, script.bytes + at, script.len - at);
        expect_script(&script, from, to);
    }
    for (size_t at = 0; at < script.len; at++)
        send_piece(&relay, from, script.bytes + at, 1);
    expect_script(&script, from, to);
    client_socket_close(from);
    client_socket_close(to);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.packets_delivered, 4 * (script.len + 1));
    assert_int_equal(counters.unknown_frames, 2 * (script.len + 1));
    assert_int_equal(counters.pings, script.len + 1);
    assert_int_equal(counters.protocol_errors, 0);
}

/* Request, ClientInfo and first packet in one byte string, as a client with fast start sends them.
 */
static void test_split_handshake(void **state)
{
    hyperderp_relay_options options;
    struct client_options fast = {.host = "relay.example", .fast_start = true};
    struct embedded relay;
    struct client client;
    uint8_t bytes[SCRIPT_ROOM];
    ssize_t len = 1;

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    hyperderp_relay_public_key(relay.relay, &fast.server_key);
    struct client_socket *to = client_join(relay.address, NULL);

    for (ssize_t at = 0; at < len; at += 3) {
        hyperderp_counters before;
        assert_int_equal(hyperderp_private_key_generate(&fast.private_key), 0);
        assert_int_equal(client_init(&client, &fast), 0);
        len = client_request(&client, bytes, sizeof(bytes));
        assert_true(len > 0);
        client_packet_header(bytes + len, client_socket_key(to), 5);
        memcpy(bytes + len + FRAME_PACKET_OVERHEAD, "first", 5);
        len += FRAME_PACKET_OVERHEAD + 5;

        int fd = tcp_connect(relay.address);
        embedded_counters(&relay, &before);
        assert_int_equal(send(fd, bytes, (size_t)at, 0), at);
        embedded_await(&relay, recv_bytes, before.recv_bytes + (uint64_t)at);
        assert_int_equal(send(fd, bytes + at, (size_t)(len - at), 0), len - at);
        struct client_message message = client_expect(to, CLIENT_MESSAGE_PACKET);
        assert_true(hyperderp_key_equal(&message.peer, &client.public_key));
        assert_int_equal(message.len, 5);
        assert_memory_equal(message.payload, "first", 5);
        close(fd);
        message = client_expect(to, CLIENT_MESSAGE_PEER_GONE);
        assert_true(hyperderp_key_equal(&message.peer, &client.public_key));
        client_wipe(&client);
    }
    client_socket_close(to);
    embedded_stop(&relay, NULL);
}

/* A client whose frames have room for a length that no frame may have is closed, and nobody else.
 */
static void test_lengths(void **state)
{
    static const struct {
        uint8_t type;
        uint32_t length;
    } wrong[] = {{FRAME_SEND_PACKET, HYPERDERP_KEY_SIZE - 1},
                 {FRAME_SEND_PACKET, HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET + 1},
                 {FRAME_SEND_PACKET, UINT32_MAX},
                 {FRAME_PING, FRAME_PING_SIZE - 1},
                 {FRAME_PING, FRAME_MAX_PING + 1},
                 {FRAME_NOTE_PREFERRED, 0},
                 {UNKNOWN_TYPE, FRAME_MAX_SKIPPED + 1},
                 {UNKNOWN_TYPE, UINT32_MAX}};
    const size_t count = sizeof(wrong) / sizeof(wrong[0]);
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct embedded relay;

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    struct client_socket *other = client_join(relay.address, NULL);
    for (size_t i = 0; i < count; i++) {
        uint8_t header[FRAME_HEADER_SIZE];
        struct client_socket *client = client_join(relay.address, NULL);
        frame_header_encode(header, wrong[i].type, wrong[i].length);
        assert_int_equal(client_socket_send_raw(client, header, sizeof(header), PATIENCE_MS), 0);
        assert_true(tcp_await_end(client_socket_fd(client), PATIENCE_MS));
        client_socket_close(client);
    }
    client_settle(other);
    client_socket_close(other);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.protocol_errors, count);
}

/* The connection of a key that sent last receives; when it leaves, the one before it does. */
static void test_duplicates(void **state)
{
    hyperderp_relay_options options;
    hyperderp_private_key key;
    hyperderp_counters counters;
    struct embedded relay;
    struct client_socket *same[3];

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    assert_int_equal(hyperderp_private_key_generate(&key), 0);
    struct client_socket *sender = client_join(relay.address, NULL);
    for (unsigned i = 0; i < 3; i++) {
        same[i] = client_join(relay.address, &key);
        client_settle(same[i]);
    }
    for (unsigned round = 0; round < 30; round++) {
        client_settle(same[2]);
        client_send(sender, same[2], &round, sizeof(round));
        client_expect_packet(same[2], sender, &round, sizeof(round));
    }
    /* To its own key. */
    client_send(same[2], same[2], "me", 2);
    client_expect_packet(same[2], same[2], "me", 2);
    for (unsigned left = 3; left > 0; left--) {
        client_send(sender, same[left - 1], &left, sizeof(left));
        client_expect_packet(same[left - 1], sender, &left, sizeof(left));
        client_send(same[left - 1], sender, &left, sizeof(left));
        client_expect_packet(sender, same[left - 1], &left, sizeof(left));
        client_socket_close(same[left - 1]);
        embedded_await_fall(&relay, connections, left);
        client_settle(sender); /* no PeerGone while the key is connected */
        if (left == 2)
            break;
    }
    hyperderp_key gone = *client_socket_key(same[0]);
    client_socket_close(same[0]);
    struct client_message message = client_expect(sender, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, &gone));
    assert_int_equal(message.reason, PEER_GONE_DISCONNECTED);
    client_socket_close(sender);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.duplicate_connections, 2);
    assert_int_equal(counters.packets_delivered, counters.packets_received);
}

/* Many keys come, are connected twice, send to each other and go, over and over. */
static void test_churn(void **state)
{
    enum { KEYS = 6, ROUNDS = SANITIZED ? 40 : 150 };
    hyperderp_relay_options options;
    hyperderp_private_key keys[KEYS];
    struct embedded relay;
    uint8_t packet[700];

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(hyperderp_private_key_generate(&keys[i]), 0);
    packet_fill(packet, sizeof(packet), STREAM, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct client_socket *clients[KEYS], *again[KEYS];
        for (unsigned i = 0; i < KEYS; i++)
            clients[i] = client_join(relay.address, &keys[i]);
        for (unsigned i = 0; i < KEYS; i++)
            again[i] = client_join(relay.address, &keys[i]);
        for (unsigned i = 0; i < KEYS * KEYS; i++) {
            client_send(clients[i % KEYS], clients[i / KEYS], packet, sizeof(packet));
            client_send(again[i % KEYS], clients[i / KEYS], packet, sizeof(packet));
        }
        /* Closed with packets on their way, in an order that is another each time. */
        for (unsigned i = 0; i < KEYS; i++) {
            client_socket_close(clients[(i + round) % KEYS]);
            client_socket_close(again[(i * 5 + round) % KEYS]);
        }
    }
    embedded_await_fall(&relay, connections, 0);
    embedded_stop(&relay, NULL);
}

static void test_gone(void **state)
{
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct embedded relay;
    uint8_t disco[62] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    struct client_socket *stays = client_join(relay.address, NULL);
    struct client_socket *leaves = client_join(relay.address, NULL);
    hyperderp_key gone = *client_socket_key(leaves);

    client_send(leaves, stays, "here", 4);
    client_expect_packet(stays, leaves, "here", 4);
    client_socket_close(leaves);
    struct client_message message = client_expect(stays, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, &gone));
    assert_int_equal(message.reason, PEER_GONE_DISCONNECTED);

    /* Data to who has left is dropped in silence; disco is answered, three times at once. */
    assert_int_equal(client_socket_send(stays, &gone, "data", 4, PATIENCE_MS), 0);
    client_settle(stays);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(client_socket_send(stays, &gone, disco, sizeof(disco), PATIENCE_MS), 0);
    for (unsigned i = 0; i < 3; i++) {
        message = client_expect(stays, CLIENT_MESSAGE_PEER_GONE);
        assert_true(hyperderp_key_equal(&message.peer, &gone));
        assert_int_equal(message.reason, PEER_GONE_NOT_HERE);
    }
    if (!SANITIZED) /* within a second, which a slow build may not keep */
        client_settle(stays);
    client_socket_close(stays);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.drops[HYPERDERP_DROP_UNKNOWN_PEER][HYPERDERP_PACKET_DATA], 1);
    assert_int_equal(counters.drops[HYPERDERP_DROP_UNKNOWN_PEER][HYPERDERP_PACKET_DISCO], 10);
}

/* What a client receives, fetched 100 bytes at a time. Only for a client that was sent nothing yet.
 */
struct slow_reader {
    struct client_socket *client;
    const struct client_socket *from;
    uint8_t bytes[2 * FRAME_MAX_PACKET];
    size_t len;
    uint32_t next;
};

static void slow_read_packet(struct slow_reader *reader, size_t len)
{
    struct frame_header header;

    while (frame_header_decode(reader->bytes, reader->len, &header) == 0 ||
           reader->len < FRAME_HEADER_SIZE + header.length) {
        struct pollfd item = {.fd = client_socket_fd(reader->client), .events = POLLIN};
        assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
        ssize_t got = recv(item.fd, reader->bytes + reader->len, 100, 0);
        assert_true(got > 0);
        reader->len += (size_t)got;
        if (reader->len >= FRAME_HEADER_SIZE) /* before a damaged length is waited for */
            assert_int_equal(reader->bytes[0], FRAME_RECV_PACKET);
    }
    assert_int_equal(header.length, HYPERDERP_KEY_SIZE + len);
    assert_memory_equal(reader->bytes + FRAME_HEADER_SIZE, client_socket_key(reader->from),
                        HYPERDERP_KEY_SIZE);
    assert_int_equal(packet_number(reader->bytes + FRAME_PACKET_OVERHEAD, len, STREAM),
                     reader->next);
    reader->next++;
    reader->len -= FRAME_PACKET_OVERHEAD + len;
    memmove(reader->bytes, reader->bytes + FRAME_PACKET_OVERHEAD + len, reader->len);
}

/* Large packets with small ones between them. */
static const size_t batch_sizes[] = {FRAME_MAX_PACKET, 20, 1400, 16384, 61, FRAME_MAX_PACKET - 1};

#define BATCH (sizeof(batch_sizes) / sizeof(batch_sizes[0]))

static void send_batch(struct client_socket *from, struct client_socket *to, uint32_t *number)
{
    static uint8_t packet[FRAME_MAX_PACKET];

    for (unsigned i = 0; i < BATCH; i++) {
        packet_fill(packet, batch_sizes[i], STREAM, (*number)++);
        client_send(from, to, packet, batch_sizes[i]);
    }
}

static void test_large(void **state)
{
    enum { ROUNDS = SANITIZED ? 15 : 40, AHEAD = 4 };
    static struct slow_reader readers[2];
    uint32_t sent[2] = {0, 0};
    hyperderp_relay_options options;
    hyperderp_counters counters;
    struct embedded relay;

    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    struct client_socket *a = client_join(relay.address, NULL);
    struct client_socket *b = client_join(relay.address, NULL);
    readers[0] = (struct slow_reader){.client = b, .from = a};
    readers[1] = (struct slow_reader){.client = a, .from = b};
    for (unsigned round = 0; round < ROUNDS + AHEAD; round++) {
        if (round < ROUNDS) {
            send_batch(a, b, &sent[0]);
            send_batch(b, a, &sent[1]);
        }
        for (unsigned i = 0; i < BATCH && round >= AHEAD; i++) {
            slow_read_packet(&readers[0], batch_sizes[i]);
            slow_read_packet(&readers[1], batch_sizes[i]);
        }
    }
    client_socket_close(a);
    client_socket_close(b);
    embedded_stop(&relay, &counters);
    assert_int_equal(counters.packets_delivered, 2 * ROUNDS * BATCH);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"split", test_split, CELLS_ALL | CELLS_TLS},
        {"split_handshake", test_split_handshake, CELLS_ENGINES},
        {"lengths", test_lengths, CELLS_ENGINES | CELLS_TLS},
        {"duplicates", test_duplicates, CELLS_ALL | CELLS_TLS},
        {"churn", test_churn, CELLS_ALL | CELLS_TLS},
        {"gone", test_gone, CELLS_ALL | CELLS_TLS},
        {"large", test_large, CELLS_ALL},
    };
    return matrix_run("frames", tests, sizeof(tests) / sizeof(tests[0]));
}
