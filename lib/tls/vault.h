/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for the keys of connections: kept out of core dumps (MADV_DONTDUMP), wiped when it is
 * given back. Objects of one size, as there are many and all alike. Any thread.
 */
#ifndef TLS_VAULT_H
#define TLS_VAULT_H

#include <pthread.h>

#define VAULT_OBJECT 192 /* bytes */

struct vault_region;

struct vault {
    pthread_mutex_t lock; /* a leaf; guards what follows */
    struct vault_region *regions;
    void *free; /* objects, each with the address of the next in its first bytes */
};

void vault_init(struct vault *vault);
/* Unmaps all; no object may be in use. */
void vault_destroy(struct vault *vault);

/* An object of zeros, aligned for anything; NULL without memory. */
void *vault_take(struct vault *vault);

/* Wipes an object and takes it back. NULL is allowed. */
void vault_give(struct vault *vault, void *object);

#endif
