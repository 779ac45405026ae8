/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs the workers from the first connection to the last straggler, and adds up what they saw. */
#include "load.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "process.h"
#include "worker.h"

#define CHECK_EVERY (20ull * NS_PER_MS) /* how soon an interruption is noticed */
#define START_DELAY (20ull * NS_PER_MS) /* for every worker to pass the gate */

/* What only the thread of load_run() uses. */
struct run {
    struct load load;
    unsigned started; /* workers with a thread */
    const volatile sig_atomic_t *stop;
    load_progress_fn *progress;
    void *user;
    uint64_t shown_ns; /* when the progress was last shown */

    /* CPU time of this process and of the relay's when the measuring began, and when it ended. */
    enum { WINDOW_BEFORE, WINDOW_OPEN, WINDOW_DONE } window;
    struct process_sample own_from, own_to, relay_from, relay_to;
};

/* A relay that cannot be looked at any longer has no figures. */
static void sample_relay(struct load_result *result, struct process_sample *out)
{
    if (result->relay.pid != 0 && process_sample_cpu(result->relay.pid, out) < 0)
        result->relay.pid = 0;
}

/* Without the time in which workers looked for events in vain, which packets could have had. */
static void sample_own(const struct run *run, struct process_sample *out)
{
    if (process_sample_cpu(getpid(), out) < 0)
        return;
    for (unsigned i = 0; i < run->load.worker_count; i++)
        out->cpu_ns -=
            atomic_load_explicit(&run->load.workers[i].wait.idle_ns, memory_order_relaxed);
}

/* Takes the samples at both ends of the measured time, as soon as these have come. */
static void note_window(struct run *run, struct load_result *result, uint64_t now_ns,
                        uint64_t end_ns)
{
    struct process_sample with_memory;

    if (run->window == WINDOW_BEFORE && now_ns >= run->load.measure_ns) {
        run->window = WINDOW_OPEN;
        sample_relay(result, &run->relay_from);
        sample_own(run, &run->own_from);
    }
    if (run->window == WINDOW_OPEN && now_ns >= end_ns) {
        run->window = WINDOW_DONE;
        sample_relay(result, &run->relay_to);
        sample_own(run, &run->own_to);
        if (result->relay.pid != 0 && process_sample(result->relay.pid, &with_memory) == 0)
            result->relay.rss = with_memory.rss;
    }
}

static double share_of_core(const struct process_sample *from, const struct process_sample *to)
{
    if (to->at_ns <= from->at_ns)
        return 0;
    return (double)(to->cpu_ns - from->cpu_ns) / (double)(to->at_ns - from->at_ns);
}

/* No more than the threads, nor than this process may run on. */
static unsigned usable_cores(const struct load_options *options)
{
    unsigned cores = options->core_count > 0 ? options->core_count : options->threads;
    cpu_set_t set;

    if (options->core_count == 0 && sched_getaffinity(0, sizeof(set), &set) == 0 &&
        (unsigned)CPU_COUNT(&set) < cores)
        cores = (unsigned)CPU_COUNT(&set);
    return cores;
}

static void show_progress(struct run *run, uint64_t now_ns)
{
    struct load *load = &run->load;
    uint64_t end_ns = atomic_load_explicit(&load->end_ns, memory_order_relaxed);
    struct load_progress p = {.phase = LOAD_CONNECTING};

    if (now_ns - run->shown_ns < NS_PER_SECOND)
        return;
    run->shown_ns = now_ns;
    for (unsigned i = 0; i < run->load.worker_count; i++) {
        struct load_worker *worker = &run->load.workers[i];

        p.connections += worker->conn_count;
        p.connected += atomic_load_explicit(&worker->connected, memory_order_relaxed);
        p.sent += atomic_load_explicit(&worker->shown_sent, memory_order_relaxed);
        p.delivered += atomic_load_explicit(&worker->shown_arrived, memory_order_relaxed);
    }
    if (load->gate == GATE_OPEN) {
        p.phase = now_ns < load->measure_ns ? LOAD_WARMUP
                  : now_ns < end_ns         ? LOAD_MEASURING
                                            : LOAD_WAITING;
        p.elapsed_s = now_ns > load->start_ns ? (double)(now_ns - load->start_ns) / 1e9 : 0;
        p.total_s = (double)(end_ns - load->start_ns) / 1e9;
    }
    run->progress(run->user, &p);
}

