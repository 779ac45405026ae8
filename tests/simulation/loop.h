/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine of the simulation: lib/io/loop.h over network.h. */
#ifndef SIMULATION_LOOP_H
#define SIMULATION_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop_settings {
    bool completions;      /* as io_uring: everything is told by an event; otherwise as epoll */
    unsigned chunks;       /* receive chunks of a worker, whatever it asks for */
    int max_events;        /* of a turn */
    uint32_t full_one_in;  /* requests for which there is no room */
    uint32_t delay_one_in; /* requests that end later than they could */
    uint32_t delay_ns;     /* and by how much at most */
    uint32_t no_chunk_one_in;
};

void loop_begin(const struct loop_settings *settings);

#endif
