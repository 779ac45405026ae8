/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's heap: allocations that may fail, and that are all given back at the end. */
#ifndef SIMULATION_MEMORY_H
#define SIMULATION_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From now on allocations are counted; one in fail_one_in fails, none for 0. */
void memory_begin(uint32_t fail_one_in);
void memory_set_failures(uint32_t fail_one_in);

/* Clients, who use parts of the library too, have all the memory that they want. */
void memory_spare(bool clients_act);

/* Everything that was allocated since has been freed; otherwise a failure. */
void memory_end(void);

/* The simulation's own, which never fails and is not counted. */
void *world_alloc(size_t size); /* zeroed */
void *world_grow(void *memory, size_t size);
void world_free(void *memory);

#endif
