/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread of the load generator: connects its pairs, then sends by the schedule (or flat out) and
 * reads, in one epoll loop. The schedule does not wait for the relay: a packet that cannot be sent
 * when it is due is made later, with its due time unchanged.
 */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"
#include "payload.h"

#define MAX_EVENTS         64
#define MAX_CONNECTING     64                      /* connections in the making at once */
#define CONNECT_PATIENCE   (10ull * NS_PER_SECOND) /* without any being made */
#define MAX_DUE_BURSTS     64                      /* before the sockets are looked at again */
#define MAX_BURSTS_AT_ONCE 16                      /* of one flow */
#define LONGEST_WAIT       (50ull * NS_PER_MS)     /* so that an early end is noticed */
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
    return worker->load->options->rate <= 0;
}

/* Pair p is conns[2p] and conns[2p + 1]. One way, flow p leads from the first to the second; both
 * ways, flow c leads from conns[c] to its partner. */
struct load_flow *load_flow_from(struct load_worker *worker, const struct load_conn *conn)
{
    size_t index = (size_t)(conn - worker->conns);

    if (worker->load->options->both_ways)
        return &worker->flows[index];
    return index % 2 == 0 ? &worker->flows[index / 2] : NULL;
}

struct load_flow *load_flow_to(struct load_worker *worker, const struct load_conn *conn)
{
    size_t index = (size_t)(conn - worker->conns);

    return load_flow_from(worker, &worker->conns[index ^ 1]);
}

int load_worker_init(struct load_worker *worker, struct load *load, unsigned index, unsigned first,
                     unsigned pairs)
{
    const struct load_options *options = load->options;
    struct load_flow *flow;
    int err;

    *worker = (struct load_worker){.load = load, .index = index, .epoll = -1};
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll < 0)
        return -errno;
    worker->conns = calloc((size_t)pairs * 2, sizeof(*worker->conns));
    worker->flows = calloc((size_t)pairs * 2, sizeof(*worker->flows));
    worker->scratch = malloc(LOAD_CONN_SCRATCH_SIZE);
    if (worker->conns == NULL || worker->flows == NULL || worker->scratch == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < pairs * 2; i++) {
        bool sends = i % 2 == 0 || options->both_ways;

        worker->conn_count++;
        err = load_conn_init(&worker->conns[i], first + i, options->relay,
                             sends ? options->burst * frame_size(options) : 0);
        if (err < 0)
            return err;
        flow = load_flow_from(worker, &worker->conns[i]);
        if (flow != NULL) {
            *flow = (struct load_flow){.from = &worker->conns[i], .to = &worker->conns[i ^ 1]};
            worker->flow_count++;
        }
    }
    return 0;
}

void load_worker_free(struct load_worker *worker)
{
    for (unsigned i = 0; i < worker->conn_count; i++)
        load_conn_free(&worker->conns[i]);
    if (worker->epoll >= 0)
        close(worker->epoll);
    free(worker->conns);
    free(worker->flows);
    free(worker->scratch);
}

static const char *say_why(int err)
{
    if (err == -EPIPE)
        return "the relay closed it";
    if (err == -EPROTO)
        return "the relay sent what is not DERP";
    return strerror(-err);
}

int load_worker_connect(struct load_worker *worker)
{
    struct load *load = worker->load;
    struct epoll_event events[MAX_EVENTS];
    unsigned begun = 0, made = 0;
    uint64_t last_ns = clock_ns();
    struct load_conn *conn;
    bool was_open;
    int n, err;

    while (made < worker->conn_count) {
        if (atomic_load_explicit(&load->abort, memory_order_relaxed))
            return -EINTR;
        while (begun < worker->conn_count && begun - made < MAX_CONNECTING) {
            conn = &worker->conns[begun++];
            err = load_conn_start(conn, worker->epoll, load->address, load->address_len);
            if (err < 0)
                goto failed;
        }
        n = epoll_wait(worker->epoll, events, MAX_EVENTS, 50);
        for (int i = 0; i < n; i++) {
            conn = events[i].data.ptr;
            was_open = conn->state == LOAD_CONN_OPEN;
            err =
                load_conn_event(conn, events[i].events, worker->scratch, load_worker_check, worker);
            if (err < 0)
                goto failed;
            if (conn->state == LOAD_CONN_OPEN && !was_open) {
                made++;
                last_ns = clock_ns();
            }
        }
        atomic_store_explicit(&worker->connected, made, memory_order_relaxed);
        if (clock_ns() > last_ns + CONNECT_PATIENCE) {
            load_worker_note_problem(worker, "connecting stopped after %u of %u connections", made,
                                     worker->conn_count);
            return -ETIMEDOUT;
        }
    }
    return 0;
failed:
    load_worker_note_problem(worker, "connection %u could not be made: %s", conn->number,
                             say_why(err));
    return err;
}

