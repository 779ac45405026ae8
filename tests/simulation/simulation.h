/* SPDX-License-Identifier: BSD-3-Clause */
/* One simulation: a relay from its start to its end, in a world that a seed decides. */
#ifndef SIMULATION_SIMULATION_H
#define SIMULATION_SIMULATION_H

#include <stddef.h>
#include <stdint.h>

/* Once in a process. */
void simulation_prepare(void);

/* Runs from start to end; a fault that is found ends the process by SIGABRT. script: what clients
 * and the embedder do, see choice.h; or NULL. */
void simulation_run(uint64_t seed, const uint8_t *script, size_t len);

#endif
