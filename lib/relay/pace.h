/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_rate: a client that sends faster is read more slowly, unless it is a mesh partner. What
 * has come is passed on, and then the connection is not read until its bucket has filled up again;
 * TCP tells the client.
 *
 * The bucket is kept as the time at which it will be full. What is taken moves that time on by what
 * it takes at the rate to come back; the bucket is empty when that time lies as far ahead as the
 * burst takes. So there is one number, and nothing to be filled up while nothing happens.
 */
#ifndef RELAY_PACE_H
#define RELAY_PACE_H

#include <stddef.h>
#include <stdint.h>

struct conn;

struct pace {
    int64_t full_at;   /* ns */
    int64_t resume_at; /* when reading goes on; 0: it has not stopped */
    int64_t paused_at; /* since when it has stopped */
};

/* Takes so many bytes of the DERP stream from the client's bucket. An overdraft of at most a
 * receive chunk is paid by waiting. */
void pace_charge(struct conn *conn, size_t bytes);

#endif
