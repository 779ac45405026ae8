/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of the command line. */
#include "flags.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEV_ADDRESS "127.0.0.1:3340"

static const char help[] =
    "Usage: hyper-derp --dev\n"
    "       hyper-derp --listen ADDRESS [--listen ADDRESS ...]\n"
    "\n"
    "A DERP relay: passes encrypted packets between VPN peers that cannot reach each other.\n"
    "\n"
    "      --dev             try it out: plain TCP on " DEV_ADDRESS ", a throw-away key\n"
    "      --listen ADDRESS  plain TCP on HOST:PORT, [IPV6]:PORT or :PORT; port 0 is one of\n"
    "                        the kernel's choice, which the log names\n"
    "      --workers N       threads that move packets, 1 to 128 (default: one per usable core)\n"
    "      --engine ENGINE   auto, io_uring or epoll (default: auto)\n"
    "      --log-level LEVEL debug, info, warn or error (default: info)\n"
    "      --version         print the version\n"
    "      --help            print this\n"
    "\n"
    "SIGTERM and SIGINT end it: clients are told to come back, what is queued is sent. A second\n"
    "signal ends it at once.\n"
    "\n"
    "Exit status: 0 clean stop, 64 wrong command line, 71 the system refused something,\n"
    "78 configuration.\n";

enum { OPT_DEV = 256, OPT_LISTEN, OPT_WORKERS, OPT_ENGINE, OPT_LOG_LEVEL, OPT_VERSION, OPT_HELP };

static const struct option options[] = {
    {"dev", no_argument, NULL, OPT_DEV},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {"config", required_argument, NULL, 'c'},
    {NULL, 0, NULL, 0},
};

static int wrong(const char *flag, const char *value, const char *expected)
{
    fprintf(stderr, "hyper-derp: %s %s: expected %s\n", flag, value, expected);
    return STATUS_USAGE;
}

static int parse_workers(struct flags *flags, const char *value)
{
    char *end;
    errno = 0;
    unsigned long workers = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || workers < 1 || workers > 128)
        return wrong("--workers", value, "a number from 1 to 128");
    flags->workers = (unsigned)workers;
    return -1;
}

static int parse_engine(struct flags *flags, const char *value)
{
    static const hyperderp_engine engines[] = {HYPERDERP_ENGINE_AUTO, HYPERDERP_ENGINE_IO_URING,
                                               HYPERDERP_ENGINE_EPOLL};
    for (unsigned i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
        if (strcmp(value, hyperderp_engine_name(engines[i])) == 0) {
            flags->engine = engines[i];
            return -1;
        }
    }
    return wrong("--engine", value, "auto, io_uring or epoll");
}

static int parse_log_level(struct flags *flags, const char *value)
{
    static const struct {
        const char *name;
        hyperderp_log_level level;
    } levels[] = {{"error", HYPERDERP_LOG_ERROR},
                  {"warn", HYPERDERP_LOG_WARN},
                  {"info", HYPERDERP_LOG_INFO},
                  {"debug", HYPERDERP_LOG_DEBUG}};
    for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(value, levels[i].name) == 0) {
            flags->log_level = levels[i].level;
            return -1;
        }
    }
    return wrong("--log-level", value, "debug, info, warn or error");
}

static int add_listen(struct flags *flags, const char *address)
{
    if (flags->listen_count == FLAGS_MAX_LISTENERS)
        return wrong("--listen", address, "at most 16 of them");
    flags->listen[flags->listen_count++] = address;
    return -1;
}

static int apply(struct flags *flags, int option)
{
    switch (option) {
    case OPT_DEV:
        flags->dev = true;
        return -1;
    case OPT_LISTEN:
        return add_listen(flags, optarg);
    case OPT_WORKERS:
        return parse_workers(flags, optarg);
    case OPT_ENGINE:
        return parse_engine(flags, optarg);
    case OPT_LOG_LEVEL:
        return parse_log_level(flags, optarg);
    case OPT_VERSION:
        printf("hyper-derp %s\n", hyperderp_version());
        return STATUS_OK;
    case OPT_HELP:
        fputs(help, stdout);
        return STATUS_OK;
    case 'c':
        fprintf(stderr,
                "hyper-derp: -c %s: configuration files are not in this build yet; use "
                "--dev or --listen\n",
                optarg);
        return STATUS_CONFIG;
    default:
        fputs("Try 'hyper-derp --help'.\n", stderr);
        return STATUS_USAGE;
    }
}

int flags_parse(struct flags *flags, int argc, char **argv)
{
    int option;

    *flags = (struct flags){.log_level = HYPERDERP_LOG_INFO};
    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        int status = apply(flags, option);
        if (status >= 0)
            return status;
    }
    if (optind < argc) {
        fprintf(stderr, "hyper-derp: %s: not expected here\nTry 'hyper-derp --help'.\n",
                argv[optind]);
        return STATUS_USAGE;
    }
    if (flags->dev && flags->listen_count == 0)
        return add_listen(flags, DEV_ADDRESS);
    if (flags->listen_count == 0) {
        fputs("hyper-derp: nowhere to listen: give --dev to try it out, or --listen ADDRESS\n"
              "Try 'hyper-derp --help'.\n",
              stderr);
        return STATUS_USAGE;
    }
    return -1;
}
