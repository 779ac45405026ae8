/* SPDX-License-Identifier: BSD-3-Clause */
/* hyper-derp-bench: finds the relay, runs the load, prints what came of it. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "client/client_socket.h"
#include "command_line.h"
#include "figures.h"
#include "load.h"
#include "process.h"
#include "report.h"

#define PROBE_TIMEOUT_MS 5000

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

static int unavailable(const char *relay, int err)
{
    if (err == -EINVAL) {
        fprintf(stderr, PROGRAM ": --relay %s: HOST:PORT is expected\nTry '" PROGRAM " --help'.\n",
                relay);
        return EX_USAGE;
    }
    if (err == -EPROTO)
        fprintf(stderr,
                PROGRAM ": what answers at %s is not a DERP relay over plain TCP (if it speaks "
                        "TLS: this program does not)\n",
                relay);
    else if (err == -ENOENT)
        fprintf(stderr, PROGRAM ": %s: no such host or port\n", relay);
    else
        fprintf(stderr,
                PROGRAM ": no DERP relay answers at %s (%s)\n"
                        "Start one with 'make run' in another terminal, or name one with "
                        "--relay HOST:PORT.\n",
                relay, strerror(-err));
    return EX_UNAVAILABLE;
}

/* Tells whether both ends of a connection have one address: then the relay is on this machine. */
static bool is_local(int fd, const struct sockaddr_storage *peer)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);

    if (getsockname(fd, (struct sockaddr *)&own, &len) < 0 || own.ss_family != peer->ss_family)
        return false;
    if (own.ss_family == AF_INET)
        return ((struct sockaddr_in *)&own)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)peer)->sin_addr.s_addr;
    return own.ss_family == AF_INET6 &&
           memcmp(&((struct sockaddr_in6 *)&own)->sin6_addr,
                  &((const struct sockaddr_in6 *)peer)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

/* Connects once, to learn whether there is a relay, under which address, and as which process. 0 or
 * an exit status. */
static int probe_relay(struct load_options *options, struct sockaddr_storage *address,
                       socklen_t *len)
{
    struct client_options client = {.info = {.version = DERP_PROTOCOL_VERSION}};
    struct client_socket *socket;
    struct process_sample sample;
    int err;

    if (options->relay_pid != 0 && process_sample_cpu(options->relay_pid, &sample) < 0) {
        fprintf(stderr, PROGRAM ": --relay-pid %ld: there is no such process\n",
                (long)options->relay_pid);
        return EX_USAGE;
    }
    err = hyperderp_private_key_generate(&client.private_key);
    if (err < 0) {
        fprintf(stderr, PROGRAM ": no random bytes: %s\n", strerror(-err));
        return EX_OSERR;
    }
    err = client_socket_connect(&socket, options->relay, &client, PROBE_TIMEOUT_MS);
    if (err < 0)
        return unavailable(options->relay, err);
    *len = sizeof(*address);
    err = getpeername(client_socket_fd(socket), (struct sockaddr *)address, len) < 0 ? -errno : 0;
    if (err == 0 && options->relay_pid == 0 && is_local(client_socket_fd(socket), address) &&
        process_find_listener((struct sockaddr *)address, &options->relay_pid) < 0)
        options->relay_pid = 0;
    client_socket_close(socket);
    return err < 0 ? unavailable(options->relay, err) : 0;
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
    if (status != 0)
        return status;
    catch_signals();
    err = load_run(&options, (struct sockaddr *)&address, len, &stop,
                   shows_progress ? report_progress : no_progress, stderr, &result);
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
