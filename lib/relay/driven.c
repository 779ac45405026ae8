/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers on the threads of who embeds the relay. */
#include "relay/driven.h"

#include <errno.h>
#include <poll.h>

#include "relay/relay.h"
#include "relay/within.h"
#include "relay/worker.h"

#define NS_PER_MS 1000000

/* A turn often makes the next one ready, as what it sent completes. So many are taken at once: it
 * saves the caller's loop as many rounds. */
#define TURNS_PER_DISPATCH 4

/* For all workers, or for none. */
static int make_files(hyperderp_relay *relay)
{
    unsigned done = 0;
    int error = 0;

    while (done < relay->worker_count && error == 0) {
        error = io_driven_begin(relay->workers[done]->loop);
        done += error == 0;
    }
    while (error && done > 0)
        io_driven_end(relay->workers[--done]->loop);
    return error;
}

int hyperderp_relay_start_driven(hyperderp_relay *relay)
{
    if (!relay || relay->listener_count == 0)
        return -EINVAL;
    if (within_relay(&relay->log))
        return -EBUSY;
    pthread_mutex_lock(&relay->life);
    int error = relay_phase(relay) == RELAY_NEW ? make_files(relay) : -EBUSY;
    if (error == 0) {
        relay->is_driven = true;
        error = relay_begin(relay);
    }
    pthread_mutex_unlock(&relay->life);
    return error;
}

/* NULL when there is none of that number, or the relay is not driven. */
static struct worker *find(const hyperderp_relay *relay, unsigned number)
{
    if (!relay || relay_phase(relay) == RELAY_NEW || !relay->is_driven ||
        number >= relay->worker_count)
        return NULL;
    return relay->workers[number];
}

int hyperderp_relay_worker_fd(const hyperderp_relay *relay, unsigned number)
{
    const struct worker *worker = find(relay, number);

    return worker ? io_driven_fd(worker->loop) : -EINVAL;
}

/* ---- Whose a worker is -----------------------------------------------------------------------
 *
 * Nobody but the thread itself writes its own number there, but for driven_end(), beside which
 * nobody is. So who reads it there without a lock knows that the worker is his; anything else is
 * decided under relay->lock. */

/* Not the kernel's number, which another thread has when this one has ended. */
static thread_number this_thread(void)
{
    static _Atomic thread_number last;
    static _Thread_local thread_number own;

    if (own == 0)
        own = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    return own;
}

static bool is_mine(const struct worker *worker, thread_number self)
{
    return atomic_load_explicit(&worker->driver, memory_order_relaxed) == self;
}

static bool has_ended(const struct worker *worker)
{
    return atomic_load_explicit(&worker->ended, memory_order_acquire);
}

/* 0 when the worker is the calling thread's, as which it takes one that is nobody's yet; -EAGAIN
 * when it is on its way to the end with another one; -EBUSY. */
