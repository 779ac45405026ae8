/* SPDX-License-Identifier: BSD-3-Clause */
/* The program around the relay: its callbacks, and what it does to a relay that runs. */
#ifndef SIMULATION_EMBEDDER_H
#define SIMULATION_EMBEDDER_H

#include <stdbool.h>

#include <hyperderp/hyperderp.h>

void embedder_begin(void);

/* Sets the callbacks of a relay, and the limits that the script chooses. */
void embedder_set_up(hyperderp_relay_options *options, unsigned number);

/* Does something to the relay. */
void embedder_act(hyperderp_relay *relay, unsigned number);

/* What must be true at any time. */
void embedder_look(const hyperderp_relay *relay);

/* Answers what is still to be answered, once no more is asked. */
void embedder_answer_all(void);

/* Each key that came has gone; otherwise a failure. */
void embedder_end(void);

#endif
