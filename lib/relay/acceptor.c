/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Placement. One worker accepts from a listener and hands each connection to the least loaded
 * worker: SO_REUSEPORT would leave that to a hash, and cannot work on a socket that the embedder
 * brings.
 */
#include "relay/acceptor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory/memory.h"
#include "relay/addresses.h"
#include "relay/conn.h"
#include "relay/proxied.h"
#include "relay/worker.h"

/* How long to wait when accepting fails, for want of file descriptors usually. The backlog holds
 * the others. */
#define RETRY_NS 100000000

struct adoption {
    struct message message; /* first */
    struct arrival arrival;
};

static bool accepts_from(const struct worker *worker, unsigned listener)
{
    return listener % worker->relay->worker_count == worker->index;
}

static void arm(struct worker *worker)
{
    struct hyperderp_relay *relay = worker->relay;

    for (unsigned i = 0; i < relay->listener_count; i++) {
        if (!accepts_from(worker, i) || relay->listeners[i].fd < 0 || worker->listening & 1ull << i)
            continue;
        if (io_accept(worker->loop, relay->listeners[i].fd, io_token_make(IO_OP_ACCEPT, i, 0)) == 0)
            worker->listening |= 1ull << i;
        else
            timer_set(&worker->timers, &worker->accept_retry, worker->now + RETRY_NS);
    }
}

static void retry(struct timer *timer)
{
    arm((struct worker *)((char *)timer - offsetof(struct worker, accept_retry)));
}

void acceptor_start(struct worker *worker)
{
    worker->accept_retry.fire = retry;
    arm(worker);
}

/* Begins behind the last choice, so that equals take turns. */
static struct worker *least_loaded(struct worker *worker)
{
    struct hyperderp_relay *relay = worker->relay;
    struct worker *best = NULL;
    unsigned best_load = 0, best_at = 0;

    for (unsigned i = 0; i < relay->worker_count; i++) {
        unsigned at = (worker->place + i) % relay->worker_count;
        unsigned load = atomic_load_explicit(&relay->workers[at]->load, memory_order_relaxed);
        if (!best || load < best_load) {
            best = relay->workers[at];
            best_load = load;
            best_at = at;
        }
    }
    worker->place = best_at + 1;
    return best;
}

static void let_go(struct worker *worker, int fd)
{
    atomic_fetch_sub_explicit(&worker->relay->connections, 1, memory_order_relaxed);
    close(fd);
}

static void refuse(struct worker *worker, int fd, hyperderp_refusal reason)
{
    counters_refuse(worker->counters, reason);
    let_go(worker, fd);
}

/* Makes a connection of a socket that has been placed on this worker. */
static void take_in(struct worker *worker, const struct arrival *arrival)
{
    struct hyperderp_relay *relay = worker->relay;
    bool stopping = worker->phase >= RELAY_STOPPING;

    if (!stopping && conn_adopt(worker, arrival))
        return;
    addresses_leave(&relay->addresses, arrival->address);
    atomic_fetch_sub_explicit(&worker->load, 1, memory_order_relaxed);
    refuse(worker, arrival->fd, stopping ? HYPERDERP_REFUSED_DRAINING : HYPERDERP_REFUSED_MEMORY);
}

static void adopt(struct worker *worker, struct message *message)
{
    struct adoption *adoption = (struct adoption *)message;

    take_in(worker, &adoption->arrival);
    memory_free(adoption);
}

static void place(struct worker *worker, const struct arrival *arrival)
{
    struct addresses *addresses = &worker->relay->addresses;
    struct worker *chosen = least_loaded(worker);

    if (chosen == worker) {
        atomic_fetch_add_explicit(&worker->load, 1, memory_order_relaxed);
        take_in(worker, arrival);
        return;
    }
    struct adoption *adoption = memory_calloc(1, sizeof(*adoption));
    if (!adoption) {
        addresses_leave(addresses, arrival->address);
        refuse(worker, arrival->fd, HYPERDERP_REFUSED_MEMORY);
        return;
    }
    adoption->message.deliver = adopt;
    adoption->arrival = *arrival;
    atomic_fetch_add_explicit(&chosen->load, 1, memory_order_relaxed);
    if (worker_post(chosen, &adoption->message))
        return;
    /* That worker has drained its own, and ended. */
    atomic_fetch_sub_explicit(&chosen->load, 1, memory_order_relaxed);
    memory_free(adoption);
    atomic_fetch_add_explicit(&worker->load, 1, memory_order_relaxed);
    take_in(worker, arrival);
}

