/* SPDX-License-Identifier: BSD-3-Clause */
/* Daemons that start under a restriction: the test program starts itself, takes the restriction on
 * and becomes the daemon. */
#ifndef TESTS_LAUNCH_H
#define TESTS_LAUNCH_H

#include "relay_process.h"

/* What is not asked for is 0 or NULL. */
struct restriction {
    long address_space_kib; /* RLIMIT_AS */
    int no_io_uring;        /* what io_uring_setup() fails with */
    const char *cgroup;     /* a file into which the process writes itself */
    const char *preload;    /* a library before all others */
    const char *log;        /* a file for standard error, which is then not seen by the test */
};

/* First thing in main(): returns only where this is not such a start. */
void launch_main(int argc, char **argv);

/* Starts the daemon with the configuration file of service.h; does not wait for it. */
struct process *launch(const struct restriction *restriction);

/* The same, and waits until it is ready. */
struct process *launch_ready(const struct restriction *restriction);

#endif
