/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults of the simulation itself, one at a time, by which a test sees that its checks find them.
 */
#ifndef SIMULATION_SABOTAGE_H
#define SIMULATION_SABOTAGE_H

#include <stdbool.h>

enum sabotage {
    SABOTAGE_NONE,
    SABOTAGE_LOSE_COMPLETION, /* of a send */
    SABOTAGE_LOSE_WAKE,       /* of a worker */
    SABOTAGE_LOSE_BYTE,       /* of what the relay sends */
    SABOTAGE_FLIP_BIT,        /* there */
    SABOTAGE_SEND_TWICE,      /* what the relay sends */
    SABOTAGE_SWAP,            /* two packets that come to a client */
    SABOTAGE_LOSE_PACKET,     /* that has come to a client */
    SABOTAGE_LEAK,            /* memory that is freed */
    SABOTAGE_LEAVE_OPEN,      /* a socket that is closed */
    SABOTAGE_KEEP_CHUNK,      /* a receive chunk that is given back */
    SABOTAGE_CLOSE_EARLY,     /* a socket that a request still names */
    SABOTAGES
};

/* The one of this simulation. */
extern enum sabotage sabotage;
extern const char *const sabotage_names[SABOTAGES];

/* Whether to do it now. */
bool sabotage_now(enum sabotage which);

#endif