/* Waits for a worker to change something, but not long, and not beyond a given time. The mutex is
 * held. */
static void wait_a_little(struct load *load, uint64_t limit_ns)
{
    uint64_t now_ns = clock_ns(), until = now_ns + CHECK_EVERY;
    struct timespec at;

    if (limit_ns > now_ns && limit_ns < until)
        until = limit_ns;
    at = (struct timespec){.tv_sec = (time_t)(until / NS_PER_SECOND),
                           .tv_nsec = (long)(until % NS_PER_SECOND)};
    pthread_cond_timedwait(&load->changed, &load->mutex, &at);
}

/* Share number `index` of `count` of a whole: shares differ by at most one unit. */
static unsigned share_of(unsigned whole, unsigned index, unsigned count)
{
    return whole / count + (index < whole % count);
}

/* Makes the workers, with their shares of the pairs (of the peers, with random destinations) and of
 * the idle connections. */
static int make_workers(struct load *load)
{
    const struct load_options *options = load->options;
    unsigned unit = options->traffic == LOAD_RANDOM ? 1 : 2;
    unsigned count = options->threads, peer = 0, idle = options->peers, peers, idles;
    struct load_worker *worker;
    int err = 0;

    load->workers = calloc(count, sizeof(*load->workers));
    load->keys = calloc((size_t)options->peers + 1, sizeof(*load->keys));
    if (load->workers == NULL || load->keys == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count && err == 0; i++) {
        worker = &load->workers[load->worker_count++];
        worker->load = load;
        worker->index = i;
        worker->senders_before = load->senders;
        peers = share_of(options->peers / unit, i, count) * unit;
        idles = share_of(options->idle, i, count);
        err = load_worker_init(worker, peer, peers, idle, idles);
        peer += peers;
        idle += idles;
        load->senders += worker->sender_count;
    }
    atomic_store(&load->sending, load->worker_count);
    return err;
}

