/* SPDX-License-Identifier: BSD-3-Clause */
/* The relay's links to the other nodes of its region. */
#ifndef RELAY_MESH_H
#define RELAY_MESH_H

#include <pthread.h>

#include "relay/link.h"

#define MESH_MAX_LINKS 64

struct mesh {
    /* Guards what follows, and of the links what link.h says. Before a sink's lock and that of a
     * mailbox. */
    pthread_mutex_t lock;
    struct link *links; /* in the order in which they were added */
    unsigned count, added;
};

void mesh_init(struct mesh *mesh);
void mesh_destroy(struct mesh *mesh); /* all workers have ended */

/* The worker runs: its links begin. The worker stops: they let go of all. */
void mesh_start(struct worker *worker);
void mesh_stop(struct worker *worker);

#endif
