/* SPDX-License-Identifier: BSD-3-Clause */
/* The public functions of a relay's life: starting, running, draining, stopping. */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "relay/driven.h"
#include "relay/relay.h"
#include "relay/within.h"
#include "relay/worker.h"

/* What a worker's stack holds is known: events, a frame or two, a log line. */
#define WORKER_STACK 262144

#define NS_PER_MS 1000000
#define NS_PER_S  1000000000

/* A relay that hands over sends a thousand clients away a second, if the caller lets it: what a
 * worker of the next one takes in over TLS with time to spare for packets. Those that wait get no
 * KeepAlive, so that it must not last. */
#define NS_PER_LEAVER 1000000
#define MAX_SPREAD_MS 60000

/* The worker that ends last says so before anybody who waits for the end hears of it. */
void relay_worker_ended(struct worker *worker)
{
    hyperderp_relay *relay = worker->relay;

    pthread_mutex_lock(&relay->lock);
    bool is_last = --relay->working == 0 && relay->attach_error == 0;
    pthread_mutex_unlock(&relay->lock);
    if (is_last && relay->drained) {
        struct within here;
        within_enter(&here, &relay->log, WITHIN_WORKER);
        relay->drained(relay->user);
        within_leave(&here);
    }
    pthread_mutex_lock(&relay->lock);
    atomic_store_explicit(&worker->ended, true, memory_order_release);
    relay->running--;
    pthread_cond_broadcast(&relay->changed);
    pthread_mutex_unlock(&relay->lock);
}

/* Runs a worker on the calling thread until it ends. */
static void run_worker(struct worker *worker)
{
    hyperderp_relay *relay = worker->relay;
    struct within here;

    within_enter(&here, &relay->log, WITHIN_WORKER);
    int error = worker_attach(worker);
    pthread_mutex_lock(&relay->lock);
    if (error)
        relay->attach_error = error;
    else
        relay->attached++;
    pthread_cond_broadcast(&relay->changed);
    pthread_mutex_unlock(&relay->lock);
    if (error == 0)
        worker_run(worker);
    else
        relay_advance(relay, RELAY_STOPPING);
    within_leave(&here);

    relay_worker_ended(worker);
}

static void *worker_thread(void *arg)
{
    run_worker(arg);
    return NULL;
}

static int start_thread(struct worker *worker)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const hyperderp_relay *relay = worker->relay;
    cpu_set_t core;
    CPU_ZERO(&core);
    if (relay->pin_workers) {
        CPU_SET(relay->pin_cores[worker->index % relay->pin_core_count], &core);
        pthread_attr_setaffinity_np(&attributes, sizeof(core), &core);
    }
    int error = pthread_create(&worker->thread, &attributes, worker_thread, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    worker->has_thread = error == 0;
    return -error;
}

int relay_begin(hyperderp_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    bool is_new = relay_phase(relay) == RELAY_NEW;
    if (is_new) {
        relay->running = relay->working = relay->worker_count;
        atomic_store_explicit(&relay->phase, RELAY_RUNNING, memory_order_release);
    }
    pthread_mutex_unlock(&relay->lock);
    if (!is_new)
        return -EBUSY;
    log_line(&relay->log, HYPERDERP_LOG_INFO, "relay with %u worker%s on %s", relay->worker_count,
             relay->worker_count == 1 ? "" : "s",
             hyperderp_engine_name(hyperderp_relay_engine(relay)));
    stun_forget_early(relay);
    return 0;
}

/* Waits until so many workers work, or one says why it cannot. */
static int await_attached(hyperderp_relay *relay, unsigned count)
{
    pthread_mutex_lock(&relay->lock);
    while (relay->attached < count && relay->attach_error == 0)
        pthread_cond_wait(&relay->changed, &relay->lock);
    int error = relay->attach_error;
    pthread_mutex_unlock(&relay->lock);
    return error;
}

static void wait_for_end(hyperderp_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    while (relay->running > 0)
        pthread_cond_wait(&relay->changed, &relay->lock);
    pthread_mutex_unlock(&relay->lock);
}

/* Needs the life lock. */
static void join_threads(hyperderp_relay *relay)
{
    for (unsigned i = 0; i < relay->worker_count; i++) {
        if (relay->workers[i]->has_thread)
            pthread_join(relay->workers[i]->thread, NULL);
        relay->workers[i]->has_thread = false;
    }
}