/* Starts the threads of the workers; these let no signal interrupt them. */
static int start_workers(struct run *run)
{
    struct load *load = &run->load;
    sigset_t all, before;
    int err = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < load->worker_count && err == 0; i++) {
        err = -pthread_create(&load->workers[i].thread, NULL, load_worker_main, &load->workers[i]);
        run->started += err == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

/* Waits until every worker has connected. 0, -EINTR, or the first worker's error. */
static int await_connections(struct run *run, struct load_result *result)
{
    struct load *load = &run->load;
    int err = 0;

    pthread_mutex_lock(&load->mutex);
    while (load->ready < run->started) {
        wait_a_little(load, 0);
        if (*run->stop != 0)
            atomic_store_explicit(&load->abort, true, memory_order_relaxed);
        show_progress(run, clock_ns());
    }
    pthread_mutex_unlock(&load->mutex);
    for (unsigned i = 0; i < run->started && err == 0; i++) {
        err = run->load.workers[i].error;
        if (err < 0)
            memcpy(result->problem, run->load.workers[i].result.problem, sizeof(result->problem));
    }
    return err;
}

static void open_gate(struct load *load, bool open)
{
    const struct load_options *options = load->options;

    pthread_mutex_lock(&load->mutex);
    load->start_ns = clock_ns() + START_DELAY;
    load->measure_ns = load->start_ns + (uint64_t)(options->warmup_s * 1e9);
    atomic_store(&load->end_ns, load->measure_ns + (uint64_t)(options->duration_s * 1e9));
    load->gate = open ? GATE_OPEN : GATE_ABORT;
    pthread_cond_broadcast(&load->changed);
    pthread_mutex_unlock(&load->mutex);
}

/* Waits until every worker has ended, and ends the sending early when asked to. */
static void await_end(struct run *run, struct load_result *result)
{
    struct load *load = &run->load;
    uint64_t now_ns, end_ns;

    pthread_mutex_lock(&load->mutex);
    while (load->finished < run->started) {
        end_ns = atomic_load_explicit(&load->end_ns, memory_order_relaxed);
        wait_a_little(load, run->window == WINDOW_BEFORE ? load->measure_ns : end_ns);
        now_ns = clock_ns();
        end_ns = atomic_load_explicit(&load->end_ns, memory_order_relaxed);
        note_window(run, result, now_ns, end_ns);
        if (*run->stop != 0 && now_ns < end_ns) {
            result->interrupted = true;
            atomic_store_explicit(&load->end_ns, now_ns, memory_order_relaxed);
        }
        show_progress(run, now_ns);
    }
    pthread_mutex_unlock(&load->mutex);
}

static void add_result(struct load_result *sum, const struct load_result *part)
{
    sum->offered += part->offered;
    sum->sent += part->sent;
    sum->unmade += part->unmade;
    sum->delivered += part->delivered;
    sum->arrived += part->arrived;
    sum->order_unknown += part->order_unknown;
    sum->misordered += part->misordered;
    sum->damaged += part->damaged;
    sum->broken += part->broken;
    histogram_merge(&sum->latency, &part->latency);
    histogram_merge(&sum->lateness, &part->lateness);
    if (sum->suite == NULL)
        sum->suite = part->suite;
    if (sum->problem[0] == '\0')
        memcpy(sum->problem, part->problem, sizeof(sum->problem));
}

/* Makes the connections, and notes what that took. 0 or a negative errno. */
static int connect_all(struct run *run, struct load_result *result)
{
    struct load_relay *relay = &result->relay;
    struct process_sample before = {0}, after = {0};
    uint64_t begun_ns;
    int err = make_workers(&run->load);

    if (err < 0)
        return err;
    relay->pid = run->load.options->relay_pid;
    if (relay->pid != 0 && process_sample(relay->pid, &before) < 0)
        relay->pid = 0;
    begun_ns = clock_ns();
    err = start_workers(run);
    if (err < 0) {
        atomic_store(&run->load.abort, true);
        return err;
    }
    err = await_connections(run, result);
    result->connecting = (double)(clock_ns() - begun_ns) / 1e9;
    if (err == 0 && relay->pid != 0 && process_sample(relay->pid, &after) == 0) {
        process_name(relay->pid, relay->name, sizeof(relay->name));
        relay->connecting_cpu = (double)(after.cpu_ns - before.cpu_ns) / 1e9;
        relay->rss_before = before.rss;
        relay->rss_connected = after.rss;
    }
    return err;
}

static int run_gated(struct run *run, struct load_result *result)
{
    struct load *load = &run->load;
    uint64_t end_ns;
    int err = connect_all(run, result);

    open_gate(load, err == 0);
    if (err == 0)
        await_end(run, result);
    for (unsigned i = 0; i < run->started; i++)
        pthread_join(load->workers[i].thread, NULL);
    if (err < 0)
        return err;
    result->cpu_share = share_of_core(&run->own_from, &run->own_to);
    result->cores = usable_cores(load->options);
    result->relay.cpu_share = share_of_core(&run->relay_from, &run->relay_to);
    for (unsigned i = 0; i < load->worker_count; i++)
        add_result(result, &load->workers[i].result);
    end_ns = atomic_load(&load->end_ns);
    if (end_ns <= load->measure_ns)
        return result->interrupted ? -EINTR : -EPIPE;
    result->seconds = (double)(end_ns - load->measure_ns) / 1e9;
    return 0;
}

int load_run(const struct load_options *options, const struct sockaddr *address, socklen_t len,
             const volatile sig_atomic_t *stop, load_progress_fn *progress, void *user,
             struct load_result *result)
{
    struct run run = {
        .load = {.options = options, .address = address, .address_len = len},
        .stop = stop,
        .progress = progress,
        .user = user,
        .shown_ns = clock_ns(),
    };
    pthread_condattr_t attributes;
    int err;

    memset(result, 0, sizeof(*result));
    pthread_mutex_init(&run.load.mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&run.load.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    err = run_gated(&run, result);
    for (unsigned i = 0; i < run.load.worker_count; i++)
        load_worker_free(&run.load.workers[i]);
    free(run.load.keys);
    free(run.load.workers);
    pthread_cond_destroy(&run.load.changed);
    pthread_mutex_destroy(&run.load.mutex);
    return err;
}
