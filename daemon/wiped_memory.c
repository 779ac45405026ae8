/* SPDX-License-Identifier: BSD-3-Clause */
/* The functions by which libraries take memory and give it back. */
#include "wiped_memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>

static void wipe_and_free(void *memory)
{
    if (memory)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

/* OpenSSL tells where in its code it is. Nothing is NULL, as with its own functions. */

static void *take(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return size > 0 ? malloc(size) : NULL;
}

static void give(void *memory, const char *file, int line)
{
    (void)file, (void)line;
    wipe_and_free(memory);
}

/* realloc() would leave a copy behind. */
static void *take_larger(void *memory, size_t size, const char *file, int line)
{
    size_t before = memory ? malloc_usable_size(memory) : 0;

    if (size > 0 && size <= before)
        return memory;
    void *taken = take(size, file, line);
    if (!taken && size > 0)
        return NULL;
    if (memory && taken)
        memcpy(taken, memory, before);
    wipe_and_free(memory);
    return taken;
}

void wiped_memory_use(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
    /* Refused when OpenSSL has taken memory already, which then stays with malloc(). */
    (void)CRYPTO_set_mem_functions(take, take_larger, give);
}
