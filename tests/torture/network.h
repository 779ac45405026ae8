/* SPDX-License-Identifier: BSD-3-Clause */
/* Two network namespaces and a bad way between them. This program and the daemons that it starts
 * are in the one, as 10.99.0.1; clients can be in the other, as 10.99.0.2. Each packet between them
 * passes through a thread that loses it, holds it up, sends it twice, flips a bit in it, or lets
 * only small ones pass: what tc-netem(8) does where the kernel has it. */
#ifndef TESTS_NETWORK_H
#define TESTS_NETWORK_H

#include "matrix.h"

#define NETWORK_RELAY "10.99.0.1"

/* What happens to packets, in either direction. All zeros: nothing. */
struct impairment {
    unsigned lost_permille, twice_permille, flipped_permille;
    unsigned delay_us, jitter_us; /* jitter lets packets overtake each other */
    unsigned largest;             /* bytes of a packet that passes, 0: any */
    bool cut;                     /* nothing passes, and nobody is told */
};

struct network_figures {
    uint64_t passed, lost, twice, flipped, overtaken, too_large, cut;
};

/* Before main() has made a thread. False, and says why, where this is not possible. */
bool network_make(void);

void network_impair(const struct impairment *impairment);

/* Since the last call. */
struct network_figures network_figures(void);

/* Takes the relay's link down, or up again. */
void network_link(bool up);

/* Whether what the calling thread opens from now on is among the clients. */
void network_enter_clients(bool among);

#endif
