/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads the command line of hyper-derp-bench. */
#include "command_line.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include <hyperderp/version.h>

#include "payload.h"
#include "wire/frame.h"

#define MAX_PEERS   200000
#define MAX_BURST   4096
#define MAX_WRITE   4194304 /* bytes in one write */
#define MAX_RATE    1e8
#define MAX_SECONDS 86400
#define MAX_PID     4194304

static const char help[] =
    "Usage: " PROGRAM " [OPTION]...\n"
    "Sends packets through a DERP relay between clients of its own, checks each one that arrives,\n"
    "and prints how many were delivered and how long they took. Any relay that speaks DERP will\n"
    "do, over plain TCP or TLS 1.3.\n"
    "\n"
    "  --relay HOST:PORT   the relay (default 127.0.0.1:3340)\n"
    "  --tls               over TLS; its certificate must be for HOST and trusted by the system\n"
    "  --ca FILE           ... or by the certificates in this file instead\n"
    "  --pin CERTNAME      ... or be this one: sha256-raw:HEX, as CertName in a DERPMap\n"
    "  --insecure          any certificate will do\n"
    "  --server-name NAME  it must be for NAME, and NAME is asked for\n"
    "  --cipher SUITE      offer this alone, such as TLS_AES_128_GCM_SHA256\n"
    "  --pairs N           pairs of clients (default 10); the first of each sends to the second\n"
    "  --peers N           the same in clients, two a pair\n"
    "  --both-ways         both of a pair send\n"
    "  --random            no pairs: each client sends each packet to a random other one\n"
    "  --idle N            clients more that only keep their connection; with --peers 0 alone\n"
    "  --size BYTES        of a packet, 24 to 65536 (default 1400)\n"
    "  --rate PACKETS      packets per second, all clients together (default 20000);\n"
    "                      0: flat out, as many as the relay takes\n"
    "  --burst FRAMES      packets in each write (default 1)\n"
    "  --duration SECONDS  measured time (default 5)\n"
    "  --warmup SECONDS    before that, not measured (default 1)\n"
    "  --threads N         threads to send and receive with (default 1)\n"
    "  --cores LIST        one thread on each of these cores, such as 1,3 or 4-7\n"
    "  --relay-pid PID     the relay's process, for its CPU time and memory; a relay on this\n"
    "                      machine is found without, given the right to look\n"
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
    "  " PROGRAM " --peers 500 --both-ways --size 200 --rate 50000 --cores 2,3\n"
    "  " PROGRAM " --peers 5000 --random           everybody to everybody\n"
    "  " PROGRAM " --peers 0 --idle 5000           what an idle connection costs\n"
    "  " PROGRAM " --relay derp.example.com:443 --tls --rate 1000 --duration 30 --json\n";

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

/* Reads the number of a core, and moves text behind it. */
static int read_core(const char **text, unsigned *core)
{
    unsigned long number;
    char *end;

    if (**text < '0' || **text > '9')
        return -EINVAL;
    number = strtoul(*text, &end, 10);
    *text = end;
    *core = (unsigned)number;
    return number < CPU_SETSIZE ? 0 : -EINVAL;
}

int command_line_read_cores(const char *text, struct load_options *options)
{
    unsigned first, last, count = 0;

    do {
        if (read_core(&text, &first) < 0)
            return -EINVAL;
        last = first;
        if (*text == '-') {
            text++;
            if (read_core(&text, &last) < 0)
                return -EINVAL;
        }
        if (last < first)
            return -EINVAL;
        for (unsigned core = first; core <= last; core++) {
            if (count == LOAD_MAX_CORES)
                return -EINVAL;
            options->cores[count++] = core;
        }
    } while (*text++ == ',');
    if (text[-1] != '\0')
        return -EINVAL;
    options->core_count = options->threads = count;
    return 0;
}

enum option_code {
    OPTION_RELAY = 256,
    OPTION_PAIRS,
    OPTION_PEERS,
    OPTION_BOTH_WAYS,
    OPTION_RANDOM,
    OPTION_IDLE,
    OPTION_SIZE,
    OPTION_RATE,
    OPTION_BURST,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_THREADS,
    OPTION_CORES,
    OPTION_RELAY_PID,
    OPTION_TLS,
    OPTION_CA,
    OPTION_PIN,
    OPTION_INSECURE,
    OPTION_SERVER_NAME,
    OPTION_CIPHER,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION,
};

static const struct option long_options[] = {
    {"relay", required_argument, NULL, OPTION_RELAY},
    {"pairs", required_argument, NULL, OPTION_PAIRS},
    {"peers", required_argument, NULL, OPTION_PEERS},
    {"both-ways", no_argument, NULL, OPTION_BOTH_WAYS},
    {"random", no_argument, NULL, OPTION_RANDOM},
    {"idle", required_argument, NULL, OPTION_IDLE},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"burst", required_argument, NULL, OPTION_BURST},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"cores", required_argument, NULL, OPTION_CORES},
    {"relay-pid", required_argument, NULL, OPTION_RELAY_PID},
    {"tls", no_argument, NULL, OPTION_TLS},
    {"ca", required_argument, NULL, OPTION_CA},
    {"pin", required_argument, NULL, OPTION_PIN},
    {"insecure", no_argument, NULL, OPTION_INSECURE},
    {"server-name", required_argument, NULL, OPTION_SERVER_NAME},
    {"cipher", required_argument, NULL, OPTION_CIPHER},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

