/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of the command line. */
#include "flags.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "schema.h"

#define DEV_ADDRESS "127.0.0.1:3340"
#define DEV_METRICS "127.0.0.1:9090"

static const char help[] =
    "Usage: hyper-derp -c FILE [FLAG ...]\n"
    "       hyper-derp --dev\n"
    "       hyper-derp --listen ADDRESS [--listen ADDRESS ...]\n"
    "       hyper-derp keygen [--pub FILE]\n"
    "       hyper-derp derpmap -c FILE [--headscale]\n"
    "\n"
    "A DERP relay: passes encrypted packets between VPN peers that cannot reach each other.\n"
    "\n"
    "  -c, --config FILE     the configuration, TOML or YAML by its ending; see\n"
    "                        hyper-derp.toml(5). A flag wins over the file\n"
    "      --check-config    say what is wrong with the configuration, and end\n"
    "      --print-config    print the configuration that is in effect, and end\n"
    "      --dev             try it out: plain TCP on " DEV_ADDRESS ", metrics on\n"
    "                        " DEV_METRICS ", a throw-away key\n"
    "      --listen ADDRESS  without TLS on HOST:PORT, [IPV6]:PORT, :PORT, systemd:NAME or\n"
    "                        unix:/PATH instead of the file's listeners; port 0 is one of the\n"
    "                        kernel's choice, which the log names\n"
    "      --workers N       threads that move packets, 1 to 128 (default: one per usable core)\n"
    "      --engine ENGINE   auto, io_uring or epoll (default: auto)\n"
    "      --takeover        take the place of the daemon that runs with the same "
    "takeover.socket:\n"
    "                        no connection is refused, its clients come here by and by\n"
    "      --log-level LEVEL debug, info, warn or error (default: info)\n"
    "      --version         print the version\n"
    "      --help            print this\n"
    "\n"
    "  keygen                print a new key pair\n"
    "  keygen --pub FILE     print the public key of a key file\n"
    "  derpmap -c FILE       print what a tailnet policy needs to know of this relay, as JSON;\n"
    "                        with --headscale the file that its derp.paths names. A self-signed\n"
    "                        certificate is made where there is none yet: its hash is part of it\n"
    "\n"
    "Without a configuration file there are no metrics and no STUN, and the key is a new one each\n"
    "time.\n"
    "SIGHUP reads the file again. SIGTERM and SIGINT end the daemon: clients are told to come\n"
    "back, what is queued is sent. A second signal ends it at once.\n"
    "\n"
    "Exit status: 0 clean stop, 64 wrong command line, 71 the system refused something,\n"
    "74 a file could not be read or written, 78 configuration.\n";

enum {
    OPT_DEV = 256,
    OPT_LISTEN,
    OPT_WORKERS,
    OPT_ENGINE,
    OPT_LOG_LEVEL,
    OPT_TAKEOVER,
    OPT_VERSION,
    OPT_HELP,
    OPT_CHECK_CONFIG,
    OPT_PRINT_CONFIG,
    OPT_PUB,
    OPT_HEADSCALE,
};

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check-config", no_argument, NULL, OPT_CHECK_CONFIG},
    {"print-config", no_argument, NULL, OPT_PRINT_CONFIG},
    {"dev", no_argument, NULL, OPT_DEV},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"engine", required_argument, NULL, OPT_ENGINE},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"takeover", no_argument, NULL, OPT_TAKEOVER},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {"pub", required_argument, NULL, OPT_PUB},
    {"headscale", no_argument, NULL, OPT_HEADSCALE},
    {NULL, 0, NULL, 0},
};

static int wrong(const char *flag, const char *value, const char *expected)
{
    fprintf(stderr, "hyper-derp: %s %s: expected %s\n", flag, value, expected);
    return STATUS_USAGE;
}

static int hint(void)
{
    fputs("Try 'hyper-derp --help'.\n", stderr);
    return STATUS_USAGE;
}

/* getopt has no words for a flag that does not exist: names the nearest that does. */
static int unknown_flag(const char *typed)
{
    const char *best = NULL;
    unsigned least = UINT32_MAX;
    size_t name = strspn(typed, "-");

    fprintf(stderr, "hyper-derp: %s: no such flag", typed);
    for (const struct option *option = options; option->name && name == 2; option++) {
        unsigned distance = nearest_distance(typed + name, option->name);
        if (distance < least) {
            least = distance;
            best = option->name;
        }
    }
    if (best && nearest_is_near(typed + name, least))
        fprintf(stderr, "; did you mean --%s?", best);
    fputs("\n", stderr);
    return hint();
}

static int parse_workers(struct flags *flags, const char *value)
{
    char *end;
    errno = 0;
    unsigned long workers = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || workers < 1 || workers > 128)
        return wrong("--workers", value, "a number from 1 to 128");
    flags->workers = (unsigned)workers;
    flags->has_workers = true;
    return -1;
}

/* The value of a choice that the schema knows by name; false when it does not. */
static bool choose(const char *section, const char *name, const char *value, int *out)
{
    const struct schema_choice *choice = schema_find(section, name)->choices;

    for (; choice->name; choice++) {
        if (strcmp(choice->name, value) == 0) {
            *out = choice->value;
            return true;
        }
    }
    return false;
}

static int parse_engine(struct flags *flags, const char *value)
{
    int engine;

    if (!choose("io", "engine", value, &engine))
        return wrong("--engine", value, "auto, io_uring or epoll");
    flags->engine = (hyperderp_engine)engine;
    flags->has_engine = true;
    return -1;
}

