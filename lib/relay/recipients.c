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

/* Doubles the table when it gets full. Without memory it stays as it is. */
static void grow(struct recipients *set)
{
    uint32_t capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;

    if (set->count < set->capacity / 4 * 3)
        return;
    struct recipient *entries = calloc(capacity, sizeof(*entries));
    if (!entries)
        return;
    for (uint32_t i = 0; i < set->capacity; i++)
        if (set->entries[i].serial != 0)
            *find(entries, capacity, &set->entries[i].key, set->entries[i].hash) = set->entries[i];
    free(set->entries);
    set->entries = entries;
    set->capacity = capacity;
}

/* Frees the entry at a place; those behind it move up, so that each is still found from where its
 * search begins. */
static void remove_at(struct recipients *set, uint32_t hole)
{
    uint32_t mask = set->capacity - 1;

    for (uint32_t at = (hole + 1) & mask; set->entries[at].serial != 0; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)set->entries[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            set->entries[hole] = set->entries[at];
            hole = at;
        }
    }
    set->entries[hole].serial = 0;
    set->count--;
}

/* Makes room in a full set: whoever stands first from a place on, which the new one's secret hash
 * chooses. */
static void evict(struct recipients *set, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (set->capacity - 1);

    while (set->entries[at].serial == 0)
        at = (at + 1) & (set->capacity - 1);
    remove_at(set, at);
}

void recipients_add(struct recipients *set, const hyperderp_key *key, uint64_t hash,
                    uint64_t serial)
{
    struct recipient *entry = set->capacity ? find(set->entries, set->capacity, key, hash) : NULL;

    if (entry && entry->serial != 0) {
        entry->serial = serial;
        return;
    }
    grow(set);
    if (set->capacity == 0)
        return;
    /* One place stays free, or the search for somebody unknown would have no end. */
    if (set->count >= RECIPIENTS_MAX || set->count + 1 >= set->capacity)
        evict(set, hash);
    *find(set->entries, set->capacity, key, hash) =
        (struct recipient){.hash = hash, .serial = serial, .key = *key};
    set->count++;
}

void recipients_destroy(struct recipients *set)
{
    free(set->entries);
    *set = (struct recipients){0};
}
