/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread of the load generator: sends by the schedule (or flat out) and reads, in one epoll loop.
 * The schedule does not wait for the relay: a packet that cannot be sent when it is due is made
 * later, with its due time unchanged.
 */
#include "worker.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>

#include "clock.h"
#include "payload.h"

#define MAX_EVENTS 64
/* Bursts that are sent between two reads. More, and a loader that is late sends ever more and reads
 * ever less: its receivers are then the slow ones, and the relay is blamed for what it drops. */
#define MAX_DUE_BURSTS     4
#define MAX_BURSTS_AT_ONCE 16                  /* of one peer */
#define LONGEST_WAIT       (50ull * NS_PER_MS) /* so that an early end is noticed */
/* A packet that was due in the warm-up is measured only when it is sent so much later: then the
 * relay takes less than is offered, and what it does take shall count. */
#define WARMUP_GRACE       (10ull * NS_PER_MS)
#define STRAGGLER_PATIENCE (1ull * NS_PER_SECOND)
#define STRAGGLER_LIMIT    (60ull * NS_PER_SECOND)

static size_t frame_size(const struct load_options *options)
{
    return FRAME_PACKET_OVERHEAD + options->size;
}

static bool is_flat_out(const struct load_worker *worker)
{
    return load_is_flat_out(worker->load->options);
}

static uint64_t sending_ends(const struct load_worker *worker)
{
    return atomic_load_explicit(&worker->load->end_ns, memory_order_relaxed);
}

static void conn_broke(struct load_worker *worker, struct load_conn *conn, int err)
{
    uint64_t now_ns = clock_ns();

    worker->result.broken++;
    load_worker_note_problem(worker, "connection %u broke: %s", conn->number,
                             load_conn_say_why(conn, err));
    load_conn_close(conn);
    /* Without any connection left the rest of the run would say nothing. */
    if (worker->result.broken == worker->conn_count && now_ns < sending_ends(worker))
        atomic_store_explicit(&worker->load->end_ns, now_ns, memory_order_relaxed);
}

static uint32_t choose_receiver(struct load_worker *worker, uint32_t sender)
{
    const struct load_options *options = worker->load->options;

    return options->traffic == LOAD_RANDOM ? random_other(&worker->random, options->peers, sender)
                                           : sender ^ 1;
}

/* Writes a burst of frames. */
static void make_burst(struct load_worker *worker, struct load_peer *peer, uint64_t due_ns,
                       uint64_t now_ns)
{
    const struct load *load = worker->load;
    const struct load_options *options = load->options;
    struct payload payload = {.sender = peer->conn.number, .due_ns = due_ns};
    uint8_t *at = worker->burst;

    if (due_ns >= load->measure_ns || now_ns >= load->measure_ns + WARMUP_GRACE)
        peer->measured = true;
    payload.measured = peer->measured;
    for (unsigned i = 0; i < options->burst; i++) {
        payload.receiver = choose_receiver(worker, payload.sender);
        payload.sequence = ++peer->sequence;
        client_packet_header(at, &load->keys[payload.receiver], options->size);
        payload_write(at + FRAME_PACKET_OVERHEAD, options->size, &payload);
        at += frame_size(options);
    }
    peer->made_bursts++;
    worker->sent_all += options->burst;
    if (peer->measured)
        worker->result.sent += options->burst;
}

/* When the next burst to be made of a peer is due. */
static uint64_t burst_due(const struct load_worker *worker, const struct load_peer *peer)
{
    return schedule_due(&worker->schedule, peer->made_bursts * worker->sender_count +
                                               load_worker_sender_index(worker, peer));
}

/* Makes and sends what is due of a peer (flat out: as much as the socket takes), within bounds.
 * Where the socket was full when a burst became due it was the relay that was slow; elsewhere a
 * delay is the loader's own, and noted. */
static void pump(struct load_worker *worker, struct load_peer *peer, uint64_t now_ns)
{
    size_t len = worker->load->options->burst * frame_size(worker->load->options);
    bool more = false, flat_out = is_flat_out(worker);
    uint64_t due_ns;
    int err = 0;

    if (peer->conn.state != LOAD_CONN_OPEN)
        return;
    for (unsigned i = 0; i < MAX_BURSTS_AT_ONCE && err == 0 && !load_conn_blocked(&peer->conn);
         i++) {
        more = worker->sending && (flat_out || peer->made_bursts < peer->due_bursts);
        if (!more)
            break;
        if (i > 0)
            now_ns = clock_ns();
        due_ns = flat_out ? now_ns : burst_due(worker, peer);
        make_burst(worker, peer, due_ns, now_ns);
        if (!flat_out && peer->measured && due_ns >= peer->free_ns)
            histogram_add(&worker->result.lateness, now_ns - due_ns);
        err = load_conn_send(&peer->conn, worker->burst, len);
    }
    if (err == 0)
        err = load_conn_watch_write(&peer->conn, more);
    if (err < 0)
        conn_broke(worker, &peer->conn, err);
}

