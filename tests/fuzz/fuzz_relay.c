/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whole connections, and the relay behind them, in the world of tests/simulation: clients that
 * connect, join, send, say nonsense, stop reading, leave and reset, an embedder that admits, closes
 * and drains, in any order. The first four bytes are the seed of what the machine does (short reads
 * and writes, late completions, want of memory, who runs next), the others are the script of what
 * people do. What is checked is what a simulation checks: among it that framing never breaks, that
 * packets received are delivered or dropped, and that nothing is left at the end.
 */
#include "../simulation/simulation.h"
#include <stdbool.h>

#include "fuzz.h"

#define SEED_SIZE 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool prepared;
    uint32_t seed = 0;

    if (!prepared)
        simulation_prepare();
    prepared = true;
    if (size < SEED_SIZE)
        return -1; /* not worth keeping */
    memcpy(&seed, data, SEED_SIZE);
    simulation_run(seed, data + SEED_SIZE, size - SEED_SIZE);
    return 0;
}
