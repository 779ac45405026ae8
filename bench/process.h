/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The CPU time and memory of the relay's process, when it runs on this machine. Found by its
 * listening socket, through /proc/net/tcp and the descriptors of processes that may be looked at.
 */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct process_sample {
    uint64_t at_ns;  /* of clock_ns() */
    uint64_t cpu_ns; /* user and system time of all its threads since its start */
    uint64_t rss;    /* bytes, 0 when it could not be read */
};

/* Finds who listens at an address. 0, -ENOENT when nobody that can be seen does, or another
 * negative errno. */
int process_find_listener(const struct sockaddr *address, pid_t *pid);

/* 0, or a negative errno: -ESRCH when there is no such process. */
int process_sample(pid_t pid, struct process_sample *out);

/* The same without the memory, which takes long to count in a large process; rss is left alone. */
int process_sample_cpu(pid_t pid, struct process_sample *out);

/* Reads one line of /proc/net/tcp or tcp6. True, and the socket's inode, when it is a socket that
 * listens for connections to this address. */
bool process_parse_listener(const char *line, const struct sockaddr *address, unsigned long *inode);

/* The command name of a process, as in /proc/PID/comm; "" when it cannot be read. */
void process_name(pid_t pid, char *name, size_t room);

#endif
