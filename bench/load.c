/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs the workers from the first connection to the last straggler, and adds up what they saw. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"
#include "worker.h"

#define CHECK_EVERY (20ull * NS_PER_MS) /* how soon an interruption is noticed */
#define START_DELAY (20ull * NS_PER_MS) /* for every worker to pass the gate */

/* What only the thread of load_run() uses. */
struct run {
    struct load load;
    struct load_worker *workers;
    unsigned worker_count; /* made */
    unsigned started;      /* with a thread */
    const volatile sig_atomic_t *stop;
    load_progress_fn *progress;
    void *user;
    uint64_t shown_ns; /* when the progress was last shown */

    uint64_t cpu_from_ns, cpu_from; /* this process's CPU time when the measuring began */
    bool cpu_noted, cpu_done;
    double cpu_share;
};

static uint64_t cpu_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_SECOND +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void note_cpu(struct run *run, uint64_t now_ns, uint64_t end_ns)
{
    if (!run->cpu_noted && now_ns >= run->load.measure_ns) {
        run->cpu_noted = true;
        run->cpu_from_ns = now_ns;
        run->cpu_from = cpu_ns();
    } else if (run->cpu_noted && !run->cpu_done) {
        if (now_ns > run->cpu_from_ns)
            run->cpu_share =
                (double)(cpu_ns() - run->cpu_from) / (double)(now_ns - run->cpu_from_ns);
        run->cpu_done = now_ns >= end_ns;
    }
}

static void show_progress(struct run *run, uint64_t now_ns)
{
    struct load *load = &run->load;
    uint64_t end_ns = atomic_load_explicit(&load->end_ns, memory_order_relaxed);
    struct load_progress p = {.phase = LOAD_CONNECTING};

    if (now_ns - run->shown_ns < NS_PER_SECOND)
        return;
    run->shown_ns = now_ns;
    for (unsigned i = 0; i < run->worker_count; i++) {
        struct load_worker *worker = &run->workers[i];

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

/* Waits for a worker to change something, but not long. The mutex is held. */
static void wait_a_little(struct load *load)
{
    uint64_t until = clock_ns() + CHECK_EVERY;
    struct timespec at = {.tv_sec = (time_t)(until / NS_PER_SECOND),
                          .tv_nsec = (long)(until % NS_PER_SECOND)};

    pthread_cond_timedwait(&load->changed, &load->mutex, &at);
}

/* Makes the workers and their threads; these let no signal interrupt them. */
static int start_workers(struct run *run)
{
    const struct load_options *options = run->load.options;
    unsigned count = options->threads < options->pairs ? options->threads : options->pairs;
    unsigned first = 0, pairs;
    sigset_t all, before;
    int err = 0;

    run->workers = calloc(count, sizeof(*run->workers));
    if (run->workers == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        pairs = options->pairs / count + (i < options->pairs % count);
        run->worker_count++;
        err = load_worker_init(&run->workers[i], &run->load, i, first, pairs);
        if (err < 0)
            return err;
        first += pairs * 2;
        run->load.flows += run->workers[i].flow_count;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < count && err == 0; i++) {
        err = -pthread_create(&run->workers[i].thread, NULL, load_worker_main, &run->workers[i]);
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
        wait_a_little(load);
        if (*run->stop != 0)
            atomic_store_explicit(&load->abort, true, memory_order_relaxed);
        show_progress(run, clock_ns());
    }
    pthread_mutex_unlock(&load->mutex);
    for (unsigned i = 0; i < run->started && err == 0; i++) {
        err = run->workers[i].error;
        if (err < 0)
            memcpy(result->problem, run->workers[i].result.problem, sizeof(result->problem));
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
        wait_a_little(load);
        now_ns = clock_ns();
        end_ns = atomic_load_explicit(&load->end_ns, memory_order_relaxed);
        note_cpu(run, now_ns, end_ns);
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
    sum->misordered += part->misordered;
    sum->damaged += part->damaged;
    sum->broken += part->broken;
    histogram_merge(&sum->latency, &part->latency);
    histogram_merge(&sum->lateness, &part->lateness);
    if (sum->problem[0] == '\0')
        memcpy(sum->problem, part->problem, sizeof(sum->problem));
}

static int run_gated(struct run *run, struct load_result *result)
{
    struct load *load = &run->load;
    uint64_t end_ns;
    int err = start_workers(run);

    if (err == 0)
        err = await_connections(run, result);
    else
        atomic_store(&load->abort, true);
    open_gate(load, err == 0);
    if (err == 0)
        await_end(run, result);
    for (unsigned i = 0; i < run->started; i++)
        pthread_join(run->workers[i].thread, NULL);
    if (err < 0)
        return err;
    result->cpu_share = run->cpu_share;
    for (unsigned i = 0; i < run->worker_count; i++)
        add_result(result, &run->workers[i].result);
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
    for (unsigned i = 0; i < run.worker_count; i++)
        load_worker_free(&run.workers[i]);
    free(run.workers);
    pthread_cond_destroy(&run.load.changed);
    pthread_mutex_destroy(&run.load.mutex);
    return err;
}
