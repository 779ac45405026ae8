/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Slots with generations: gives an object a small number that a completion can carry, and tells
 * later whether the number still means that object. Belongs to one thread.
 */
#ifndef RELAY_SLAB_H
#define RELAY_SLAB_H

#include <stdint.h>

struct slab_slot {
    void *object;        /* NULL while the slot is free */
    uint32_t generation; /* changes each time the slot is given up */
    uint32_t next_free;
};

struct slab {
    struct slab_slot *slots;
    uint32_t count;
    uint32_t free; /* head of the list of free slots, UINT32_MAX when there is none */
};

void slab_init(struct slab *slab);
void slab_destroy(struct slab *slab);

/* Puts an object into a slot. 0, or -ENOMEM. */
int slab_add(struct slab *slab, void *object, uint32_t *slot, uint32_t *generation);
void slab_remove(struct slab *slab, uint32_t slot);

/* The object, or NULL when the slot's generation (compared modulo IO_TOKEN_GENERATIONS) is
 * another. */
void *slab_find(const struct slab *slab, uint32_t slot, uint32_t generation);

#endif
