/* SPDX-License-Identifier: BSD-3-Clause */
/* Open addressing; the hash is keyed with a secret, so that nobody chooses who collides. */
#include "relay/recipients.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 8

/* The entry of a connection, or the free place where it belongs. *other becomes another connection
 * of the same key, if one is met on the way. */
static struct recipient *find(struct recipient *entries, uint32_t capacity,
                              const struct recipient *wanted, struct recipient **other)
{
    uint32_t at = (uint32_t)wanted->hash & (capacity - 1);

    for (; entries[at].serial != 0; at = (at + 1) & (capacity - 1)) {
        if (entries[at].hash != wanted->hash ||
            memcmp(&entries[at].key, &wanted->key, sizeof(wanted->key)) != 0)
            continue;
        if (entries[at].serial == wanted->serial)
            break;
        *other = &entries[at];
    }
    return &entries[at];
}

/* Doubles the table when it gets full. Without memory it stays as it is. Tells whether it grew. */
static bool grow(struct recipients *set)
{
    uint32_t capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;

    if (set->count < set->capacity / 4 * 3)
        return false;
    struct recipient *entries = calloc(capacity, sizeof(*entries)), *other;
    if (!entries)
        return false;
    for (uint32_t i = 0; i < set->capacity; i++)
        if (set->entries[i].serial != 0)
            *find(entries, capacity, &set->entries[i], &other) = set->entries[i];
    free(set->entries);
    set->entries = entries;
    set->capacity = capacity;
    return true;
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

bool recipients_add(struct recipients *set, const struct recipient *recipient, bool alone)
{
    struct recipient *other = NULL, *entry = NULL;

    if (set->capacity)
        entry = find(set->entries, set->capacity, recipient, &other);
    if (entry && entry->serial != 0)
        return false;
    if (alone && other) {
        other->serial = recipient->serial;
        return false;
    }
    bool grew = grow(set);
    if (set->capacity == 0)
        return false;
    /* One place stays free, or the search for somebody unknown would have no end. */
    if (set->count >= RECIPIENTS_MAX || set->count + 1 >= set->capacity)
        evict(set, recipient->hash);
    *find(set->entries, set->capacity, recipient, &other) = *recipient;
    set->count++;
    return grew;
}

void recipients_destroy(struct recipients *set)
{
    free(set->entries);
    *set = (struct recipients){0};
}
