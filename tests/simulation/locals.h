/* SPDX-License-Identifier: BSD-3-Clause */
/* Local peers: the embedder itself is a client, under the keys of clients that are not there. */
#ifndef SIMULATION_LOCALS_H
#define SIMULATION_LOCALS_H

#include <hyperderp/hyperderp.h>

void locals_begin(void);

/* Some are there from the beginning. */
void locals_begin_with(hyperderp_relay *relay, unsigned number);

/* Adds one to a relay, has one send, or removes one. */
void locals_act(hyperderp_relay *relay, unsigned number);

/* Those that are left have gone with their relays. */
void locals_end(void);

/* Whether a client's key is a local peer's of this relay. */
bool locals_have(unsigned number, unsigned client);

#endif
