/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program. Seeds run in a process of their own, so that one that ends it is known:
 *   simulate --seeds FROM-TO [--seconds S]   run these, or as many of them as the time allows
 *   simulate --seed N [--verbose]            run one, here; with a trace of what happens
 *   simulate --self-test                     see that the checks find what is wrong
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "report.h"
#include "sabotage.h"
#include "simulation.h"

/* No seed takes so long, not even with a sanitizer on a machine that is busy. */
#define SECONDS_OF_A_SEED 120

/* After so many that have failed it is known that something is wrong. */
#define MAX_FAILED 5

/* Seeds within which each sabotage is found. */
#define SEEDS_OF_A_SABOTAGE 400

struct task {
    uint64_t from, to;
    double seconds; /* 0: no limit */
    bool quiet;
};

/* Shared with the process that runs the seeds. */
struct progress {
    uint64_t seed; /* that runs */
    uint64_t done;
    struct report report;
};

static struct progress *progress;

static double now(void)
{
    struct timespec time;

    /* Not CLOCK_MONOTONIC, which is the simulation's own. */
    timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void run_here(const struct task *task)
{
    double begin = now();

    simulation_prepare();
    for (uint64_t seed = task->from; seed <= task->to; seed++) {
        if (task->seconds > 0 && now() - begin >= task->seconds)
            break;
        progress->seed = seed;
        alarm(SECONDS_OF_A_SEED);
        simulation_run(seed, NULL, 0);
        progress->done++;
        progress->report = report;
    }
}

/* Returns how the process that ran the seeds ended. */
static int run_aside(const struct task *task)
{
    int status;

    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (task->quiet && !freopen("/dev/null", "w", stderr))
            _exit(1);
        report = progress->report;
        run_here(task);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("simulate");
        exit(71);
    }
    return status;
}

static void say_failed(int status)
{
    const char *how = WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a sanitizer's finding";

    printf("not ok - seed %" PRIu64 ": %s; replay it by: simulate --seed %" PRIu64 " --verbose\n",
           progress->seed, how, progress->seed);
}

static void sum_up(double seconds)
{
    const struct report *sum = &progress->report;

    printf("%" PRIu64 " seeds in %.1f s (%.0f/s): %" PRIu64 " connections, %" PRIu64
           " packets sent, %" PRIu64 " came, %" PRIu64 " turns of workers\n",
           progress->done, seconds, (double)progress->done / seconds, sum->connections,
           sum->packets_sent, sum->packets_got, sum->turns);
    for (unsigned i = 0; i < FAULTS; i++)
        printf("  %-24s %" PRIu64 "\n", fault_names[i], sum->faults[i]);
}

static int run_seeds(struct task task)
{
    double begin = now(), seconds = task.seconds;
    unsigned failed = 0;

    while (task.from <= task.to && failed < MAX_FAILED) {
        int status = run_aside(&task);
        if (status == 0)
            break;
        say_failed(status);
        failed++;
        task.from = progress->seed + 1;
        task.seconds = seconds - (now() - begin);
        if (seconds > 0 && task.seconds <= 0)
            break;
    }
    sum_up(now() - begin);
    if (failed == 0)
        printf("ok - %" PRIu64 " seeds\n", progress->done);
    return failed > 0;
}

static int self_test(void)
{
    struct task task = {.from = 1, .to = SEEDS_OF_A_SABOTAGE, .quiet = true};
    int failed = 0;

    for (unsigned i = SABOTAGE_NONE + 1; i < SABOTAGES; i++) {
        sabotage = (enum sabotage)i;
        int status = run_aside(&task);
        bool found = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        failed += !found;
        printf("%s - %s is found", found ? "ok" : "not ok", sabotage_names[i]);
        printf(found ? " with seed %" PRIu64 "\n" : " (seed %" PRIu64 ")\n", progress->seed);
    }
    return failed > 0;
}

static enum sabotage sabotage_of(const char *name)
{
    for (unsigned i = 0; i < SABOTAGES; i++)
        if (strcmp(sabotage_names[i], name) == 0)
            return (enum sabotage)i;
    fprintf(stderr, "simulate: there is no sabotage %s\n", name);
    exit(64);
}

static _Noreturn void usage(void)
{
    fputs("usage: simulate --seeds FROM-TO [--seconds S] | --seed N [--verbose] "
          "[--sabotage NAME] | --self-test\n",
          stderr);
    exit(64);
}

static void read_seeds(struct task *task, const char *text)
{
    char *end;

    task->from = strtoull(text, &end, 10);
    task->to = *end == '-' ? strtoull(end + 1, &end, 10) : task->from;
    if (end == text || *end != '\0')
        usage();
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seeds", required_argument, NULL, 's'},
                                            {"seed", required_argument, NULL, 'n'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"sabotage", required_argument, NULL, 'x'},
                                            {"self-test", no_argument, NULL, 'T'},
                                            {NULL, 0, NULL, 0}};
    struct task task = {.from = 1, .to = 0};
    bool one = false, test = false;

    progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED) {
        perror("simulate");
        return 71;
    }
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'n':
            one = true;
            /* fall through */
        case 's':
            read_seeds(&task, optarg);
            break;
        case 't':
            task.seconds = strtod(optarg, NULL);
            break;
        case 'v':
            report_traces = true;
            break;
        case 'x':
            sabotage = sabotage_of(optarg);
            break;
        case 'T':
            test = true;
            break;
        default:
            usage();
        }
    }
    if (test)
        return self_test();
    if (optind < argc || task.from > task.to)
        usage();
    if (!one)
        return run_seeds(task);
    run_here(&task);
    return 0;
}
