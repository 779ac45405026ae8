/* SPDX-License-Identifier: BSD-3-Clause */
/* The clients: who connects, says what, reads how fast, and leaves in what manner. */
#ifndef SIMULATION_PEOPLE_H
#define SIMULATION_PEOPLE_H

#include <stdbool.h>
#include <stdint.h>

#include <hyperderp/key.h>

#define PEOPLE_MAX 8

struct people_settings {
    unsigned count;
    unsigned relays;                 /* that they may connect to */
    const hyperderp_key *relay_keys; /* one each */
    uint32_t rude_one_in;            /* acts that break the protocol */
    uint32_t stranger_one_in;  /* connections that say nothing else than bytes of the script */
    uint32_t leave_one_in;     /* acts that end a connection */
    uint32_t same_key_one_in;  /* connections under somebody else's key */
    uint32_t websocket_one_in; /* connections by WebSocket */
    uint32_t mesh_one_in;      /* connections of mesh partners */
    const uint8_t *mesh_key;
    bool proxied, tls; /* as the listener has it */
    uint32_t max_packet;
    unsigned pause_us; /* at most that long between two acts */
    bool slow;         /* some do not read for a while */
};

/* Computes keys; once. */
void people_make(void);

void people_begin(const struct people_settings *settings);

/* Whoever's time has come acts. False when nobody's has. */
bool people_act(void);

/* When the next one's time comes. */
int64_t people_next(void);

/* From now on they only read, answer nothing, and do not come back. */
void people_go_home(void);

/* All have left; frees them. */
void people_end(void);

const hyperderp_key *people_key(unsigned client);

/* Of this simulation: the first so many. */
unsigned people_count(void);

#endif
