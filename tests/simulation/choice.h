/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whatever a simulation leaves open is decided here, by a seed. There are two streams, so that one
 * may be exchanged: what people do (the script: clients and the embedder), and what the machine
 * does (chance: the kernel's results, faults, and who runs next). The script may be bytes, of a
 * fuzzer for example; when they are used up, the seed goes on.
 */
#ifndef SIMULATION_CHOICE_H
#define SIMULATION_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins anew; script may be NULL, and must stay until the simulation has ended. */
void choice_begin(uint64_t seed, const uint8_t *script, size_t len);

/* A number below `below`, which is at least 1. */
uint32_t chance_below(uint32_t below);
uint32_t script_below(uint32_t below);

/* True once in so many times; never for 0. */
bool chance_one_in(uint32_t times);
bool script_one_in(uint32_t times);

/* From low up to and with high. */
uint32_t chance_between(uint32_t low, uint32_t high);
uint32_t script_between(uint32_t low, uint32_t high);

/* Often small, rarely large: every power of two up to max is equally likely. At least 1. */
uint32_t chance_size(uint32_t max);
uint32_t script_size(uint32_t max);

/* What the program takes for random bytes: a stream of its own, so that keys and nonces decide
 * nothing else. */
void choice_bytes(void *out, size_t len);

#endif
