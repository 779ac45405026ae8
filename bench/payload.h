/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is inside a test packet: who sent it, its number, when it was due, and bytes that follow
 * from these and from whom it is for, so that the receiver can check every one of them. Sender and
 * receiver are on one machine: its own byte order will do.
 */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_MIN_SIZE 24

struct payload {
    uint32_t sender;   /* number of the connection that sent it */
    uint32_t receiver; /* ... and of the one that it is for; is not in the packet itself */
    uint64_t sequence; /* 1 for the first from that sender */
    uint64_t due_ns;   /* of clock_ns() */
    bool measured;     /* sent in the measured time */
};

/* Writes a packet of size bytes, at least PAYLOAD_MIN_SIZE. */
void payload_write(uint8_t *out, size_t size, const struct payload *payload);

/* Reads a packet that this receiver got, and checks every byte. Returns 0, or -EBADMSG when it is
 * not what payload_write() writes for that size and receiver. */
int payload_read(const uint8_t *in, size_t size, uint32_t receiver, struct payload *payload);

#endif
