/* SPDX-License-Identifier: BSD-3-Clause */
/* Open addressing; the hash is keyed with a secret, so that nobody chooses who collides. */
#include "relay/recipients.h"

#include <string.h>

#include "memory/memory.h"

#define FIRST_CAPACITY 8

/* The other connections of a key, met on the way to one: they stand behind each other. */
struct others {
    struct recipient *oldest; /* or NULL */
    unsigned count;
};

/* When a sink was made, among those of its worker (sink_new()); about that among those of others,
 * as workers get connections by turns. */
static uint64_t age_of(const struct recipient *recipient)
{
    return recipient->serial & 0xffffffffffff;
}

/* The entry of a connection, or the free place where it belongs. */
static struct recipient *find(struct recipient *entries, uint32_t capacity,
                              const struct recipient *wanted, struct others *others)
{
    uint32_t at = (uint32_t)wanted->hash & (capacity - 1);

    for (; entries[at].serial != 0; at = (at + 1) & (capacity - 1)) {
        if (entries[at].hash != wanted->hash ||
            memcmp(&entries[at].key, &wanted->key, sizeof(wanted->key)) != 0)
            continue;
        if (entries[at].serial == wanted->serial)
            break;
        others->count++;
        if (!others->oldest || age_of(&entries[at]) < age_of(others->oldest))
            others->oldest = &entries[at];
    }
    return &entries[at];
}

/* Doubles the table when it gets full. Without memory it stays as it is. Tells whether it grew. */
static bool grow(struct recipients *set)
{
    uint32_t capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;

    if (set->count < set->capacity / 4 * 3)
        return false;
    struct recipient *entries = memory_calloc(capacity, sizeof(*entries));
    struct others others = {0};
    if (!entries)
        return false;
    for (uint32_t i = 0; i < set->capacity; i++)
        if (set->entries[i].serial != 0)
            *find(entries, capacity, &set->entries[i], &others) = set->entries[i];
    memory_free(set->entries);
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
    struct others others = {0};
    struct recipient *entry = NULL;

    if (set->capacity)
        entry = find(set->entries, set->capacity, recipient, &others);
    if (entry && entry->serial != 0)
        return false;
    if (others.oldest && (alone || others.count >= RECIPIENTS_OF_KEY)) {
        others.oldest->serial = recipient->serial;
        return false;
    }
    bool grew = grow(set);
    if (set->capacity == 0)
        return false;
    /* One place stays free, or the search for somebody unknown would have no end. */
    if (set->count >= RECIPIENTS_MAX || set->count + 1 >= set->capacity)
        evict(set, recipient->hash);
    others = (struct others){0}; /* the table may be another one now */
    *find(set->entries, set->capacity, recipient, &others) = *recipient;
    set->count++;
    return grew;
}

void recipients_destroy(struct recipients *set)
{
    memory_free(set->entries);
    *set = (struct recipients){0};
}
