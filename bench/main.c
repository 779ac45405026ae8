/* SPDX-License-Identifier: BSD-3-Clause */
/* hyper-derp-bench: the command line of the load generator. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "client/client_socket.h"
#include "load.h"
#include "payload.h"
#include "report.h"

#define PROGRAM          "hyper-derp-bench"
#define MAX_PAIRS        100000
#define MAX_THREADS      256
#define MAX_BURST        4096
#define MAX_WRITE        4194304 /* bytes: what each sender's buffer has to hold */
#define MAX_RATE         1e8
#define MAX_SECONDS      86400
#define PROBE_TIMEOUT_MS 5000

static volatile sig_atomic_t stop;

static const char help[] =
    "Usage: " PROGRAM " [OPTION]...\n"
    "Sends packets through a DERP relay between pairs of clients, checks each one that arrives, "
    "and\n"
    "prints how many were delivered and how long they took. Any relay that speaks DERP over plain "
    "TCP\n"
    "will do.\n"
    "\n"
    "  --relay HOST:PORT   the relay (default 127.0.0.1:3340)\n"
    "  --pairs N           pairs of clients (default 10)\n"
    "  --both-ways         both of a pair send; otherwise the first does\n"
    "  --size BYTES        of a packet, 24 to 65536 (default 1400)\n"
    "  --rate PACKETS      packets per second, all pairs together (default 20000);\n"
    "                      0: flat out, as many as the relay takes\n"
    "  --burst FRAMES      packets in each write (default 1)\n"
    "  --duration SECONDS  measured time (default 5)\n"
    "  --warmup SECONDS    before that, not measured (default 1)\n"
    "  --threads N         threads to send and receive with (default 1)\n"
    "  --json              print a JSON object instead of the table\n"
    "  --help              print this text\n"
    "  --version           print the version\n"
    "\n"
    "Ctrl-C ends the run early and prints the figures so far.\n"
    "Exit status: 0; 1 when packets were damaged or misordered or a connection broke (loss is\n"
    "allowed, and shown); 64 wrong usage; 69 no relay answers; 71 the system refused something.\n"
    "\n"
    "Examples:\n"
    "  " PROGRAM "                                 20,000 packets/s to the relay of `make run`\n"
    "  " PROGRAM " --rate 0 --burst 8              as much as the relay can take\n"
    "  " PROGRAM " --pairs 250 --size 200 --rate 50000 --threads 2\n"
    "  " PROGRAM " --relay derp.example.com:3340 --rate 1000 --duration 30 --json\n";

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

__attribute__((format(printf, 1, 2))) static int usage(const char *format, ...)
{
    va_list args;

    fprintf(stderr, PROGRAM ": ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry '" PROGRAM " --help'.\n");
    return EX_USAGE;
}

/* Reads a number between two bounds. 0 or an exit status. */
static int read_number(const char *option, const char *text, double low, double high, double *out)
{
    char *end;

    errno = 0;
    *out = strtod(text, &end);
    if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *out >= low && *out <= high)
        return 0;
    return usage("--%s %s: a number from %.12g to %.12g is expected", option, text, low, high);
}

static int read_count(const char *option, const char *text, unsigned low, unsigned high,
                      unsigned *out)
{
    double number = 0;
    int status = read_number(option, text, low, high, &number);

    *out = (unsigned)number;
    if (status == 0 && (double)*out != number)
        return usage("--%s %s: a whole number is expected", option, text);
    return status;
}

enum option_code {
    OPTION_RELAY = 256,
    OPTION_PAIRS,
    OPTION_BOTH_WAYS,
    OPTION_SIZE,
    OPTION_RATE,
    OPTION_BURST,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_THREADS,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION,
};

static const struct option long_options[] = {
    {"relay", required_argument, NULL, OPTION_RELAY},
    {"pairs", required_argument, NULL, OPTION_PAIRS},
    {"both-ways", no_argument, NULL, OPTION_BOTH_WAYS},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"burst", required_argument, NULL, OPTION_BURST},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

