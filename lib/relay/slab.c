/* SPDX-License-Identifier: BSD-3-Clause */
/* An array that doubles, with a list of free slots through it. */
#include "relay/slab.h"

#include <errno.h>

#include "io/loop.h"
#include "memory/memory.h"

#define NONE UINT32_MAX

void slab_init(struct slab *slab)
{
    *slab = (struct slab){.free = NONE};
}

void slab_destroy(struct slab *slab)
{
    memory_free(slab->slots);
    slab_init(slab);
}

static int slab_grow(struct slab *slab)
{
    uint32_t count = slab->count ? slab->count * 2 : 16;
    struct slab_slot *slots = memory_realloc(slab->slots, count * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = count; i > slab->count; i--) {
        slots[i - 1] = (struct slab_slot){.next_free = slab->free};
        slab->free = i - 1;
    }
    slab->slots = slots;
    slab->count = count;
    return 0;
}

int slab_add(struct slab *slab, void *object, uint32_t *slot, uint32_t *generation)
{
    if (slab->free == NONE && slab_grow(slab) != 0)
        return -ENOMEM;
    *slot = slab->free;
    struct slab_slot *entry = &slab->slots[*slot];
    slab->free = entry->next_free;
    entry->object = object;
    *generation = entry->generation;
    return 0;
}

void slab_remove(struct slab *slab, uint32_t slot)
{
    struct slab_slot *entry = &slab->slots[slot];
    entry->object = NULL;
    entry->generation = (entry->generation + 1) % IO_TOKEN_GENERATIONS;
    entry->next_free = slab->free;
    slab->free = slot;
}

void *slab_find(const struct slab *slab, uint32_t slot, uint32_t generation)
{
    if (slot >= slab->count || slab->slots[slot].generation != generation % IO_TOKEN_GENERATIONS)
        return NULL;
    return slab->slots[slot].object;
}
