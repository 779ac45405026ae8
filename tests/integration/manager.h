/* SPDX-License-Identifier: BSD-3-Clause */
/* As much of a service manager as a restart needs: it keeps the sockets that the daemon stores with
 * it, and gives them to the next one, as systemd does. */
#ifndef TESTS_MANAGER_H
#define TESTS_MANAGER_H

#include <stdbool.h>

#include "relay_process.h"

struct manager;

/* Its socket lies in the service's folder. */
struct manager *manager_new(void);
void manager_free(struct manager *manager);

/* Starts the daemon with the service's configuration and what is stored, and returns once it has
 * said that it is ready. */
struct process *manager_start(struct manager *manager);

/* How many sockets are stored, and whether there is one with this in its name. */
unsigned manager_stored(const struct manager *manager);
bool manager_has(const struct manager *manager, const char *part);

#endif
