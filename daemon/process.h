/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel knows of this process. */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include <stdint.h>

struct process_figures {
    uint64_t resident_bytes, virtual_bytes;
    double cpu_seconds; /* user and system */
    uint64_t open_files, max_files;
    double started; /* seconds since the epoch */
};

/* What cannot be read stays 0. Any thread. */
void process_read(struct process_figures *out);

#endif