/* Takes one option. -1 to go on, or the status to exit with. */
static int take_option(int option, struct load_options *options, bool *json)
{
    int status = 0;

    switch (option) {
    case OPTION_RELAY:
        options->relay = optarg;
        break;
    case OPTION_PAIRS:
        status = read_count("pairs", optarg, 1, MAX_PAIRS, &options->pairs);
        break;
    case OPTION_BOTH_WAYS:
        options->both_ways = true;
        break;
    case OPTION_SIZE:
        status = read_count("size", optarg, PAYLOAD_MIN_SIZE, FRAME_MAX_PACKET, &options->size);
        break;
    case OPTION_RATE:
        status = read_number("rate", optarg, 0, MAX_RATE, &options->rate);
        break;
    case OPTION_BURST:
        status = read_count("burst", optarg, 1, MAX_BURST, &options->burst);
        break;
    case OPTION_DURATION:
        status = read_number("duration", optarg, 0.1, MAX_SECONDS, &options->duration_s);
        break;
    case OPTION_WARMUP:
        status = read_number("warmup", optarg, 0, MAX_SECONDS, &options->warmup_s);
        break;
    case OPTION_THREADS:
        status = read_count("threads", optarg, 1, MAX_THREADS, &options->threads);
        break;
    case OPTION_JSON:
        *json = true;
        break;
    case OPTION_HELP:
        fputs(help, stdout);
        return 0;
    case OPTION_VERSION:
        puts(PROGRAM " " HYPERDERP_VERSION);
        return 0;
    default: /* getopt_long() has said what is wrong */
        fprintf(stderr, "Try '" PROGRAM " --help'.\n");
        return EX_USAGE;
    }
    return status == 0 ? -1 : status;
}

/* Reads the command line. -1 to go on, or the status to exit with. */
static int take_options(int argc, char **argv, struct load_options *options, bool *json)
{
    int option, status;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        status = take_option(option, options, json);
        if (status >= 0)
            return status;
    }
    if (optind < argc)
        return usage("'%s' is not an option", argv[optind]);
    if ((size_t)options->burst * options->size > MAX_WRITE)
        return usage("--burst times --size must not exceed 4 MiB");
    return -1;
}

/* Every connection takes a file descriptor. 0 or an exit status. */
static int raise_file_limit(const struct load_options *options)
{
    rlim_t needed = (rlim_t)options->pairs * 2 + options->threads + 32;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
        return 0;
    if (limit.rlim_max >= needed) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
            return 0;
    }
    fprintf(stderr,
            PROGRAM ": %u pairs need %llu open files, and %llu are allowed; raise that with "
                    "'ulimit -n', or ask for fewer pairs\n",
            options->pairs, (unsigned long long)needed, (unsigned long long)limit.rlim_max);
    return EX_OSERR;
}

static int unavailable(const char *relay, int err)
{
    if (err == -EINVAL)
        return usage("--relay %s: HOST:PORT is expected", relay);
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

/* Connects once, to learn whether there is a relay, and under which address. 0 or an exit status.
 * */
static int probe_relay(const char *relay, struct sockaddr_storage *address, socklen_t *len)
{
    struct client_options client = {.info = {.version = DERP_PROTOCOL_VERSION}};
    struct client_socket *socket;
    int err;

    err = hyperderp_private_key_generate(&client.private_key);
    if (err < 0) {
        fprintf(stderr, PROGRAM ": no random bytes: %s\n", strerror(-err));
        return EX_OSERR;
    }
    err = client_socket_connect(&socket, relay, &client, PROBE_TIMEOUT_MS);
    if (err < 0)
        return unavailable(relay, err);
    *len = sizeof(*address);
    err = getpeername(client_socket_fd(socket), (struct sockaddr *)address, len) < 0 ? -errno : 0;
    client_socket_close(socket);
    return err < 0 ? unavailable(relay, err) : 0;
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
    struct load_options options = {
        .relay = "127.0.0.1:3340",
        .pairs = 10,
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
    int status = take_options(argc, argv, &options, &json);
    int err;

    if (status >= 0)
        return status;
    status = raise_file_limit(&options);
    if (status == 0)
        status = probe_relay(options.relay, &address, &len);
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
    return report_is_clean(&result) ? 0 : 1;
}
