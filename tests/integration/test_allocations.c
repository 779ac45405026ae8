/* SPDX-License-Identifier: BSD-3-Clause */
/* Passing packets takes no memory from the heap once traffic is steady: the program's own malloc()
 * counts the calls of the relay's threads, those from within OpenSSL and the C library included. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_socket.h"
#include "relay_embedded.h"
#include "traffic.h"

#define CLIENTS    6
#define ROUND      4  /* packets of each client for each other in a round that counts */
#define WARM_ROUND 24 /* and in one before: more wait at once than ever later */
#define WINDOW     40 /* rounds: 4,800 packets of each size */
#define WINDOWS    3
#define PATIENCE   100 /* rounds of warming up, and windows that do not count, at most */

/* Ciphers are given up after a second without traffic; a window with such a pause does not count.
 */
#define PAUSE_US 700000

/* ---- Counting ---- */

/* Of threads that are not the relay's; relaxed, as the packets that come between order it. */
static atomic_bool counting;
static atomic_uint calls;
static _Thread_local bool is_own;

#if SANITIZED
/* A sanitizer has a malloc() of its own: there the traffic alone is tested, and the relay's own
 * counter. */
static const bool counts_calls = false;
#else
static const bool counts_calls = true;

static void count(void)
{
    if (!is_own && atomic_load_explicit(&counting, memory_order_relaxed))
        atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

/* glibc's own, for programs that stand in front of them. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    count();
    return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size)
{
    count();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    count();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}
#endif

static uint64_t counted_by_relay(const struct embedded *relay)
{
    hyperderp_counters counters;

    embedded_counters(relay, &counters);
    return counters.packet_allocations;
}

/* ---- Traffic ---- */

struct traffic {
    struct embedded relay;
    struct client_socket *clients[CLIENTS];
    struct client_socket *stalled; /* reads nothing */
    int64_t last_us, longest_us;   /* pauses between two operations */
};

static void note_time(struct traffic *traffic)
{
    int64_t now = now_us();

    if (now - traffic->last_us > traffic->longest_us)
        traffic->longest_us = now - traffic->last_us;
    traffic->last_us = now;
}

/* A packet of this size; of disco, if it is the second of a row. */
static void make(uint8_t *packet, size_t len, unsigned number)
{
    static const uint8_t magic[] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

    packet_fill(packet, len, 1, number);
    if (number % 8 == 1)
        memcpy(packet, magic, sizeof(magic));
}

/* Each sends so many packets to each other one; then all read. */
static void run_round(struct traffic *traffic, unsigned packets, size_t len)
{
    uint8_t packet[1400];

    for (unsigned from = 0; from < CLIENTS; from++)
        for (unsigned n = 0; n < packets; n++)
            for (unsigned to = 0; to < CLIENTS; to++) {
                if (to == from)
                    continue;
                make(packet, len, n);
                client_send(traffic->clients[from], traffic->clients[to], packet, len);
                note_time(traffic);
            }
    for (unsigned to = 0; to < CLIENTS; to++)
        for (unsigned n = 0; n < packets * (CLIENTS - 1); n++) {
            struct client_message message =
                client_expect(traffic->clients[to], CLIENT_MESSAGE_PACKET);
            assert_int_equal(message.len, len);
            note_time(traffic);
        }
}

/* Fills the queue of the client that reads nothing; then each packet costs an older one. */
static void fill_stalled(struct traffic *traffic, unsigned packets, size_t len)
{
    uint8_t packet[1400];

    for (unsigned n = 0; n < packets; n++) {
        make(packet, len, n);
        client_send(traffic->clients[n % CLIENTS], traffic->stalled, packet, len);
        note_time(traffic);
    }
}

static void send_window(struct traffic *traffic, size_t len)
{
    traffic->last_us = now_us();
    traffic->longest_us = 0;
    for (unsigned i = 0; i < WINDOW; i++)
        run_round(traffic, ROUND, len);
    fill_stalled(traffic, WINDOW * CLIENTS, len);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_settle(traffic->clients[i]);
}

/* The calls of the relay's threads while a window is sent. */
static unsigned count_window(struct traffic *traffic, size_t len)
{
    atomic_store(&calls, 0);
    atomic_store(&counting, true);
    send_window(traffic, len);
    atomic_store(&counting, false);
    return atomic_load(&calls);
}

/* Until a round takes no memory, and the stalled client's queue has been full. */
static void warm_up(struct traffic *traffic, size_t len)
{
    hyperderp_drop_reason full = HYPERDERP_DROP_QUEUE_FULL;
    uint64_t before, dropped = embedded_drops(&traffic->relay, full);
    unsigned rounds = 0;

    do
        fill_stalled(traffic, 500, len);
    while (embedded_drops(&traffic->relay, full) < dropped + 2000);
    do {
        before = counted_by_relay(&traffic->relay);
        run_round(traffic, WARM_ROUND, len);
        assert_true(++rounds < PATIENCE);
    } while (counted_by_relay(&traffic->relay) != before);
}

/*
 * Windows in a row that take nothing. How much waits at once is a matter of how threads fall into
 * step, and several workers carry buffers away from each other: so some windows may pass until the
 * pools have all that is ever needed. A relay that takes memory for packets never gets there.
 */
static void expect_none(struct traffic *traffic, size_t len)
{
    warm_up(traffic, len);
    for (unsigned windows = 0, others = 0; windows < WINDOWS;) {
        uint64_t before = counted_by_relay(&traffic->relay);
        unsigned heap = count_window(traffic, len);
        unsigned by_relay = (unsigned)(counted_by_relay(&traffic->relay) - before);
        unsigned taken = counts_calls ? heap : by_relay; /* contexts are told a second late */
        bool paused = traffic->longest_us > PAUSE_US;
        if (counts_calls && !paused && heap > by_relay)
            fail_msg("%zu bytes: %u calls of malloc and its like, but %u counted by the relay", len,
                     heap, by_relay);
        windows = paused || taken > 0 ? 0 : windows + 1;
        if (windows == 0)
            assert_true(++others < PATIENCE);
    }
}

static void test_steady_traffic(void **state)
{
    hyperderp_relay_options options;
    struct traffic traffic = {0};

    is_own = true;
    embedded_options(&options, *state);
    embedded_start(&traffic.relay, &options);
    for (unsigned i = 0; i < CLIENTS; i++)
        traffic.clients[i] = client_join(traffic.relay.address, NULL);
    traffic.stalled = client_join(traffic.relay.address, NULL);

    /* The counter counts: so far memory was taken. */
    run_round(&traffic, 1, 100);
    assert_true(counted_by_relay(&traffic.relay) > 0);
    expect_none(&traffic, 100);
    expect_none(&traffic, 1400);

    client_socket_close(traffic.stalled);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_socket_close(traffic.clients[i]);
    embedded_stop(&traffic.relay, NULL);
}

/* That malloc() of this program is the one that all call: a handshake takes memory. */
static void test_calls_are_seen(void **state)
{
    hyperderp_relay_options options;
    struct embedded relay;

    is_own = true;
    embedded_options(&options, *state);
    embedded_start(&relay, &options);
    atomic_store(&calls, 0);
    atomic_store(&counting, true);
    struct client_socket *client = client_join(relay.address, NULL);
    atomic_store(&counting, false);
    assert_true(!counts_calls || atomic_load(&calls) >= 3); /* conn, sink, peer */
    client_socket_close(client);
    embedded_stop(&relay, NULL);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"calls_are_seen", test_calls_are_seen, CELLS_ENGINES | CELLS_TLS},
        {"steady_traffic", test_steady_traffic, CELLS_ALL | CELLS_TLS},
    };
    return matrix_run("allocations", tests, sizeof(tests) / sizeof(tests[0]));
}
