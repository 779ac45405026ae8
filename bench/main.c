/* SPDX-License-Identifier: BSD-3-Clause */
/* hyper-derp-bench: looks for the relay, runs the load, prints what came of it. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "command_line.h"
#include "figures.h"
#include "load.h"
#include "probe.h"
#include "report.h"

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

/* The first signal ends the run, the second the program. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Every connection takes a file descriptor. 0 or an exit status. */
static int raise_file_limit(const struct load_options *options)
{
    rlim_t needed = (rlim_t)load_connections(options) + options->threads + 32;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
        return 0;
    if (limit.rlim_max >= needed) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
            return 0;
    }
    fprintf(stderr,
            PROGRAM ": %u connections need %llu open files, and %llu are allowed; raise that with "
                    "'ulimit -n', or ask for fewer\n",
            load_connections(options), (unsigned long long)needed,
            (unsigned long long)limit.rlim_max);
    return EX_OSERR;
}

static void no_progress(void *user, const struct load_progress *progress)
{
    (void)user;
    (void)progress;
}

/* Says why no load ran; returns the exit status. */
static int not_run(const struct load_result *result, int err)
{
    if (err == -EINTR) {
        fprintf(stderr, PROGRAM ": interrupted before anything was measured\n");
        return 1;
    }
    fprintf(stderr, PROGRAM ": %s\n",
            result->problem[0] != '\0' ? result->problem : strerror(-err));
    if (result->broken > 0)
        return 1;
    return result->problem[0] != '\0' ? EX_UNAVAILABLE : EX_OSERR;
}

int main(int argc, char **argv)
{
    static struct load_result result; /* its histograms are large */
    static struct load_options options = {
        .relay = "127.0.0.1:3340",
        .peers = 20,
        .size = 1400,
        .rate = 20000,
        .burst = 1,
        .duration_s = 5,
        .warmup_s = 1,
        .threads = 1,
    };
    struct sockaddr_storage address;
    socklen_t len;
    bool json = false, shows_progress = isatty(STDERR_FILENO) != 0;
    int status = command_line_read(argc, argv, &options, &json);
    int err;

    if (status >= 0)
        return status;
    status = raise_file_limit(&options);
    if (status == 0)
        status = probe_relay(&options, &address, &len);
    if (status != 0) {
        tls_client_free(options.tls);
        return status;
    }
    catch_signals();
    err = load_run(&options, (struct sockaddr *)&address, len, &stop,
                   shows_progress ? report_progress : no_progress, stderr, &result);
    tls_client_free(options.tls);
    if (shows_progress)
        report_progress_end(stderr);
    if (err < 0)
        return not_run(&result, err);
    if (json)
        err = report_json(stdout, &options, &result);
    else
        report_table(stdout, &options, &result);
    if (err < 0 || fflush(stdout) != 0) {
        fprintf(stderr, PROGRAM ": the report could not be written: %s\n",
                strerror(err < 0 ? -err : errno));
        return EX_OSERR;
    }
    return figures_are_clean(&result) ? 0 : 1;
}
