/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue of bytes in one piece. */
#ifndef SIMULATION_BYTES_H
#define SIMULATION_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"

struct bytes {
    uint8_t *memory;
    size_t begin, end, room;
};

static inline size_t bytes_count(const struct bytes *bytes)
{
    return bytes->end - bytes->begin;
}

static inline uint8_t *bytes_data(struct bytes *bytes)
{
    return bytes->memory ? bytes->memory + bytes->begin : NULL;
}

/* Room for so many more; returns where they go. bytes_grew() then says how many came. */
static inline uint8_t *bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->begin == bytes->end)
        bytes->begin = bytes->end = 0;
    if (bytes->room - bytes->end < more && bytes->begin > 0) {
        memmove(bytes->memory, bytes_data(bytes), bytes_count(bytes));
        bytes->end -= bytes->begin;
        bytes->begin = 0;
    }
    if (bytes->room - bytes->end < more) {
        bytes->room = bytes->end + more + bytes->room;
        bytes->memory = world_grow(bytes->memory, bytes->room);
    }
    return bytes->memory ? bytes->memory + bytes->end : NULL;
}

static inline void bytes_grew(struct bytes *bytes, size_t more)
{
    bytes->end += more;
}

static inline void bytes_add(struct bytes *bytes, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(bytes_reserve(bytes, size), data, size);
    bytes_grew(bytes, size);
}

static inline void bytes_take(struct bytes *bytes, size_t size)
{
    bytes->begin += size;
}

static inline void bytes_clear(struct bytes *bytes)
{
    world_free(bytes->memory);
    *bytes = (struct bytes){0};
}

#endif
