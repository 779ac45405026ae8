/* SPDX-License-Identifier: BSD-3-Clause */
/* The first connection of a run, which tells what is there. */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include <sys/socket.h>

#include "load.h"

/* Connects once, to learn whether there is a relay, under which address, and as which process;
 * prepares TLS before that. Sets options->tls, which is the caller's to free in any case,
 * server_name and relay_pid. 0, or an exit status when it has said why not. */
int probe_relay(struct load_options *options, struct sockaddr_storage *address, socklen_t *len);

#endif
