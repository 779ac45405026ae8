/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending half of a connection, on both engines and three workers: however slow the receiver
 * and however many push to it, its stream stays well framed, each sender's packets stay in order,
 * and every packet is accounted for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/sink.h"
#include "relay/worker.h"
#include "relay_fixture.h"

/* What accepted sockets and receivers get, so that nearly every send is a short one. */
#define SMALL_BUFFER 4608

#define MAX_SENDERS 8
#define MIN_PACKET  80 /* large enough to be a disco packet */

/* ---- Packets that can be checked ------------------------------------------------------------- */

static const uint8_t disco_magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

struct stamp {
    uint32_t sender, size;
    uint32_t number; /* counts from 1 in each sender's lane */
};

static uint8_t filling(const struct stamp *stamp, size_t at)
{
    return (uint8_t)(stamp->number * 13 + stamp->sender * 5 + at);
}

/* Fills size bytes; a disco packet begins with its magic. */
static void write_packet(uint8_t *out, const struct stamp *stamp, bool disco)
{
    for (size_t i = 0; i < stamp->size; i++)
        out[i] = filling(stamp, i);
    memset(out, 0, sizeof(disco_magic));
    if (disco)
        memcpy(out, disco_magic, sizeof(disco_magic));
    memcpy(out + 8, stamp, sizeof(*stamp));
}

/* What a receiver has seen: the last number of each sender's lane. */
struct seen {
    uint32_t last[MAX_SENDERS][2];
    unsigned count;
};

/* Checks one packet: whole, unchanged, and newer than the one before it in its lane. */
static struct stamp check_packet(struct seen *seen, const struct client_message *message)
{
    bool disco = message->len >= MIN_PACKET &&
                 memcmp(message->payload, disco_magic, sizeof(disco_magic)) == 0;
    struct stamp stamp;

    assert_int_equal(message->type, CLIENT_MESSAGE_PACKET);
    assert_true(message->len >= MIN_PACKET);
    memcpy(&stamp, message->payload + 8, sizeof(stamp));
    assert_int_equal(stamp.size, message->len);
    assert_true(stamp.sender < MAX_SENDERS);
    for (size_t i = 8 + sizeof(stamp); i < stamp.size; i++)
        if (message->payload[i] != filling(&stamp, i))
            fail_msg("packet %u of sender %u is damaged at byte %zu", stamp.number, stamp.sender,
                     i);
    uint32_t *last = &seen->last[stamp.sender][disco];
    if (stamp.number <= *last)
        fail_msg("packet %u of sender %u came after %u", stamp.number, stamp.sender, *last);
    *last = stamp.number;
    seen->count++;
    return stamp;
}

/* ---- Senders in threads of their own --------------------------------------------------------- */

struct sender {
    pthread_t thread;
    struct client_socket *client;
    hyperderp_key to[4];
    unsigned receivers;
    uint32_t index, packets, max_size, large_every; /* every so many packets one of 64 KiB */
    atomic_uint sent;                               /* whole, to all receivers together */
    atomic_bool stop;
    atomic_bool broken; /* the relay closed */
};

static void *run_sender(void *arg)
{
    struct sender *sender = arg;
    uint8_t *packet = malloc(FRAME_MAX_PACKET);
    uint32_t numbers[4][2] = {{0}};
    unsigned seed = sender->index + 1;

    for (uint32_t i = 0; i < sender->packets && !sender->stop; i++) {
        unsigned to = (unsigned)rand_r(&seed) % sender->receivers;
        bool large = sender->large_every > 0 && i % sender->large_every == sender->index;
        bool disco = rand_r(&seed) % 10 == 0 && !large;
        uint32_t size = MIN_PACKET + (uint32_t)rand_r(&seed) % (sender->max_size - MIN_PACKET + 1);
        struct stamp stamp = {.sender = sender->index,
                              .size = large ? FRAME_MAX_PACKET : size,
                              .number = ++numbers[to][disco]};

        write_packet(packet, &stamp, disco);
        if (client_socket_send(sender->client, &sender->to[to], packet, stamp.size,
                               FIXTURE_PATIENCE_MS) != 0) {
            sender->broken = true;
            break;
        }
        sender->sent++;
    }
    free(packet);
    return NULL;
}