/* Takes an option on who sends to whom. 0 or an exit status. */
static int take_traffic(int option, struct load_options *options)
{
    int status = 0;

    switch (option) {
    case OPTION_PAIRS:
        status = read_count("pairs", optarg, 0, MAX_PEERS / 2, &options->peers);
        options->peers *= 2;
        break;
    case OPTION_PEERS:
        status = read_count("peers", optarg, 0, MAX_PEERS, &options->peers);
        break;
    case OPTION_IDLE:
        status = read_count("idle", optarg, 0, MAX_PEERS, &options->idle);
        break;
    case OPTION_BOTH_WAYS:
    case OPTION_RANDOM:
        if (options->traffic != LOAD_ONE_WAY)
            return usage("one of --both-ways and --random is expected, and once");
        options->traffic = option == OPTION_RANDOM ? LOAD_RANDOM : LOAD_BOTH_WAYS;
        break;
    }
    return status;
}

/* Takes an option on threads and processes. 0 or an exit status. */
static int take_process(int option, struct load_options *options)
{
    unsigned number = 0;
    int status;

    if (option == OPTION_CORES)
        return command_line_read_cores(optarg, options) == 0
                   ? 0
                   : usage("--cores %s: a list of cores is expected, such as 1,3-5", optarg);
    if (option == OPTION_RELAY_PID) {
        status = read_count("relay-pid", optarg, 1, MAX_PID, &number);
        options->relay_pid = (pid_t)number;
        return status;
    }
    options->core_count = 0;
    return read_count("threads", optarg, 1, LOAD_MAX_CORES, &options->threads);
}

/* Takes an option on whom to believe. 0 or an exit status. */
static int take_verification(int option, struct tls_client_options *tls)
{
    if (tls->verification != TLS_VERIFY_CHAIN || tls->ca_file != NULL)
        return usage("one of --ca, --pin and --insecure is expected, and once");
    if (option == OPTION_CA)
        tls->ca_file = optarg;
    else
        tls->verification = option == OPTION_PIN ? TLS_VERIFY_PIN : TLS_VERIFY_NOTHING;
    if (option == OPTION_PIN && tls_pin_parse(optarg, tls->pin) < 0)
        return usage("--pin %s: sha256-raw: and 64 hexadecimal digits are expected", optarg);
    return 0;
}

/* Takes an option on TLS. 0 or an exit status. */
static int take_tls(int option, struct load_options *options)
{
    switch (option) {
    case OPTION_TLS:
        options->over_tls = true;
        return 0;
    case OPTION_SERVER_NAME:
        options->server_name = optarg;
        return 0;
    case OPTION_CIPHER:
        options->tls_options.suites = optarg;
        return 0;
    default:
        return take_verification(option, &options->tls_options);
    }
}

/* Takes one option. -1 to go on, or the status to exit with. */
static int take_option(int option, struct load_options *options, bool *json)
{
    int status = 0;

    switch (option) {
    case OPTION_RELAY:
        options->relay = optarg;
        break;
    case OPTION_PAIRS:
    case OPTION_PEERS:
    case OPTION_IDLE:
    case OPTION_BOTH_WAYS:
    case OPTION_RANDOM:
        status = take_traffic(option, options);
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
    case OPTION_CORES:
    case OPTION_RELAY_PID:
        status = take_process(option, options);
        break;
    case OPTION_TLS:
    case OPTION_CA:
    case OPTION_PIN:
    case OPTION_INSECURE:
    case OPTION_SERVER_NAME:
    case OPTION_CIPHER:
        status = take_tls(option, options);
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

/* Checks what no single option shows. -1 to go on, or the status to exit with. */
static int check(const struct load_options *options)
{
    if (options->peers + options->idle == 0)
        return usage("there are no clients: give --pairs, --peers or --idle");
    if (options->traffic == LOAD_RANDOM && options->peers == 1)
        return usage("--random needs at least two clients");
    if (options->traffic != LOAD_RANDOM && options->peers % 2 != 0)
        return usage("--peers %u: clients come in pairs, but for --random", options->peers);
    if ((size_t)options->burst * options->size > MAX_WRITE)
        return usage("--burst times --size must not exceed 4 MiB");
    if (!options->over_tls &&
        (options->tls_options.verification != TLS_VERIFY_CHAIN || options->tls_options.ca_file ||
         options->tls_options.suites || options->server_name))
        return usage("--ca, --pin, --insecure, --server-name and --cipher go with --tls");
    return -1;
}

int command_line_read(int argc, char **argv, struct load_options *options, bool *json)
{
    int option, status;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        status = take_option(option, options, json);
        if (status >= 0)
            return status;
    }
    if (optind < argc)
        return usage("'%s' is not an option", argv[optind]);
    return check(options);
}
