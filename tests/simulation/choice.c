/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers of a seed. */
#include "choice.h"

#include <string.h>

static uint64_t chance_state, script_state, bytes_state;
static const uint8_t *script_at, *script_end;

/* splitmix64. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void choice_begin(uint64_t seed, const uint8_t *script, size_t len)
{
    uint64_t state = seed;

    chance_state = next(&state);
    script_state = next(&state);
    bytes_state = next(&state);
    script_at = script;
    script_end = script ? script + len : NULL;
}

static uint32_t below_of(uint64_t *state, uint32_t below)
{
    return (uint32_t)((next(state) >> 32) * below >> 32);
}

uint32_t chance_below(uint32_t below)
{
    return below_of(&chance_state, below);
}

/* As many bytes as the number needs. */
uint32_t script_below(uint32_t below)
{
    uint32_t value = 0;

    if (script_at == script_end)
        return below_of(&script_state, below);
    for (uint32_t rest = below - 1; rest > 0 && script_at < script_end; rest >>= 8)
        value = value << 8 | *script_at++;
    return value % below;
}

bool chance_one_in(uint32_t times)
{
    return times > 0 && chance_below(times) == 0;
}

/* The last of the numbers, so that a script of zeros does what is usual. */
bool script_one_in(uint32_t times)
{
    return times > 0 && script_below(times) == times - 1;
}

uint32_t chance_between(uint32_t low, uint32_t high)
{
    return low + chance_below(high - low + 1);
}

uint32_t script_between(uint32_t low, uint32_t high)
{
    return low + script_below(high - low + 1);
}

static uint32_t bits_of(uint32_t max)
{
    uint32_t bits = 0;

    while (bits < 31 && max >> bits > 1)
        bits++;
    return bits;
}

uint32_t chance_size(uint32_t max)
{
    uint32_t size = 1u << chance_below(bits_of(max) + 1);

    size += chance_below(size);
    return size < max ? size : max;
}

uint32_t script_size(uint32_t max)
{
    uint32_t size = 1u << script_below(bits_of(max) + 1);

    size += script_below(size);
    return size < max ? size : max;
}

void choice_bytes(void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        uint64_t value = next(&bytes_state);
        size_t size = len < sizeof(value) ? len : sizeof(value);
        memcpy(at, &value, size);
        at += size;
        len -= size;
    }
}