/* Starts senders that are all like this one, once each of them has joined. */
static void start_senders(const struct fixture *fixture, struct sender *senders, uint32_t count,
                          const struct sender *like)
{
    for (uint32_t i = 0; i < count; i++) {
        senders[i] = *like;
        senders[i].index = i;
        senders[i].client = fixture_join(fixture, 0);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&senders[i].thread, NULL, run_sender, &senders[i]), 0);
}

static uint64_t join_sender(struct sender *sender)
{
    pthread_join(sender->thread, NULL);
    return sender->sent;
}

/* Reads packets until the relay has settled all, and none is left on its way. */
static void receive_rest(const struct fixture *fixture, struct client_socket *client,
                         struct seen *seen, uint64_t sent)
{
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;

    for (;;) {
        struct client_message message;
        hyperderp_counters counters = fixture_counters(fixture);
        bool rest = counters_at_rest(&counters, sent);
        int error = client_socket_recv(client, &message, rest ? 0 : 5);

        if (error == -ETIMEDOUT && rest && seen->count == counters.packets_delivered)
            return;
        assert_true(fixture_now_ms() < until);
        if (error == -ETIMEDOUT)
            continue;
        assert_int_equal(error, 0);
        if (message.type == CLIENT_MESSAGE_PACKET)
            check_packet(seen, &message);
    }
}

/* ---- Cases ----------------------------------------------------------------------------------- */

