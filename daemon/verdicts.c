/* SPDX-License-Identifier: BSD-3-Clause */
/* Sets of a few places each, found by a hash. */
#include "verdicts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PLACES 8
#define SETS   (VERDICTS_MAX / PLACES)

/* An IPv6 address with the name of an interface; longer ones are not remembered. */
#define SOURCE_SIZE 64

struct place {
    hyperderp_key key;
    char source[SOURCE_SIZE];
    int64_t until; /* 0: free */
    uint8_t verdict;
};

struct verdicts {
    uint64_t seed; /* so that a client that makes keys cannot choose their set */
    struct place places[SETS][PLACES];
};

struct verdicts *verdicts_new(void)
{
    struct verdicts *verdicts = calloc(1, sizeof(*verdicts));

    if (verdicts && getrandom(&verdicts->seed, sizeof(verdicts->seed), 0) < 0)
        verdicts->seed = (uint64_t)(uintptr_t)verdicts;
    return verdicts;
}

void verdicts_free(struct verdicts *verdicts)
{
    free(verdicts);
}

static size_t set_of(const struct verdicts *verdicts, const hyperderp_key *key)
{
    uint64_t hash = verdicts->seed, part;

    for (size_t i = 0; i < sizeof(key->bytes); i += sizeof(part)) {
        memcpy(&part, key->bytes + i, sizeof(part));
        hash = (hash ^ part) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 29;
    }
    return (hash >> 32) % SETS;
}

static bool is_of(const struct place *place, const hyperderp_key *key, const char *source)
{
    return place->until != 0 && hyperderp_key_equal(&place->key, key) &&
           strcmp(place->source, source) == 0;
}

int verdicts_find(const struct verdicts *verdicts, const hyperderp_key *key, const char *source,
                  int64_t now)
{
    const struct place *set = verdicts->places[set_of(verdicts, key)];

    for (size_t i = 0; i < PLACES; i++)
        if (is_of(&set[i], key, source) && set[i].until > now)
            return set[i].verdict;
    return -1;
}

void verdicts_put(struct verdicts *verdicts, const hyperderp_key *key, const char *source,
                  int verdict, int64_t until)
{
    struct place *set = verdicts->places[set_of(verdicts, key)], *at = &set[0];

    if (strlen(source) >= SOURCE_SIZE)
        return;
    for (size_t i = 0; i < PLACES; i++) {
        if (is_of(&set[i], key, source)) {
            at = &set[i];
            break;
        }
        if (set[i].until < at->until)
            at = &set[i];
    }
    *at = (struct place){.key = *key, .until = until, .verdict = (uint8_t)verdict};
    memcpy(at->source, source, strlen(source) + 1);
}

void verdicts_clear(struct verdicts *verdicts)
{
    memset(verdicts->places, 0, sizeof(verdicts->places));
}
