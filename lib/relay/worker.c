/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's turn. */
#include "relay/worker.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory/memory.h"
#include "relay/acceptor.h"
#include "relay/conn.h"
#include "relay/drainer.h"
#include "relay/mesh.h"
#include "relay/stun.h"
#include "relay/websocket_batch.h"
#include "relay/within.h"

/* Receive chunks of a worker: 2 MiB, touched only as far as traffic needs it. */
#define CHUNKS 128

/* How long cipher contexts may keep keys that nobody uses. */
#define CIPHER_PAUSE_NS 1000000000

/* Events handled before what they caused is flushed. */
#define EVENTS_PER_TURN   128
#define MESSAGES_PER_TURN 256

int64_t worker_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

uint64_t worker_random(struct worker *worker)
{
    /* xorshift64*: enough for jitter. */
    uint64_t x = worker->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    worker->random = x;
    return x * 0x2545f4914f6cdd1d;
}

static uint64_t cipher_uses(const struct worker *worker)
{
    return counters_get(worker->counters, COUNTER_tls_records_opened) +
           counters_get(worker->counters, COUNTER_tls_records_sealed);
}

void worker_watch_ciphers(struct worker *worker)
{
    worker->cipher_uses = cipher_uses(worker);
    timer_set(&worker->timers, &worker->cipher_pause, worker->now + CIPHER_PAUSE_NS);
}

static void cipher_pause_over(struct timer *timer)
{
    struct worker *worker =
        (struct worker *)((char *)timer - offsetof(struct worker, cipher_pause));

    counters_add(worker->counters, COUNTER_packet_allocations, worker->ciphers.made);
    worker->ciphers.made = 0;
    if (cipher_uses(worker) != worker->cipher_uses)
        worker_watch_ciphers(worker);
    else
        tls_ciphers_wipe(&worker->ciphers);
}

int worker_new(struct worker **out, struct hyperderp_relay *relay, unsigned index)
{
    struct worker *worker = memory_calloc(1, sizeof(*worker));
    if (!worker)
        return -ENOMEM;
    worker->counters = memory_aligned_alloc(_Alignof(struct counters), sizeof(*worker->counters));
    int error = worker->counters ? io_loop_new(&worker->loop, relay->engine, CHUNKS, relay->sqpoll)
                                 : -ENOMEM;
    if (error) {
        memory_aligned_free(worker->counters);
        memory_free(worker);
        return error;
    }
    memset(worker->counters, 0, sizeof(*worker->counters));
    worker->relay = relay;
    worker->index = (uint16_t)index;
    mailbox_init(&worker->mailbox);
    atomic_init(&worker->load, 0);
    frame_pool_init(&worker->frames, &relay->frames, worker->counters);
    slab_init(&worker->conns);
    slab_init(&worker->drainers);
    worker->cipher_pause.fire = cipher_pause_over;
    worker->place = index;
    worker->phase = RELAY_RUNNING;
    randombytes_buf(&worker->random, sizeof(worker->random));
    worker->random |= 1; /* xorshift must not begin at 0 */
    *out = worker;
    return 0;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    tls_ciphers_wipe(&worker->ciphers);
    drainers_destroy(worker);
    websocket_reader_free(worker->spare_reader);
    websocket_writer_free(worker->writer);
    slab_destroy(&worker->conns);
    slab_destroy(&worker->drainers);
    frame_pool_destroy(&worker->frames);
    mailbox_destroy(&worker->mailbox);
    io_loop_free(worker->loop);
    memory_aligned_free(worker->counters);
    memory_free(worker);
}

bool worker_post(struct worker *worker, struct message *message)
{
    if (!mailbox_post(&worker->mailbox, message))
        return false;
    io_wake(worker->loop);
    return true;
}

/* Finds whom a completion is for. One that comes too late for anybody is counted, and what it
 * brought let go. */
static void *event_owner(struct worker *worker, const struct slab *slab,
                         const struct io_event *event)
{
    void *owner = slab_find(slab, io_token_slot(event->token), io_token_generation(event->token));
    if (!owner)
        counters_add(worker->counters, COUNTER_stale_completions, 1);
    return owner;
}

