/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line. */
#ifndef DAEMON_FLAGS_H
#define DAEMON_FLAGS_H

#include <stdbool.h>

#include "config.h"

#define FLAGS_MAX_LISTENERS 16

/* Exit statuses, after sysexits.h. */
enum exit_status {
    STATUS_OK = 0,
    STATUS_USAGE = 64,  /* the command line */
    STATUS_SYSTEM = 71, /* the system refused something: a socket, memory, a thread */
    STATUS_IO = 74,     /* a file could not be read or written */
    STATUS_CONFIG = 78, /* the configuration */
};

enum flags_command {
    COMMAND_RUN,
    COMMAND_CHECK_CONFIG,
    COMMAND_PRINT_CONFIG,
    COMMAND_KEYGEN,
    COMMAND_DERPMAP,
};

struct flags {
    enum flags_command command;
    const char *config_file; /* or NULL */
    const char *key_file;    /* keygen --pub, or NULL */
    bool headscale;          /* derpmap --headscale */
    const char *listen[FLAGS_MAX_LISTENERS];
    unsigned listen_count;
    bool dev;
    bool takeover; /* of the process that runs */
    bool has_workers, has_engine, has_log_level;
    unsigned workers;
    hyperderp_engine engine;
    hyperderp_log_level log_level;
};

/* Reads the command line. Returns -1 when there is something to do; otherwise the exit status, with
 * everything that was to be said printed already. */
int flags_parse(struct flags *flags, int argc, char **argv);

/* Puts what the command line says over what the file says, and the default listener where neither
 * names one. 0 or -ENOMEM. */
int flags_apply(const struct flags *flags, struct config *config);

#endif