static int claim(struct worker *worker, thread_number self, bool to_end)
{
    hyperderp_relay *relay = worker->relay;
    int result = -EBUSY;

    pthread_mutex_lock(&relay->lock);
    thread_number driver = atomic_load_explicit(&worker->driver, memory_order_relaxed);
    if (driver == 0) {
        atomic_store_explicit(&worker->driver, self, memory_order_relaxed);
        worker->is_ending = to_end;
        result = 0;
    } else if (driver == self) {
        result = 0;
    } else if (worker->is_ending) {
        result = -EAGAIN;
    }
    pthread_mutex_unlock(&relay->lock);
    return result;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

/* As worker_turn(). */
static int begin(struct worker *worker)
{
    int error = worker_attach(worker);

    worker->has_begun = true;
    if (error)
        relay_advance(worker->relay, RELAY_STOPPING);
    else
        worker_begin(worker);
    return error ? error : 1;
}

/* Turns without waiting, and leaves the worker's file descriptor as what comes next asks for: for
 * ever readable when it has ended. Returns as worker_turn(). */
static int take_turns(struct worker *worker)
{
    int64_t wait = 0;
    int result;

    io_driven_enter(worker->loop);
    for (unsigned turns = 1;; turns++) {
        result = worker_turn(worker, 0);
        if (result <= 0)
            break;
        wait = io_driven_submit(worker->loop) ? 0 : worker_time_to_wait(worker);
        if (wait != 0 || turns == TURNS_PER_DISPATCH)
            break;
    }
    if (result <= 0)
        wait = result < 0 ? WORKER_ENGINE_PAUSE_NS : 0;
    io_driven_leave(worker->loop, worker->now, wait);
    return result;
}

/* The worker is the calling thread's, which is in no dispatch. Returns as worker_turn(). */
static int dispatch(struct worker *worker)
{
    struct within here;
    int result = 1;

    within_enter(&here, &worker->relay->log, WITHIN_WORKER);
    if (!worker->has_begun)
        result = begin(worker);
    bool failed = result < 0; /* to begin: then it has ended */
    if (!failed)
        result = take_turns(worker);
    within_leave(&here);
    if (failed || result == 0)
        relay_worker_ended(worker);
    return result;
}

int hyperderp_relay_dispatch(hyperderp_relay *relay, unsigned number)
{
    struct worker *worker = find(relay, number);
    thread_number self = this_thread();

    if (!worker)
        return -EINVAL;
    if (within_relay(&relay->log))
        return -EBUSY;
    if (has_ended(worker))
        return 0;
    int error = is_mine(worker, self) ? 0 : claim(worker, self, false);
    if (error == -EAGAIN)
        return 1; /* not yet */
    return error ? error : dispatch(worker);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* Fills in the files of the calling thread's workers that have not ended; returns their number. */
static unsigned mine(const hyperderp_relay *relay, thread_number self, struct pollfd *files,
                     struct worker **workers)
{
    unsigned count = 0;

    for (unsigned i = 0; i < relay->worker_count; i++) {
        struct worker *worker = relay->workers[i];
        if (!is_mine(worker, self) || has_ended(worker))
            continue;
        files[count] = (struct pollfd){.fd = io_driven_fd(worker->loop), .events = POLLIN};
        workers[count++] = worker;
    }
    return count;
}

static int timeout_ms(int64_t until)
{
    int64_t left = until - worker_clock();

    if (left <= 0)
        return 0;
    return left / NS_PER_MS < INT32_MAX ? (int)(left / NS_PER_MS) + 1 : INT32_MAX;
}

/* An engine that fails would fail for ever: what it served is ended without it. */
static void end_without_engine(struct worker *worker)
{
    if (relay_phase(worker->relay) == RELAY_STOPPING && !has_ended(worker))
        worker_abandon(worker);
}

void driven_run(hyperderp_relay *relay, int64_t until)
{
    struct pollfd files[RELAY_MAX_WORKERS];
    struct worker *workers[RELAY_MAX_WORKERS];
    thread_number self = this_thread();
    unsigned count;

    if (within_relay(&relay->log))
        return;
    while ((count = mine(relay, self, files, workers)) > 0) {
        int timeout = timeout_ms(until);
        int ready = poll(files, count, timeout);
        for (unsigned i = 0; ready > 0 && i < count; i++)
            if (files[i].revents && dispatch(workers[i]) < 0)
                end_without_engine(workers[i]);
        if (timeout == 0)
            return;
    }
}

void driven_stop(hyperderp_relay *relay)
{
    thread_number self = this_thread();

    if (within_relay(&relay->log))
        return;
    for (unsigned i = 0; i < relay->worker_count; i++)
        (void)claim(relay->workers[i], self, true);
    driven_run(relay, INT64_MAX);
}

void driven_end(hyperderp_relay *relay)
{
    thread_number self = this_thread();
    bool more = true;

    /* Others' workers first: one of this thread's may wait for a client of theirs. */
    relay_advance(relay, RELAY_STOPPING);
    for (unsigned i = 0; i < relay->worker_count; i++) {
        struct worker *worker = relay->workers[i];
        if (has_ended(worker) || claim(worker, self, true) == 0)
            continue;
        atomic_store_explicit(&worker->driver, self, memory_order_relaxed);
        worker_abandon(worker);
    }
    /* Each in turn: what one of them sends to another's client may need the other's end. */
    while (more) {
        more = false;
        for (unsigned i = 0; i < relay->worker_count; i++)
            if (!has_ended(relay->workers[i]) && dispatch(relay->workers[i]) != 0)
                more = true;
    }
}
