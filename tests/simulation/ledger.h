/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was sent, and what has come of it. A packet tells which connection sent it, as which one, to
 * whom, and has bytes that follow from that: so each that comes is known to be whole, to be meant
 * for its receiver, to come once, and in its order.
 */
#ifndef SIMULATION_LEDGER_H
#define SIMULATION_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections of a simulation. */
#define LEDGER_CONNS 512

/* The least that a packet of each kind has: shorter ones of data are not told apart. */
#define LEDGER_MIN_DATA  24
#define LEDGER_MIN_DISCO 96
#define LEDGER_MAX_DISCO 1200

/* What a connection has got last of each other one, data and disco. */
struct ledger_inbox {
    uint32_t last[LEDGER_CONNS][2];
};

void ledger_begin(void);
void ledger_end(void);

/* Numbers a connection of the client with this index. LEDGER_CONNS when there are too many. */
unsigned ledger_connect(unsigned client);

/* It has sent something that is no packet of the ledger: what seems to be one of its client's may
 * be anything. */
void ledger_break(unsigned conn);

/* Writes the bytes of the next packet of a connection. */
void ledger_send(unsigned conn, unsigned to, bool disco, uint8_t *out, size_t len);

/* Looks at one that has come to a client from another one; a failure when it is none that can come
 * there now. */
void ledger_receive(struct ledger_inbox *inbox, unsigned client, unsigned from,
                    const uint8_t *bytes, size_t len);

uint64_t ledger_sent(void);
uint64_t ledger_received(void);

#endif
