/* SPDX-License-Identifier: BSD-3-Clause */
/* A client that sends numbered packets to another at a rate, and goes on through faults in which
 * packets may be lost. What arrives must be whole and in order all the same. */
#ifndef TESTS_FLOW_H
#define TESTS_FLOW_H

#include "traffic.h"

struct flow;

struct flow_figures {
    uint32_t sent, received;
    int64_t recovered_us; /* from the call of flow_stop() to the first packet sent after it */
    int64_t at_most_us;   /* that a packet was on its way */
    int64_t silence_us;   /* the longest time without a packet */
    bool sender_ended, receiver_ended; /* the relay, or the network, has ended the connection */
};

/* Both ends join at once, from where the calling thread is. */
struct flow *flow_start(const char *address, unsigned rate, size_t len);

/* The sender and the receiver from different networks: takes over both. */
struct flow *flow_between(struct client_socket *from, struct client_socket *to, unsigned rate,
                          size_t len);

/* Waits until a packet that is sent from now on has arrived, or an end of the flow has ended, and
 * ends it. Prints and returns what it saw; fails when a packet was damaged or out of order, or when
 * nothing arrives. */
struct flow_figures flow_stop(struct flow *flow, const char *what);

/* So far. */
uint32_t flow_received(struct flow *flow);
bool flow_has_ended(struct flow *flow);

#endif