/* Sends what has become due. */
static void pump_due(struct load_worker *worker)
{
    struct load_peer *peer;
    uint64_t due_ns, now_ns;

    for (unsigned i = 0; worker->sending && i < MAX_DUE_BURSTS; i++) {
        due_ns = schedule_due(&worker->schedule, worker->tick);
        now_ns = clock_ns();
        if (due_ns > now_ns || due_ns >= sending_ends(worker))
            return;
        peer = load_worker_sender(worker, worker->tick++ % worker->sender_count);
        peer->due_bursts++;
        pump(worker, peer, now_ns);
    }
}

static void handle_event(struct load_worker *worker, struct load_conn *conn, uint32_t events)
{
    bool was_blocked;
    int err;

    if (conn->state == LOAD_CONN_CLOSED)
        return;
    was_blocked = load_conn_blocked(conn);
    err = load_conn_event(conn, events, worker->scratch, load_worker_check, worker);
    if (err < 0) {
        conn_broke(worker, conn, err);
        return;
    }
    if ((events & EPOLLOUT) == 0)
        return;
    if (load_sends(worker->load->options, conn->number)) {
        struct load_peer *peer = (struct load_peer *)conn;
        uint64_t now_ns = clock_ns();

        if (was_blocked && !load_conn_blocked(conn))
            peer->free_ns = now_ns;
        pump(worker, peer, now_ns);
        return;
    }
    err = load_conn_watch_write(conn, false);
    if (err < 0)
        conn_broke(worker, conn, err);
}

static uint64_t next_wake(const struct load_worker *worker, uint64_t now_ns)
{
    uint64_t at = now_ns + LONGEST_WAIT;
    uint64_t due_ns;

    if (worker->sending && !is_flat_out(worker)) {
        due_ns = schedule_due(&worker->schedule, worker->tick);
        if (due_ns < at)
            at = due_ns;
    }
    return at;
}

/* Counts the measured packets that were due, and those of them that only the loader kept back. */
static void count_offered(struct load_worker *worker)
{
    const struct load *load = worker->load;
    uint64_t end_ns = sending_ends(worker), bursts;
    const struct load_peer *peer;

    if (is_flat_out(worker)) {
        worker->result.offered = worker->result.sent;
        return;
    }
    if (end_ns <= load->measure_ns)
        return;
    bursts = schedule_count_before(&worker->schedule, end_ns);
    worker->result.unmade = bursts - worker->tick;
    bursts -= schedule_count_before(&worker->schedule, load->measure_ns);
    worker->result.offered = bursts * load->options->burst;
    for (unsigned i = 0; i < worker->sender_count; i++) {
        peer = load_worker_sender(worker, i);
        if (peer->conn.state == LOAD_CONN_OPEN && !load_conn_blocked(&peer->conn))
            worker->result.unmade += peer->due_bursts - peer->made_bursts;
    }
    worker->result.unmade *= load->options->burst;
    /* The schedule of the warm-up may have been kept back too. */
    if (worker->result.unmade > worker->result.offered)
        worker->result.unmade = worker->result.offered;
}

/* The schedule is over: what could not be sent by now never is. */
static void end_sending(struct load_worker *worker)
{
    uint64_t now_ns = clock_ns();

    if (worker->sending)
        count_offered(worker);
    worker->sending = false;
    worker->last_arrival_ns = now_ns;
    for (unsigned i = 0; i < worker->sender_count; i++)
        pump(worker, load_worker_sender(worker, i), now_ns);
    atomic_store_explicit(&worker->shown_sent, worker->sent_all, memory_order_relaxed);
    atomic_fetch_sub_explicit(&worker->load->sending, 1, memory_order_release);
}

/* Packets in what the socket has not taken. The beginning of a frame is of no use to anybody, nor
 * is that of a record. */
static uint64_t unsent_packets(const struct load_worker *worker, const struct load_conn *conn)
{
    size_t frame = frame_size(worker->load->options), burst = worker->load->options->burst;
    size_t size = load_conn_sent_size(conn, burst * frame), bytes = conn->out_end - conn->out_start;
    size_t sent = (size - bytes % size) % size; /* of the burst that is cut */

    if (conn->tls != NULL)
        sent = sent / (TLS_MAX_PLAINTEXT + TLS_OVERHEAD) * TLS_MAX_PLAINTEXT;
    return (bytes + size - 1) / size * burst - sent / frame;
}

