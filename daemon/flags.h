/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line. */
#ifndef DAEMON_FLAGS_H
#define DAEMON_FLAGS_H

#include <stdbool.h>

#include <hyperderp/relay.h>

#define FLAGS_MAX_LISTENERS 16

/* Exit statuses, after sysexits.h. */
enum exit_status {
    STATUS_OK = 0,
    STATUS_USAGE = 64,  /* the command line */
    STATUS_SYSTEM = 71, /* the system refused something: a socket, memory, a thread */
    STATUS_CONFIG = 78, /* the configuration */
};

struct flags {
    const char *listen[FLAGS_MAX_LISTENERS];
    unsigned listen_count;
    bool dev;
    unsigned workers; /* 0: one per usable core */
    hyperderp_engine engine;
    hyperderp_log_level log_level;
};

/* Reads the command line. Returns -1 when the daemon shall run; otherwise the exit status, with
 * everything that was to be said printed already. */
int flags_parse(struct flags *flags, int argc, char **argv);

#endif