static void handle_output(struct worker *worker, const struct io_event *event)
{
    enum io_op op = io_token_op(event->token);
    if (op != IO_OP_SEND && op != IO_OP_WRITABLE)
        return;
    struct drainer *drainer = event_owner(worker, &worker->drainers, event);
    if (drainer && op == IO_OP_SEND)
        drainer_sent(drainer, event->result);
    else if (drainer)
        drainer_writable(drainer);
}

static void handle_input(struct worker *worker, const struct io_event *event)
{
    if (io_token_op(event->token) == IO_OP_ACCEPT)
        acceptor_event(worker, event);
    if (io_token_op(event->token) == IO_OP_READABLE)
        stun_event(worker, event);
    if (io_token_op(event->token) != IO_OP_RECV)
        return;
    struct conn *conn = event_owner(worker, &worker->conns, event);
    if (conn)
        conn_received(conn, event);
    if (event->chunk)
        io_chunk_unref(event->chunk);
}

/* What was sent comes first: a sink whose batch is done is idle again, and takes the packets that
 * have come in the same turn without copying them. */
static void handle(struct worker *worker, const struct io_event *events, int count)
{
    for (int i = 0; i < count; i++)
        handle_output(worker, &events[i]);
    for (int i = 0; i < count; i++)
        handle_input(worker, &events[i]);
}

/* So many at most, as what local peers send are messages too. None is left in the mailbox, but in
 * worker->messages: the wake-up that came with it is used up. */
static void deliver_messages(struct worker *worker, unsigned most)
{
    if (!worker->messages)
        worker->messages = mailbox_take(&worker->mailbox);
    for (; worker->messages && most > 0; most--) {
        struct message *message = worker->messages;
        worker->messages = message->next;
        message->deliver(worker, message);
        if (!worker->messages)
            worker->messages = mailbox_take(&worker->mailbox);
    }
}

/* Connections that found no chunk read again, in their order and as many as there are chunks: who
 * has waited longest comes first, and nobody is forgotten. */
static void feed_starved(struct worker *worker)
{
    unsigned chunks = io_free_chunks(worker->loop);

    for (; chunks > 0 && worker->starved_head; chunks--) {
        struct conn *conn = worker->starved_head;
        worker->starved_head = conn->next;
        conn_feed(conn);
    }
}

static void free_dead(struct worker *worker)
{
    while (worker->dead) {
        struct conn *conn = worker->dead;
        worker->dead = conn->next;
        conn_free(conn);
    }
}

static void for_each_conn(struct worker *worker, void (*act)(struct conn *conn))
{
    for (uint32_t slot = 0; slot < worker->conns.count; slot++)
        if (worker->conns.slots[slot].object)
            act(worker->conns.slots[slot].object);
}

static void stop_conn(struct conn *conn)
{
    conn_close(conn, CONN_END_STOPPED);
}

/* Returns whether no worker accepts any more: who is sent away and comes back at once must not be
 * taken in by one that has not heard of it yet. */
static bool stop_accepting(struct worker *worker)
{
    struct hyperderp_relay *relay = worker->relay;

    if (!worker->accepts_nobody) {
        acceptor_stop(worker);
        stun_stop(worker);
        worker->accepts_nobody = true;
        if (atomic_fetch_sub_explicit(&relay->accepting, 1, memory_order_relaxed) == 1)
            hyperderp_relay_wake(relay);
    }
    return atomic_load_explicit(&relay->accepting, memory_order_relaxed) == 0;
}

static void follow_phase(struct worker *worker)
{
    enum relay_phase phase = relay_phase(worker->relay);

    if (phase == worker->phase)
        return;
    if (!stop_accepting(worker) && phase < RELAY_STOPPING)
        return; /* the last one wakes all */
    worker->phase = phase;
    if (phase >= RELAY_DRAINING)
        mesh_stop(worker);
    for_each_conn(worker, phase == RELAY_LEAVING    ? conn_leave
                          : phase == RELAY_DRAINING ? conn_restart
                                                    : stop_conn);
}

static bool is_done(struct worker *worker)
{
    return worker->phase >= RELAY_DRAINING &&
           atomic_load_explicit(&worker->load, memory_order_relaxed) == 0 &&
           worker->drainer_count == 0 && !worker->messages && mailbox_close(&worker->mailbox);
}