/* Needs the life lock. Starts the workers from first on; all or none. */
static int start_threads(hyperderp_relay *relay, unsigned first)
{
    unsigned next = first;
    int error = 0;

    while (next < relay->worker_count && error == 0) {
        error = start_thread(relay->workers[next]);
        next += error == 0;
    }
    if (error == 0)
        error = await_attached(relay, relay->worker_count - first);
    if (error == 0)
        return 0;
    pthread_mutex_lock(&relay->lock);
    relay->attach_error = error;
    relay->running -= relay->worker_count - next + first; /* those that never ran */
    pthread_mutex_unlock(&relay->lock);
    relay_advance(relay, RELAY_STOPPING);
    join_threads(relay);
    return error;
}

static int start_workers(hyperderp_relay *relay, unsigned first)
{
    if (!relay || relay->listener_count == 0)
        return -EINVAL;
    if (within_relay(&relay->log))
        return -EBUSY;
    pthread_mutex_lock(&relay->life);
    int error = relay_begin(relay);
    if (error == 0)
        error = start_threads(relay, first);
    pthread_mutex_unlock(&relay->life);
    return error;
}

int hyperderp_relay_start(hyperderp_relay *relay)
{
    return start_workers(relay, 0);
}

int hyperderp_relay_run(hyperderp_relay *relay)
{
    int error = start_workers(relay, 1);
    if (error)
        return error;
    run_worker(relay->workers[0]);
    wait_for_end(relay);
    pthread_mutex_lock(&relay->lock);
    error = relay->attach_error;
    pthread_mutex_unlock(&relay->lock);
    return error;
}

bool relay_advance(hyperderp_relay *relay, enum relay_phase phase)
{
    int before = (int)relay_phase(relay);

    do {
        if (before == RELAY_NEW || before >= (int)phase)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&relay->phase, &before, (int)phase,
                                                    memory_order_acq_rel, memory_order_acquire));
    for (unsigned i = 0; i < relay->worker_count; i++)
        io_wake(relay->workers[i]->loop);
    return true;
}

/* Fewer clients need less time: they are not to be apart from each other for longer than the new
 * process needs to take them in. */
int hyperderp_relay_hand_over(hyperderp_relay *relay, unsigned spread_ms)
{
    if (!relay || spread_ms > MAX_SPREAD_MS)
        return -EINVAL;
    if (within_relay(&relay->log))
        return -EBUSY;
    int64_t spread = (int64_t)spread_ms * NS_PER_MS;
    int64_t enough =
        NS_PER_LEAVER * (int64_t)atomic_load_explicit(&relay->connections, memory_order_relaxed);
    pthread_mutex_lock(&relay->life);
    if (relay_phase(relay) == RELAY_NEW) {
        atomic_store_explicit(&relay->handed_over, true, memory_order_relaxed);
    } else if (relay_phase(relay) == RELAY_RUNNING) {
        relay->leave_by = worker_clock() + (enough < spread ? enough : spread);
        atomic_store_explicit(&relay->handed_over, true, memory_order_relaxed);
        if (!relay_advance(relay, RELAY_LEAVING)) /* a drain was faster: it is not handed over */
            atomic_store_explicit(&relay->handed_over, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&relay->life);
    return 0;
}

int hyperderp_relay_drain(hyperderp_relay *relay, unsigned timeout_ms)
{
    struct timespec until;

    if (!relay || relay_phase(relay) == RELAY_NEW)
        return -EINVAL;
    if (timeout_ms > 0 && within_relay(&relay->log))
        return -EBUSY;
    relay_advance(relay, RELAY_DRAINING);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * NS_PER_MS;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_sec++;
        until.tv_nsec -= NS_PER_S;
    }
    if (relay->is_driven && timeout_ms > 0)
        driven_run(relay, (int64_t)until.tv_sec * NS_PER_S + until.tv_nsec);
    pthread_mutex_lock(&relay->lock);
    int error = 0;
    while (relay->running > 0 && error == 0)
        error = pthread_cond_timedwait(&relay->changed, &relay->lock, &until);
    bool done = relay->running == 0;
    pthread_mutex_unlock(&relay->lock);
    return done ? 0 : -ETIMEDOUT;
}

void hyperderp_relay_stop(hyperderp_relay *relay)
{
    if (!relay || within_refuses(&relay->log, "hyperderp_relay_stop"))
        return;
    relay_advance(relay, RELAY_STOPPING);
    if (relay_phase(relay) == RELAY_NEW)
        return;
    if (relay->is_driven) {
        driven_stop(relay);
        return;
    }
    pthread_mutex_lock(&relay->life);
    join_threads(relay);
    pthread_mutex_unlock(&relay->life);
    wait_for_end(relay);
}