static uint64_t sending_ends(const struct load_worker *worker)
{
    return atomic_load_explicit(&worker->load->end_ns, memory_order_relaxed);
}

static void conn_broke(struct load_worker *worker, struct load_conn *conn, int err)
{
    uint64_t now_ns = clock_ns();

    worker->result.broken++;
    load_worker_note_problem(worker, "connection %u broke: %s", conn->number, say_why(err));
    load_conn_close(conn);
    /* Without any connection left the rest of the run would say nothing. */
    if (worker->result.broken == worker->conn_count && now_ns < sending_ends(worker))
        atomic_store_explicit(&worker->load->end_ns, now_ns, memory_order_relaxed);
}

/* When a burst is due: the bursts of all flows of the run are evenly spread. */
static uint64_t tick_due(const struct load_worker *worker, uint64_t tick)
{
    const struct load *load = worker->load;
    double spacing = load->options->burst * 1e9 / load->options->rate; /* over all workers */
    double mine = spacing * load->flows / worker->flow_count;

    return load->start_ns + (uint64_t)(spacing * worker->index + mine * (double)tick);
}

/* Number of bursts that are due before a time. */
static uint64_t ticks_before(const struct load_worker *worker, uint64_t time_ns)
{
    uint64_t low = 0, high = 1, middle;

    while (tick_due(worker, high) < time_ns)
        high *= 2;
    if (tick_due(worker, low) >= time_ns)
        return 0;
    while (high - low > 1) {
        middle = low + (high - low) / 2;
        if (tick_due(worker, middle) < time_ns)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void make_burst(struct load_worker *worker, struct load_flow *flow, uint64_t due_ns,
                       uint64_t now_ns)
{
    const struct load_options *options = worker->load->options;
    struct load_conn *conn = flow->from;
    struct payload payload = {.sender = conn->number, .due_ns = due_ns};

    if (flow->measured == 0 &&
        (due_ns >= worker->load->measure_ns || now_ns >= worker->load->measure_ns + WARMUP_GRACE))
        flow->measured = flow->sequence + 1;
    for (unsigned i = 0; i < options->burst; i++) {
        payload.sequence = ++flow->sequence;
        client_packet_header(conn->out + conn->out_end, &flow->to->client.public_key,
                             options->size);
        payload_write(conn->out + conn->out_end + FRAME_PACKET_OVERHEAD, options->size, &payload);
        conn->out_end += frame_size(options);
    }
    flow->made_bursts++;
    worker->sent_all += options->burst;
    if (flow->measured != 0)
        worker->result.sent += options->burst;
}

/* When the next burst to be made of a flow is due. */
static uint64_t flow_due(const struct load_worker *worker, const struct load_flow *flow)
{
    return tick_due(worker,
                    flow->made_bursts * worker->flow_count + (uint64_t)(flow - worker->flows));
}

/* Makes and sends what is due of a flow (flat out: as much as the socket takes), within bounds.
 * Where the socket was full when a burst became due it was the relay that was slow; elsewhere a
 * delay is the loader's own, and noted. */
static void pump(struct load_worker *worker, struct load_flow *flow)
{
    struct load_conn *conn = flow->from;
    bool more = false;
    uint64_t due_ns, now_ns;
    int err = 0;

    if (conn->state != LOAD_CONN_OPEN)
        return;
    for (unsigned i = 0; i < MAX_BURSTS_AT_ONCE && err == 0 && !load_conn_blocked(conn); i++) {
        more = worker->sending && (is_flat_out(worker) || flow->made_bursts < flow->due_bursts);
        if (!more)
            break;
        now_ns = clock_ns();
        due_ns = is_flat_out(worker) ? now_ns : flow_due(worker, flow);
        make_burst(worker, flow, due_ns, now_ns);
        if (!is_flat_out(worker) && flow->measured != 0 && due_ns >= flow->free_ns)
            histogram_add(&worker->result.lateness, now_ns - due_ns);
        err = load_conn_flush(conn);
    }
    if (err == 0)
        err = load_conn_watch_write(conn, more);
    if (err < 0)
        conn_broke(worker, conn, err);
}

/* Sends what has become due. */
static void pump_due(struct load_worker *worker)
{
    struct load_flow *flow;
    uint64_t due_ns;

    for (unsigned i = 0; worker->sending && i < MAX_DUE_BURSTS; i++) {
        due_ns = tick_due(worker, worker->tick);
        if (due_ns > clock_ns() || due_ns >= sending_ends(worker))
            return;
        flow = &worker->flows[worker->tick++ % worker->flow_count];
        flow->due_bursts++;
        pump(worker, flow);
    }
}

static void handle_event(struct load_worker *worker, struct load_conn *conn, uint32_t events)
{
    struct load_flow *flow;
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
    flow = load_flow_from(worker, conn);
    if (flow != NULL) {
        if (was_blocked && !load_conn_blocked(conn))
            flow->free_ns = clock_ns();
        pump(worker, flow);
        return;
    }
    err = load_conn_watch_write(conn, false);
    if (err < 0)
        conn_broke(worker, conn, err);
}

static int wait_for_events(int epoll, struct epoll_event *events, uint64_t ns)
{
    struct timespec timeout = {.tv_nsec = (long)ns};
    int n = epoll_pwait2(epoll, events, MAX_EVENTS, &timeout, NULL);

    if (n < 0 && errno == ENOSYS) /* before Linux 5.11: a millisecond at a time */
        n = epoll_wait(epoll, events, MAX_EVENTS, (int)((ns + NS_PER_MS - 1) / NS_PER_MS));
    return n;
}

static uint64_t next_wake(const struct load_worker *worker, uint64_t now_ns)
{
    uint64_t at = now_ns + LONGEST_WAIT;
    uint64_t due_ns = is_flat_out(worker) ? worker->load->start_ns : tick_due(worker, worker->tick);

    if (worker->sending && (!is_flat_out(worker) || now_ns < due_ns) && due_ns < at)
        at = due_ns;
    return at;
}

/* Counts the measured packets that were due, and those of them that only the loader kept back. */
static void count_offered(struct load_worker *worker)
{
    const struct load *load = worker->load;
    uint64_t end_ns = sending_ends(worker), bursts;
    const struct load_flow *flow;

    if (is_flat_out(worker)) {
        worker->result.offered = worker->result.sent;
        return;
    }
    if (end_ns <= load->measure_ns)
        return;
    bursts = ticks_before(worker, end_ns);
    worker->result.unmade = bursts - worker->tick;
    bursts -= ticks_before(worker, load->measure_ns);
    worker->result.offered = bursts * load->options->burst;
    for (unsigned i = 0; i < worker->flow_count; i++) {
        flow = &worker->flows[i];
        if (flow->from->state == LOAD_CONN_OPEN && !load_conn_blocked(flow->from))
            worker->result.unmade += flow->due_bursts - flow->made_bursts;
    }
    worker->result.unmade *= load->options->burst;
    /* The schedule of the warm-up may have been kept back too. */
    if (worker->result.unmade > worker->result.offered)
        worker->result.unmade = worker->result.offered;
}

/* The schedule is over: what could not be sent by now never is. */
static void end_sending(struct load_worker *worker)
{
    worker->sending = false;
    worker->last_arrival_ns = clock_ns();
    count_offered(worker);
    for (unsigned i = 0; i < worker->flow_count; i++)
        pump(worker, &worker->flows[i]);
}

/* Takes back packets that were made but never left. */
static void uncount_unsent(struct load_worker *worker)
{
    size_t size = frame_size(worker->load->options);
    struct load_conn *conn;
    uint64_t left;

    for (unsigned i = 0; i < worker->flow_count; i++) {
        conn = worker->flows[i].from;
        left = (conn->out_end - conn->out_start + size - 1) / size;
        worker->result.sent -= left < worker->result.sent ? left : worker->result.sent;
    }
}

static bool stragglers_are_in(const struct load_worker *worker, uint64_t now_ns)
{
    return worker->arrived_all >= worker->sent_all ||
           now_ns > worker->last_arrival_ns + STRAGGLER_PATIENCE ||
           now_ns > sending_ends(worker) + STRAGGLER_LIMIT;
}

static void run(struct load_worker *worker)
{
    struct load *load = worker->load;
    struct epoll_event events[MAX_EVENTS];
    bool begun = false;
    uint64_t now_ns, wake_ns;
    int n;

    for (;;) {
        now_ns = clock_ns();
        if (!begun && now_ns >= load->start_ns) {
            begun = worker->sending = true;
            for (unsigned i = 0; is_flat_out(worker) && i < worker->flow_count; i++)
                pump(worker, &worker->flows[i]);
        }
        if (now_ns >= sending_ends(worker)) {
            if (worker->sending)
                end_sending(worker);
            if (stragglers_are_in(worker, now_ns))
                break;
        }
        if (!is_flat_out(worker))
            pump_due(worker);
        now_ns = clock_ns();
        wake_ns = begun ? next_wake(worker, now_ns) : load->start_ns;
        n = wait_for_events(worker->epoll, events, wake_ns > now_ns ? wake_ns - now_ns : 0);
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

void *load_worker_main(void *user)
{
    struct load_worker *worker = user;
    struct load *load = worker->load;
    bool open;

    /* The default, 50 us, would be added to every wait for the next packet. */
    prctl(PR_SET_TIMERSLACK, 1000ul, 0ul, 0ul, 0ul);
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