/* Takes back packets that were made but never left. */
static void uncount_unsent(struct load_worker *worker)
{
    const struct load_conn *conn;
    uint64_t left;

    for (unsigned i = 0; i < worker->sender_count; i++) {
        conn = &load_worker_sender(worker, i)->conn;
        left = unsent_packets(worker, conn);
        worker->result.sent -= left < worker->result.sent ? left : worker->result.sent;
    }
}

/* Tells whether all packets of all workers have arrived, or are not to be waited for. */
static bool stragglers_are_in(const struct load_worker *worker, uint64_t now_ns)
{
    const struct load *load = worker->load;
    uint64_t sent = 0, arrived = 0;

    if (atomic_load_explicit(&load->sending, memory_order_acquire) > 0)
        return false;
    for (unsigned i = 0; i < load->worker_count; i++) {
        sent += atomic_load_explicit(&load->workers[i].shown_sent, memory_order_relaxed);
        arrived += atomic_load_explicit(&load->workers[i].shown_arrived, memory_order_relaxed);
    }
    return arrived >= sent || now_ns > worker->last_arrival_ns + STRAGGLER_PATIENCE ||
           now_ns > sending_ends(worker) + STRAGGLER_LIMIT;
}

static void begin_sending(struct load_worker *worker)
{
    worker->sending = worker->sender_count > 0;
    if (is_flat_out(worker))
        for (unsigned i = 0; i < worker->sender_count; i++)
            pump(worker, load_worker_sender(worker, i), clock_ns());
}

static void run(struct load_worker *worker)
{
    const struct load *load = worker->load;
    struct epoll_event events[MAX_EVENTS];
    enum { WAITING, SENDING, ENDING } phase = WAITING;
    uint64_t now_ns, wake_ns;
    int n;

    if (load->senders > 0 && !is_flat_out(worker))
        schedule_init(&worker->schedule, load->start_ns, load->options->rate, load->options->burst,
                      worker->senders_before, worker->sender_count, load->senders);
    for (;;) {
        now_ns = clock_ns();
        if (phase == WAITING && now_ns >= load->start_ns) {
            phase = SENDING;
            begin_sending(worker);
        }
        if (phase == SENDING && now_ns >= sending_ends(worker)) {
            phase = ENDING;
            end_sending(worker);
        }
        if (phase == ENDING && stragglers_are_in(worker, now_ns))
            break;
        if (!is_flat_out(worker))
            pump_due(worker);
        now_ns = clock_ns();
        wake_ns = phase == WAITING ? load->start_ns : next_wake(worker, now_ns);
        n = load_wait(&worker->wait, now_ns, wake_ns, events, MAX_EVENTS);
        for (int i = 0; i < n; i++) {
            handle_event(worker, events[i].data.ptr, events[i].events);
            if (!is_flat_out(worker))
                pump_due(worker);
        }
        atomic_store_explicit(&worker->shown_sent, worker->sent_all, memory_order_relaxed);
        atomic_store_explicit(&worker->shown_arrived, worker->arrived_all, memory_order_relaxed);
    }
    uncount_unsent(worker);
}

/* 0 or a negative errno. */
static int choose_core(struct load_worker *worker)
{
    const struct load_options *options = worker->load->options;
    cpu_set_t set;

    if (options->core_count == 0)
        return 0;
    CPU_ZERO(&set);
    CPU_SET(options->cores[worker->index], &set);
    if (sched_setaffinity(0, sizeof(set), &set) == 0)
        return 0;
    load_worker_note_problem(worker, "core %u cannot be used: %s", options->cores[worker->index],
                             strerror(errno));
    return -EINVAL;
}

void *load_worker_main(void *user)
{
    struct load_worker *worker = user;
    struct load *load = worker->load;
    bool open;

    worker->error = choose_core(worker);
    if (worker->error == 0)
        worker->error = load_worker_connect(worker);
    pthread_mutex_lock(&load->mutex);
    load->ready++;
    pthread_cond_broadcast(&load->changed);
    while (load->gate == GATE_CLOSED)
        pthread_cond_wait(&load->changed, &load->mutex);
    open = load->gate == GATE_OPEN;
    pthread_mutex_unlock(&load->mutex);
    if (open)
        run(worker);
    pthread_mutex_lock(&load->mutex);
    load->finished++;
    pthread_cond_broadcast(&load->changed);
    pthread_mutex_unlock(&load->mutex);
    return NULL;
}