/* Six senders flat out to one that reads little by little out of tiny buffers. */
static void many_to_one_slow(void **state)
{
    enum { SENDERS = 6 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    static struct sender senders[SENDERS];
    struct fixture fixture;
    struct seen seen = {0};
    uint64_t sent = 0;
    unsigned ended = 0;

    options.queue_frames = 200;
    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct client_socket *receiver = fixture_join(&fixture, SMALL_BUFFER);
    struct sender like = {.receivers = 1, .packets = 3000, .max_size = 1500, .large_every = 200};
    like.to[0] = *client_socket_key(receiver);
    start_senders(&fixture, senders, SENDERS, &like);
    /* Slow: reads fast enough to keep the sends coming, not to keep up with them. */
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
    while (ended < SENDERS) {
        struct client_message message;

        assert_true(fixture_now_ms() < until);
        int error = client_socket_recv(receiver, &message, 1);
        if (error == 0)
            check_packet(&seen, &message);
        else
            assert_int_equal(error, -ETIMEDOUT);
        if (seen.count % 16 == 0)
            usleep(200);
        ended = 0;
        for (unsigned i = 0; i < SENDERS; i++)
            ended += senders[i].sent == senders[i].packets;
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        sent += join_sender(&senders[i]);
        assert_false(senders[i].broken);
    }
    receive_rest(&fixture, receiver, &seen, sent);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_true(counters.drops[HYPERDERP_DROP_QUEUE_FULL][HYPERDERP_PACKET_DATA] > 0);
    assert_true(counters.send_drops + counters.xfer_drops == fixture_dropped(&counters));
    assert_true(counters.xfer_drops > 0);
    assert_int_equal(counters.queued_bytes, 0);
    for (unsigned i = 0; i < SENDERS; i++)
        client_socket_close(senders[i].client);
    client_socket_close(receiver);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Receivers that keep up lose nothing, also where every send is a short one. */
static void those_who_keep_up_lose_nothing(void **state)
{
    enum { SENDERS = 3, PACKETS = 400 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    static struct sender senders[SENDERS];
    struct fixture fixture;
    struct seen seen = {0};

    options.queue_frames = 2 * SENDERS * PACKETS;
    options.queue_bytes = 64 << 20;
    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct client_socket *receiver = fixture_join(&fixture, SMALL_BUFFER);
    struct sender like = {.receivers = 1, .packets = PACKETS, .max_size = 1500, .large_every = 50};
    like.to[0] = *client_socket_key(receiver);
    start_senders(&fixture, senders, SENDERS, &like);
    for (unsigned count = 0; count < SENDERS * PACKETS; count++) {
        struct client_message message;

        assert_int_equal(client_socket_recv(receiver, &message, FIXTURE_PATIENCE_MS), 0);
        check_packet(&seen, &message);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(join_sender(&senders[i]), PACKETS);
        /* Strictly increasing, and as many as were sent: so none is missing. */
        assert_int_equal(seen.last[i][0] + seen.last[i][1], PACKETS);
        client_socket_close(senders[i].client);
    }
    client_socket_close(receiver);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void send_numbered(struct client_socket *from, const hyperderp_key *to, uint32_t first,
                          uint32_t count, bool disco)
{
    uint8_t packet[1000];

    for (uint32_t i = 0; i < count; i++) {
        struct stamp stamp = {.size = sizeof(packet), .number = first + i};

        write_packet(packet, &stamp, disco);
        assert_int_equal(client_socket_send(from, to, packet, sizeof(packet), FIXTURE_PATIENCE_MS),
                         0);
    }
}

/* Of what waits for one that does not read, disco goes first, and stays in its order. */
static void disco_overtakes(void **state)
{
    enum { DATA = 600, DISCO = 40 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct seen seen = {0};
    unsigned first_disco = 0, last_disco = 0;

    options.queue_bytes = 64 << 20;
    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct client_socket *receiver = fixture_join(&fixture, SMALL_BUFFER);
    struct client_socket *sender = fixture_join(&fixture, 0);
    send_numbered(sender, client_socket_key(receiver), 1, DATA, false);
    fixture_wait(&fixture, counters_received_are, DATA);
    send_numbered(sender, client_socket_key(receiver), 1, DISCO, true);
    fixture_wait(&fixture, counters_received_are, DATA + DISCO);
    for (unsigned i = 1; i <= DATA + DISCO; i++) {
        struct client_message message = fixture_expect(receiver, CLIENT_MESSAGE_PACKET);

        check_packet(&seen, &message);
        if (memcmp(message.payload, disco_magic, sizeof(disco_magic)) == 0) {
            first_disco = first_disco ? first_disco : i;
            last_disco = i;
        }
    }
    assert_true(first_disco < DATA / 2); /* what was in the sockets already went before */
    assert_true(last_disco - first_disco < 2 * DISCO + 64);
    client_socket_close(sender);
    client_socket_close(receiver);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* The oldest data gives way: the newest packets arrive, without a gap among them. */
static void the_newest_arrive(void **state)
{
    enum { PACKETS = 3000, KEPT = 100 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    struct seen seen = {0};
    uint32_t before = 0, behind_gap = 0; /* the last gap */

    options.queue_frames = KEPT;
    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct client_socket *receiver = fixture_join(&fixture, SMALL_BUFFER);
    struct client_socket *sender = fixture_join(&fixture, 0);
    send_numbered(sender, client_socket_key(receiver), 1, PACKETS, false);
    fixture_wait(&fixture, counters_received_are, PACKETS);
    while (before < PACKETS) {
        struct client_message message = fixture_expect(receiver, CLIENT_MESSAGE_PACKET);
        struct stamp stamp = check_packet(&seen, &message);

        if (stamp.number != before + 1)
            behind_gap = stamp.number;
        before = stamp.number;
    }
    assert_true(behind_gap > 1 && behind_gap <= PACKETS - KEPT + 1);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.drops[HYPERDERP_DROP_QUEUE_FULL][HYPERDERP_PACKET_DATA],
                     PACKETS - seen.count);
    client_socket_close(sender);
    client_socket_close(receiver);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* One who takes nothing is closed at the write timeout, whichever worker waits for it; others go
 * on. */
static void write_timeout(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;

    options.write_timeout_ms = 300;
    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct client_socket *receiver = fixture_join(&fixture, SMALL_BUFFER);
    struct client_socket *sender = fixture_join(&fixture, 0);
    int64_t began = fixture_now_ms();
    send_numbered(sender, client_socket_key(receiver), 1, 500, false);
    fixture_wait(&fixture, counters_connections_are, 1);
    assert_true(fixture_now_ms() - began >= 300);
    assert_true(fixture_now_ms() - began < 3000);
    fixture_wait(&fixture, counters_at_rest, 500);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.send_errors, 1);
    assert_true(counters.drops[HYPERDERP_DROP_WRITE_ERROR][HYPERDERP_PACKET_DATA] > 0);
    assert_int_equal(counters.queued_bytes, 0);
    send_numbered(sender, client_socket_key(sender), 1, 1, false);
    fixture_expect(sender, CLIENT_MESSAGE_PACKET);
    client_socket_close(receiver);
    client_socket_close(sender);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* One who takes something now and then is slow, not dead. */
static void slow_is_not_dead(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;
    uint8_t bytes[8192];

    options.write_timeout_ms = 800;
    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct client_socket *receiver = fixture_join(&fixture, SMALL_BUFFER);
    struct client_socket *sender = fixture_join(&fixture, 0);
    send_numbered(sender, client_socket_key(receiver), 1, 500, false);
    int64_t until = fixture_now_ms() + 1500;
    while (fixture_now_ms() < until) {
        usleep(50000);
        (void)recv(client_socket_fd(receiver), bytes, sizeof(bytes), MSG_DONTWAIT);
    }
    assert_int_equal(fixture_counters(&fixture).connections, 2);
    assert_int_equal(fixture_counters(&fixture).send_errors, 0);
    client_socket_close(receiver);
    client_socket_close(sender);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Receivers come and go under one key while all senders push: by close, by reset, with input
 * unread. */
static void closed_while_others_push(void **state)
{
    enum { SENDERS = 4, ROUNDS = 60 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    static struct sender senders[SENDERS];
    struct fixture fixture;
    hyperderp_private_key private_key[4];
    uint64_t sent = 0;

    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct sender like = {
        .receivers = 4, .packets = UINT32_MAX, .max_size = 3000, .large_every = 100};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(hyperderp_private_key_generate(&private_key[i]), 0);
        hyperderp_private_key_public(&private_key[i], &like.to[i]);
    }
    start_senders(&fixture, senders, SENDERS, &like);
    for (unsigned round = 0; round < ROUNDS; round++) {
        static const struct linger hard = {.l_onoff = 1};
        struct seen seen = {0};
        struct client_socket *receiver = fixture_join_as(&fixture, &private_key[round % 4]);

        for (unsigned i = 0; i < round; i++) {
            struct client_message message = fixture_expect(receiver, CLIENT_MESSAGE_PACKET);
            check_packet(&seen, &message);
        }
        if (round % 3 == 0)
            setsockopt(client_socket_fd(receiver), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        client_socket_close(receiver);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        senders[i].stop = true;
    for (unsigned i = 0; i < SENDERS; i++) {
        sent += join_sender(&senders[i]);
        assert_false(senders[i].broken);
    }
    fixture_wait(&fixture, counters_connections_are, SENDERS);
    fixture_wait(&fixture, counters_at_rest, sent);
    for (unsigned i = 0; i < SENDERS; i++)
        client_socket_close(senders[i].client);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* A drain while all push: what a receiver gets is whole to its last frame, Restarting, and then
 * ends. */
static void finished_while_others_push(void **state)
{
    enum { SENDERS = 4 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    static struct sender senders[SENDERS];
    struct fixture fixture;
    struct client_socket *receiver[2];

    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct sender like = {
        .receivers = 2, .packets = UINT32_MAX, .max_size = 1500, .large_every = 100};
    for (unsigned i = 0; i < 2; i++) {
        receiver[i] = fixture_join(&fixture, SMALL_BUFFER);
        like.to[i] = *client_socket_key(receiver[i]);
    }
    start_senders(&fixture, senders, SENDERS, &like);
    struct seen seen[2] = {0};
    for (unsigned i = 0; i < 200; i++) {
        struct client_message message = fixture_expect(receiver[i % 2], CLIENT_MESSAGE_PACKET);
        check_packet(&seen[i % 2], &message);
    }
    (void)hyperderp_relay_drain(fixture.relay, 0);
    for (unsigned i = 0; i < 2; i++) {
        bool restarting = false;
        int error;

        for (;;) {
            struct client_message message;
            error = client_socket_recv(receiver[i], &message, FIXTURE_PATIENCE_MS);
            if (error != 0)
                break;
            if (message.type == CLIENT_MESSAGE_RESTARTING)
                restarting = true;
            else if (message.type != CLIENT_MESSAGE_PEER_GONE) /* senders that left before */
                check_packet(&seen[i], &message);
        }
        assert_int_equal(error, -EPIPE);
        assert_true(restarting);
        client_socket_close(receiver[i]);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i].stop = true;
        (void)join_sender(&senders[i]);
        client_socket_close(senders[i].client);
    }
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    fixture_stop(&fixture);
}

/* Stopped in the middle of it: nothing leaks, and the figures still add up. */
static void stopped_while_others_push(void **state)
{
    enum { SENDERS = 4 };
    hyperderp_engine engine = fixture_engine(state);

    for (unsigned round = 0; round < 5; round++) {
        hyperderp_relay_options options = fixture_options(engine, 3);
        static struct sender senders[SENDERS];
        struct fixture fixture;
        struct client_socket *receiver[2];

        fixture_start(&fixture, &options, SMALL_BUFFER);
        struct sender like = {.receivers = 2, .packets = UINT32_MAX, .max_size = 9000};
        for (unsigned i = 0; i < 2; i++) {
            receiver[i] = fixture_join(&fixture, i ? SMALL_BUFFER : 0);
            like.to[i] = *client_socket_key(receiver[i]);
        }
        start_senders(&fixture, senders, SENDERS, &like);
        for (unsigned i = 0; i < 100 * round; i++)
            fixture_expect(receiver[0], CLIENT_MESSAGE_PACKET);
        hyperderp_relay_stop(fixture.relay);
        for (unsigned i = 0; i < SENDERS; i++) {
            senders[i].stop = true;
            (void)join_sender(&senders[i]);
            client_socket_close(senders[i].client);
        }
        for (unsigned i = 0; i < 2; i++)
            client_socket_close(receiver[i]);
        fixture_stop(&fixture);
    }
}

/* The bound of memory is met: packets are dropped for it, frames stay whole, and the relay
 * recovers. */
static void memory_is_bounded(void **state)
{
    enum { SENDERS = 3, LIMIT = 256 << 10 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    static struct sender senders[SENDERS];
    struct fixture fixture;
    struct seen seen = {0};
    uint64_t sent = 0;
    unsigned ended = 0;

    options.memory_bytes = LIMIT;
    fixture_start(&fixture, &options, SMALL_BUFFER);
    struct client_socket *receiver = fixture_join(&fixture, SMALL_BUFFER);
    struct sender like = {.receivers = 1, .packets = 1000, .max_size = 3000};
    like.to[0] = *client_socket_key(receiver);
    start_senders(&fixture, senders, SENDERS, &like);
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
    while (ended < SENDERS) {
        struct client_message message;

        assert_true(fixture_now_ms() < until);
        /* A failed allocation adds to the figure for a moment before it is taken back. */
        assert_true(fixture_counters(&fixture).queued_bytes <= LIMIT + 3 * 70000);
        int error = client_socket_recv(receiver, &message, 1);
        if (error == 0)
            check_packet(&seen, &message);
        else
            assert_int_equal(error, -ETIMEDOUT);
        if (seen.count % 4 == 0)
            usleep(500);
        ended = 0;
        for (unsigned i = 0; i < SENDERS; i++)
            ended += senders[i].sent == senders[i].packets;
    }
    for (unsigned i = 0; i < SENDERS; i++)
        sent += join_sender(&senders[i]);
    receive_rest(&fixture, receiver, &seen, sent);
    assert_true(fixture_counters(&fixture).drops[HYPERDERP_DROP_MEMORY][HYPERDERP_PACKET_DATA] > 0);
    send_numbered(senders[0].client, client_socket_key(senders[1].client), 1, 1, false);
    fixture_expect(senders[1].client, CLIENT_MESSAGE_PACKET);
    for (unsigned i = 0; i < SENDERS; i++)
        client_socket_close(senders[i].client);
    client_socket_close(receiver);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- A sink alone, with a worker that does not run ------------------------------------------- */

static bool push_one(struct worker *worker, struct sink *sink, enum frame_kind kind)
{
    struct frame *frame = frame_alloc(&worker->frames, 100, FRAME_USE_WAITING, worker->index);

    assert_non_null(frame);
    frame->kind = (uint8_t)kind;
    return sink_push(worker, sink, frame);
}

/* Who was told too late that a connection is over pushes to nobody: above all not to the socket,
 * whose number may be another's by now. */
static void takes_nothing_at_its_end(void **state)
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_EPOLL, 2);
    hyperderp_relay *relay;
    int fd[2];
    char byte;

    (void)state;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    struct worker *worker = relay->workers[0], *other = relay->workers[1];
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
        struct sink *sink = sink_new(worker, fd[0]);
        assert_non_null(sink);
        if (i == 0)
            sink_finish(worker, sink);
        else
            sink_close(worker, sink);
        if (i == 2)
            sink_release_socket(sink);
        assert_false(push_one(worker, sink, FRAME_KIND_DATA));
        assert_false(push_one(other, sink, FRAME_KIND_DISCO));
        assert_false(push_one(other, sink, FRAME_KIND_CONTROL));
        assert_int_equal(atomic_load(&sink->draining), 0);
        assert_true(outq_is_empty(&sink->queue));
        assert_int_equal(recv(fd[1], &byte, 1, MSG_DONTWAIT), 0); /* the end, and nothing before */
        if (i < 2)
            sink_release_socket(sink);
        sink_unref(sink);
        close(fd[1]);
    }
    hyperderp_counters counters = {.size = sizeof(counters)};
    hyperderp_relay_counters(relay, &counters);
    assert_int_equal(counters.drops[HYPERDERP_DROP_GONE][HYPERDERP_PACKET_DATA], 3);
    assert_int_equal(counters.drops[HYPERDERP_DROP_GONE][HYPERDERP_PACKET_DISCO], 3);
    assert_int_equal(counters.queued_bytes, 0);
    hyperderp_relay_free(relay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(many_to_one_slow),
        FIXTURE_ON_ALL(those_who_keep_up_lose_nothing),
        FIXTURE_ON_ALL(disco_overtakes),
        FIXTURE_ON_ALL(the_newest_arrive),
        FIXTURE_ON_ALL(write_timeout),
        FIXTURE_ON_ALL(slow_is_not_dead),
        FIXTURE_ON_ALL(closed_while_others_push),
        FIXTURE_ON_ALL(finished_while_others_push),
        FIXTURE_ON_ALL(stopped_while_others_push),
        FIXTURE_ON_ALL(memory_is_bounded),
        cmocka_unit_test(takes_nothing_at_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
