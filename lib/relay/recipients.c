/* SPDX-License-Identifier: BSD-3-Clause */
/* Open addressing; the hash is keyed with a secret, so that nobody chooses who collides. */
#include "relay/recipients.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 8

static struct recipient *find(struct recipient *entries, uint32_t capacity,
                              const hyperderp_key *key, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (capacity - 1);

    while (entries[at].serial != 0 &&
           (entries[at].hash != hash || memcmp(&entries[at].key, key, sizeof(*key)) != 0))
        at = (at + 1) & (capacity - 1);
    return &entries[at];
}

/* Returns false when there is no room for one more. */
static bool grow(struct recipients *set)
{
    if (set->count >= RECIPIENTS_MAX)
        return false;
    if (set->count < set->capacity / 4 * 3)
        return true;
    uint32_t capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;
    struct recipient *entries = calloc(capacity, sizeof(*entries));
    if (!entries)
        return set->count + 1 < set->capacity;
    for (uint32_t i = 0; i < set->capacity; i++)
        if (set->entries[i].serial != 0)
            *find(entries, capacity, &set->entries[i].key, set->entries[i].hash) = set->entries[i];
    free(set->entries);
    set->entries = entries;
    set->capacity = capacity;
    return true;
}

void recipients_add(struct recipients *set, const hyperderp_key *key, uint64_t hash,
                    uint64_t serial)
{
    struct recipient *entry = set->capacity ? find(set->entries, set->capacity, key, hash) : NULL;
    if (entry && entry->serial != 0) {
        entry->serial = serial;
        return;
    }
    if (grow(set)) {
        entry = find(set->entries, set->capacity, key, hash);
        set->count++;
    } else if (set->capacity) {
        /* Full: takes the place where the search begins, so that it is found again. What stood
         * there is forgotten. */
        entry = &set->entries[(uint32_t)hash & (set->capacity - 1)];
        set->count += entry->serial == 0;
    } else {
        return;
    }
    *entry = (struct recipient){.hash = hash, .serial = serial, .key = *key};
}

void recipients_destroy(struct recipients *set)
{
    free(set->entries);
    *set = (struct recipients){0};
}
