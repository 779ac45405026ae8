/* SPDX-License-Identifier: BSD-3-Clause */
/* Pages of keys. */
#include "tls/vault.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define REGION_SIZE 65536

/* The head of a region takes the place of its first object. */
struct vault_region {
    struct vault_region *next;
};

_Static_assert(sizeof(struct vault_region) <= VAULT_OBJECT, "the head takes one object's place");

void vault_init(struct vault *vault)
{
    *vault = (struct vault){0};
    pthread_mutex_init(&vault->lock, NULL);
}

void vault_destroy(struct vault *vault)
{
    while (vault->regions) {
        struct vault_region *region = vault->regions;
        vault->regions = region->next;
        munmap(region, REGION_SIZE);
    }
    pthread_mutex_destroy(&vault->lock);
}

static void put(struct vault *vault, void *object)
{
    memcpy(object, &vault->free, sizeof(vault->free));
    vault->free = object;
}

/* Needs the lock. */
static void grow(struct vault *vault)
{
    uint8_t *memory =
        mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return;
    (void)madvise(memory, REGION_SIZE, MADV_DONTDUMP);
    struct vault_region *region = (struct vault_region *)memory;
    region->next = vault->regions;
    vault->regions = region;
    /* From the back, so that the first to be taken lie in front and untouched pages stay so. */
    for (size_t i = REGION_SIZE / VAULT_OBJECT - 1; i > 0; i--)
        put(vault, memory + i * VAULT_OBJECT);
}

void *vault_take(struct vault *vault)
{
    pthread_mutex_lock(&vault->lock);
    if (!vault->free)
        grow(vault);
    void *object = vault->free;
    if (object)
        memcpy(&vault->free, object, sizeof(vault->free));
    pthread_mutex_unlock(&vault->lock);
    if (object)
        memset(object, 0, sizeof(void *));
    return object;
}

void vault_give(struct vault *vault, void *object)
{
    if (!object)
        return;
    explicit_bzero(object, VAULT_OBJECT);
    pthread_mutex_lock(&vault->lock);
    put(vault, object);
    pthread_mutex_unlock(&vault->lock);
}