static int parse_log_level(struct flags *flags, const char *value)
{
    int level;

    if (!choose("", "log_level", value, &level))
        return wrong("--log-level", value, "debug, info, warn or error");
    flags->log_level = (hyperderp_log_level)level;
    flags->has_log_level = true;
    return -1;
}

static int add_listen(struct flags *flags, const char *address)
{
    const char *expected = schema_check_listen(address);

    if (flags->listen_count == FLAGS_MAX_LISTENERS)
        return wrong("--listen", address, "at most 16 of them");
    if (expected)
        return wrong("--listen", address, expected + strlen("expected "));
    flags->listen[flags->listen_count++] = address;
    return -1;
}

static int set_command(struct flags *flags, enum flags_command command)
{
    if (flags->command != COMMAND_RUN && flags->command != command) {
        fputs("hyper-derp: --check-config, --print-config, keygen and derpmap: one of them at a "
              "time\n",
              stderr);
        return STATUS_USAGE;
    }
    flags->command = command;
    return -1;
}

static int apply(struct flags *flags, int option, const char *typed)
{
    switch (option) {
    case 'c':
        flags->config_file = optarg;
        return -1;
    case OPT_CHECK_CONFIG:
        return set_command(flags, COMMAND_CHECK_CONFIG);
    case OPT_PRINT_CONFIG:
        return set_command(flags, COMMAND_PRINT_CONFIG);
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
    case OPT_TAKEOVER:
        flags->takeover = true;
        return -1;
    case OPT_PUB:
        flags->key_file = optarg;
        return -1;
    case OPT_HEADSCALE:
        flags->headscale = true;
        return -1;
    case OPT_VERSION:
        printf("hyper-derp %s\n", hyperderp_version());
        return STATUS_OK;
    case OPT_HELP:
        fputs(help, stdout);
        return STATUS_OK;
    case ':':
        fprintf(stderr, "hyper-derp: %s: needs a value\n", typed);
        return hint();
    default:
        return unknown_flag(typed);
    }
}

static int parse_command(struct flags *flags, const char *word)
{
    if (strcmp(word, "keygen") == 0)
        return set_command(flags, COMMAND_KEYGEN);
    if (strcmp(word, "derpmap") == 0)
        return set_command(flags, COMMAND_DERPMAP);
    fprintf(stderr, "hyper-derp: %s: not expected here\n", word);
    return hint();
}

static int check(const struct flags *flags)
{
    if (flags->key_file && flags->command != COMMAND_KEYGEN) {
        fputs("hyper-derp: --pub: belongs to keygen\n", stderr);
        return STATUS_USAGE;
    }
    if (flags->headscale && flags->command != COMMAND_DERPMAP) {
        fputs("hyper-derp: --headscale: belongs to derpmap\n", stderr);
        return STATUS_USAGE;
    }
    if ((flags->command == COMMAND_CHECK_CONFIG || flags->command == COMMAND_DERPMAP) &&
        !flags->config_file) {
        fprintf(stderr, "hyper-derp: %s: needs a configuration, -c FILE\n",
                flags->command == COMMAND_DERPMAP ? "derpmap" : "--check-config");
        return STATUS_USAGE;
    }
    if (flags->takeover && (flags->command != COMMAND_RUN || !flags->config_file)) {
        fputs("hyper-derp: --takeover: needs a configuration with takeover.socket, -c FILE\n",
              stderr);
        return STATUS_USAGE;
    }
    if (flags->command == COMMAND_RUN && !flags->config_file && !flags->dev &&
        flags->listen_count == 0) {
        fputs("hyper-derp: nowhere to listen: give -c FILE, --dev to try it out, or --listen "
              "ADDRESS\n",
              stderr);
        return hint();
    }
    return -1;
}

int flags_parse(struct flags *flags, int argc, char **argv)
{
    int option, status = -1;

    *flags = (struct flags){.command = COMMAND_RUN};
    optind = 0; /* start anew, also in a test that parses many lines */
    for (;;) {
        int at = optind ? optind : 1;
        option = getopt_long(argc, argv, "+:c:", options, NULL);
        if (option == -1 && optind < argc) {
            status = parse_command(flags, argv[optind++]);
        } else if (option == -1) {
            return check(flags);
        } else {
            status = apply(flags, option, argv[at]);
        }
        if (status >= 0)
            return status;
    }
}

/* The command line's listeners instead of the file's. */
static int replace_listeners(struct config *config, const char *const *addresses, unsigned count)
{
    config_clear_listeners(config);
    for (unsigned i = 0; i < count; i++) {
        struct config_listener *listener = config_add_listener(config);
        char *address = strdup(addresses[i]);
        if (!listener || !address) {
            free(address);
            return -ENOMEM;
        }
        free(listener->address);
        listener->address = address;
        listener->tls = false;
    }
    return 0;
}

static int set_text(char **text, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

int flags_apply(const struct flags *flags, struct config *config)
{
    static const char *const dev[] = {DEV_ADDRESS};
    int error = 0;

    if (flags->has_workers)
        config->workers = flags->workers;
    if (flags->has_engine)
        config->io.engine = flags->engine;
    if (flags->has_log_level)
        config->log_level = flags->log_level;
    if (flags->listen_count > 0)
        error = replace_listeners(config, flags->listen, flags->listen_count);
    else if (flags->dev)
        error = replace_listeners(config, dev, 1);
    if (error == 0 && flags->dev)
        error = set_text(&config->metrics.address, DEV_METRICS);
    else if (error == 0 && !flags->config_file)
        error = set_text(&config->metrics.address, "");
    if (error == 0 && (flags->dev || !flags->config_file))
        error = set_text(&config->stun_address, "");
    if (error == 0 && config->listener_count == 0 && !config_add_listener(config))
        error = -ENOMEM;
    return error;
}