static void refuse_stranger(struct worker *worker, const struct arrival *arrival)
{
    char from[ENDPOINT_TEXT_SIZE];

    /* The words come first: by them a log knows lines that are alike. */
    endpoint_format(&arrival->from, from);
    log_line(&worker->relay->log, HYPERDERP_LOG_WARN,
             "closed a connection that came from no trusted proxy: to listener %s, from %s",
             arrival->listener->address, from);
    refuse(worker, arrival->fd, HYPERDERP_REFUSED_UNTRUSTED_PROXY);
}

/* Counts a connection to its address, unless that has as many as it may have. Behind a proxy it is
 * only known whom to ask: it is counted when the header has come. */
static void enter(struct worker *worker, int fd, struct listener *listener)
{
    struct hyperderp_relay *relay = worker->relay;
    struct arrival arrival = {.fd = fd, .listener = listener, .from = endpoint_of_peer(fd)};
    int error = 0;

    if (listener->proxied && !proxied_trusts(listener, &arrival.from)) {
        /* The kernel forgets the peer of a socket that was reset, as by HAProxy's checks: it is
         * nobody's. */
        if (arrival.from.kind == ENDPOINT_UNKNOWN)
            let_go(worker, fd);
        else
            refuse_stranger(worker, &arrival);
        return;
    }
    if (!listener->proxied)
        error = addresses_enter(&relay->addresses, &arrival.from, limits_per_ip(&relay->limits),
                                &arrival.address);
    if (error)
        refuse(worker, fd, error == -EUSERS ? HYPERDERP_REFUSED_PER_IP : HYPERDERP_REFUSED_MEMORY);
    else
        place(worker, &arrival);
}

/* Takes one from the new connections that may come, if there is one: the same reckoning as in
 * pace.h, for all workers that accept. */
static bool within_rate(struct worker *worker)
{
    struct hyperderp_relay *relay = worker->relay;
    int64_t interval =
        atomic_load_explicit(&relay->limits.accept_interval_ns, memory_order_relaxed);
    int64_t ahead = atomic_load_explicit(&relay->limits.accept_ahead_ns, memory_order_relaxed);
    int64_t before = atomic_load_explicit(&relay->accept_full_at, memory_order_relaxed), after;

    if (interval == 0)
        return true;
    do {
        after = (before > worker->now ? before : worker->now) + interval;
        if (after > worker->now + ahead)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&relay->accept_full_at, &before, after,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void accepted(struct worker *worker, int fd, unsigned listener)
{
    struct hyperderp_relay *relay = worker->relay;
    unsigned before = atomic_fetch_add_explicit(&relay->connections, 1, memory_order_relaxed);

    counters_add(worker->counters, COUNTER_accepts, 1);
    if (worker->phase >= RELAY_DRAINING)
        refuse(worker, fd, HYPERDERP_REFUSED_DRAINING);
    else if (before >= limits_connections(&relay->limits))
        refuse(worker, fd, HYPERDERP_REFUSED_MAX_CONNECTIONS);
    else if (!within_rate(worker))
        refuse(worker, fd, HYPERDERP_REFUSED_ACCEPT_RATE);
    else
        enter(worker, fd, &relay->listeners[listener]);
}

void acceptor_event(struct worker *worker, const struct io_event *event)
{
    unsigned listener = io_token_slot(event->token);

    if (!event->more)
        worker->listening &= ~(1ull << listener);
    if (event->result >= 0) {
        accepted(worker, event->result, listener);
        if (!event->more && worker->phase < RELAY_DRAINING)
            arm(worker);
    } else if (worker->phase < RELAY_DRAINING) {
        counters_add(worker->counters, COUNTER_accept_errors, 1);
        log_line(&worker->relay->log, HYPERDERP_LOG_WARN, "listener %s: accepting failed: %s",
                 worker->relay->listeners[listener].address, strerror(-event->result));
        timer_set(&worker->timers, &worker->accept_retry, worker->now + RETRY_NS);
    }
}

void acceptor_stop(struct worker *worker)
{
    struct hyperderp_relay *relay = worker->relay;

    timer_stop(&worker->timers, &worker->accept_retry);
    for (unsigned i = 0; i < relay->listener_count; i++) {
        struct listener *listener = &relay->listeners[i];
        if (!accepts_from(worker, i) || listener->fd < 0)
            continue;
        if (worker->listening & 1ull << i)
            (void)io_cancel(worker->loop, listener->fd, io_token_make(IO_OP_ACCEPT, i, 0));
        worker->listening &= ~(1ull << i);
        listener_close(listener, atomic_load_explicit(&relay->handed_over, memory_order_relaxed));
    }
}
