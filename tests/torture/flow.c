/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread that sends and one that receives, so that one that waits holds up no other. */
#include "flow.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STREAM   0x666c6f77
#define MAX_SIZE 1400

struct flow {
    struct client_socket *from, *to;
    int64_t interval_us;
    size_t len;
    pthread_t sender, receiver;

    atomic_bool stop;                      /* sending */
    atomic_bool forget;                    /* what has not arrived */
    _Atomic uint32_t sent, received, mark; /* mark: the first packet sent after flow_stop() */
    _Atomic int64_t marked_us, recovered_us;
    atomic_bool sender_ended, receiver_ended, damaged;

    /* The receiver's, until it is joined. */
    int64_t at_most_us, silence_us;
};

static void *run_sender(void *arg)
{
    struct flow *flow = arg;
    uint8_t packet[MAX_SIZE + 8];
    int64_t next = now_us();

    while (!atomic_load(&flow->stop)) {
        int64_t now = now_us();
        packet_fill(packet, flow->len, STREAM, atomic_load(&flow->sent));
        memcpy(packet + flow->len, &now, sizeof(now));
        int error = client_socket_send(flow->from, client_socket_key(flow->to), packet,
                                       flow->len + sizeof(now), PATIENCE_MS * 3);
        if (error) {
            atomic_store(&flow->sender_ended, true);
            break;
        }
        atomic_fetch_add(&flow->sent, 1);
        next += flow->interval_us;
        if (now_us() - next > 10 * flow->interval_us)
            next = now_us();
        for (int64_t left; (left = next - now_us()) > 0;)
            (void)poll(NULL, 0, (int)((left + 999) / 1000));
    }
    return NULL;
}

/* Whether a packet is one of the flow's and comes behind the one before. */
static bool is_good(const struct flow *flow, const struct client_message *message, uint32_t *next)
{
    uint8_t wanted[MAX_SIZE];
    uint32_t number;

    if (message->len != flow->len + sizeof(int64_t))
        return false;
    memcpy(&number, message->payload + 4, sizeof(number));
    packet_fill(wanted, flow->len, STREAM, number);
    if (memcmp(wanted, message->payload, flow->len) != 0 || number < *next)
        return false;
    *next = number + 1;
    return true;
}

static void note(struct flow *flow, const uint8_t *time, uint32_t number)
{
    int64_t sent_at, now = now_us(), marked = atomic_load(&flow->marked_us);

    memcpy(&sent_at, time, sizeof(sent_at));
    if (now - sent_at > flow->at_most_us)
        flow->at_most_us = now - sent_at;
    atomic_fetch_add(&flow->received, 1);
    if (marked > 0 && number >= atomic_load(&flow->mark) && atomic_load(&flow->recovered_us) < 0)
        atomic_store(&flow->recovered_us, now - marked);
}

static void *run_receiver(void *arg)
{
    struct flow *flow = arg;
    struct client_message message;
    int64_t last = now_us();
    uint32_t next = 0;

    while (!atomic_load(&flow->forget)) {
        int error = client_socket_recv(flow->to, &message, 20);
        if (error == -ETIMEDOUT)
            continue;
        if (error) {
            atomic_store(&flow->receiver_ended, true);
            break;
        }
        if (message.type != CLIENT_MESSAGE_PACKET)
            continue;
        if (!is_good(flow, &message, &next)) {
            atomic_store(&flow->damaged, true);
            break;
        }
        note(flow, message.payload + flow->len, next - 1);
        if (now_us() - last > flow->silence_us)
            flow->silence_us = now_us() - last;
        last = now_us();
    }
    return NULL;
}

struct flow *flow_between(struct client_socket *from, struct client_socket *to, unsigned rate,
                          size_t len)
{
    struct flow *flow = calloc(1, sizeof(*flow));

    assert_non_null(flow);
    assert_true(len >= PACKET_MIN && len <= MAX_SIZE);
    flow->from = from;
    flow->to = to;
    flow->interval_us = 1000000 / rate;
    flow->len = len;
    atomic_init(&flow->recovered_us, -1);
    assert_int_equal(pthread_create(&flow->receiver, NULL, run_receiver, flow), 0);
    assert_int_equal(pthread_create(&flow->sender, NULL, run_sender, flow), 0);
    return flow;
}

struct flow *flow_start(const char *address, unsigned rate, size_t len)
{
    struct client_socket *from = client_join(address, NULL), *to = client_join(address, NULL);

    return flow_between(from, to, rate, len);
}

uint32_t flow_received(struct flow *flow)
{
    return atomic_load(&flow->received);
}

bool flow_has_ended(struct flow *flow)
{
    return atomic_load(&flow->sender_ended) || atomic_load(&flow->receiver_ended) ||
           atomic_load(&flow->damaged);
}

static void await_recovery(struct flow *flow)
{
    int64_t now = now_us(), until = now + (int64_t)PATIENCE_MS * 1000;

    atomic_store(&flow->mark, atomic_load(&flow->sent) + 1); /* one may be on its way out */
    atomic_store(&flow->marked_us, now);
    while (atomic_load(&flow->recovered_us) < 0 && !flow_has_ended(flow) && now_us() < until)
        (void)poll(NULL, 0, 1);
}

struct flow_figures flow_stop(struct flow *flow, const char *what)
{
    await_recovery(flow);
    atomic_store(&flow->stop, true);
    pthread_join(flow->sender, NULL);
    atomic_store(&flow->forget, true);
    pthread_join(flow->receiver, NULL);
    struct flow_figures figures = {
        .sent = atomic_load(&flow->sent),
        .received = atomic_load(&flow->received),
        .recovered_us = atomic_load(&flow->recovered_us),
        .at_most_us = flow->at_most_us,
        .silence_us = flow->silence_us,
        .sender_ended = atomic_load(&flow->sender_ended),
        .receiver_ended = atomic_load(&flow->receiver_ended),
    };
    print_message("%s: %" PRIu32 " packets sent, %" PRIu32
                  " received, on their way at most %.1f ms,"
                  " longest silence %.0f ms, passing again after %.1f ms%s%s\n",
                  what, figures.sent, figures.received, (double)figures.at_most_us / 1000,
                  (double)figures.silence_us / 1000, (double)figures.recovered_us / 1000,
                  figures.sender_ended ? ", the sender's connection has ended" : "",
                  figures.receiver_ended ? ", the receiver's connection has ended" : "");
    if (atomic_load(&flow->damaged))
        fail_msg("%s: a packet was damaged or out of order", what);
    if (figures.recovered_us < 0 && !figures.sender_ended && !figures.receiver_ended)
        fail_msg("%s: nothing passes", what);
    client_socket_close(flow->from);
    client_socket_close(flow->to);
    free(flow);
    return figures;
}