int64_t worker_time_to_wait(const struct worker *worker)
{
    if (worker->messages)
        return 0;
    /* Drainers that could not send yet, or have more to send, want a turn at once. */
    if (worker->flush_head)
        return worker->flush_head->phase == DRAINER_UNARMED ? TIMER_TICK_NS : 0;
    /* All chunks are with drainers only for a moment: nobody must sleep while somebody starves. */
    if (worker->starved_head)
        return TIMER_TICK_NS;
    return tls_queue_wait_time(worker, timers_wait(&worker->timers, worker->now));
}

void worker_refuse(struct worker *worker)
{
    worker->phase = RELAY_STOPPING;
    do
        deliver_messages(worker, UINT_MAX);
    while (!mailbox_close(&worker->mailbox));
}

int worker_attach(struct worker *worker)
{
    worker->now = worker_clock();
    timers_init(&worker->timers, worker->now);
    clockid_t clock;
    if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
        atomic_store_explicit(&worker->cpu_clock, clock, memory_order_relaxed);
    int error = io_loop_attach(worker->loop);
    if (error) {
        log_line(&worker->relay->log, HYPERDERP_LOG_ERROR, "worker %u cannot start: %s",
                 worker->index, strerror(-error));
        /* Local peers send no more then: what one of them answers to itself would have no end. */
        relay_advance(worker->relay, RELAY_STOPPING);
        worker_refuse(worker);
    }
    return error;
}

void worker_begin(struct worker *worker)
{
    acceptor_start(worker);
    stun_start(worker);
    mesh_start(worker);
}

/* The engine itself fails: nothing that a client does leads here, and nothing can be done. Says so
 * once. */
static void engine_failed(struct worker *worker, int error)
{
    if (!worker->engine_failed)
        log_line(&worker->relay->log, HYPERDERP_LOG_ERROR, "worker %u: waiting for events: %s",
                 worker->index, strerror(-error));
    worker->engine_failed = true;
}

int worker_turn(struct worker *worker, int64_t timeout_ns)
{
    struct io_event events[EVENTS_PER_TURN];
    int count = io_poll(worker->loop, events, EVENTS_PER_TURN, timeout_ns);
    int error = 0;

    if (count < 0) {
        error = count;
        engine_failed(worker, error);
        count = 0;
    }
    worker->now = worker_clock();
    counters_add(worker->counters, COUNTER_loop_turns, 1);
    counters_add(worker->counters, COUNTER_loop_events, (uint64_t)count);
    counters_set(worker->counters, COUNTER_free_chunks, io_free_chunks(worker->loop));
    timers_run(&worker->timers, worker->now);
    handle(worker, events, count);
    deliver_messages(worker, MESSAGES_PER_TURN);
    follow_phase(worker);
    tls_queue_run(worker);
    drainers_flush(worker);
    feed_starved(worker);
    free_dead(worker);
    if (is_done(worker))
        return 0;
    return error ? error : 1;
}

void worker_run(struct worker *worker)
{
    static const struct timespec pause = {.tv_nsec = WORKER_ENGINE_PAUSE_NS};
    int result;

    worker_begin(worker);
    do {
        result = worker_turn(worker, worker_time_to_wait(worker));
        if (result < 0)
            nanosleep(&pause, NULL); /* does not turn at full speed */
    } while (result != 0);
}

static void abandon_drainer(struct drainer *drainer)
{
    if (drainer->phase == DRAINER_SENDING)
        drainer_sent(drainer, -ECANCELED);
    else if (drainer->phase == DRAINER_WAITING)
        drainer_writable(drainer);
}

/* Closed connections wait for the last event of their receive alone. */
static void abandon_conn(struct conn *conn)
{
    static const struct io_event last = {.result = -ECANCELED};

    stop_conn(conn);
    if (conn->receiving)
        conn_received(conn, &last);
}

void worker_abandon(struct worker *worker)
{
    struct within here;

    within_enter(&here, &worker->relay->log, WITHIN_WORKER);
    io_driven_abandon(worker->loop);
    follow_phase(worker); /* the relay stops: nobody is to be told of who goes now */
    for_each_conn(worker, abandon_conn);
    for (uint32_t slot = 0; slot < worker->drainers.count; slot++)
        if (worker->drainers.slots[slot].object)
            abandon_drainer(worker->drainers.slots[slot].object);
    within_leave(&here);
}
