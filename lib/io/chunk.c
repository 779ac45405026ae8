/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of the receive chunks. */
#include "io/chunk.h"

#include <errno.h>
#include <sys/mman.h>

#include "memory/memory.h"

#define STRIDE ((size_t)IO_CHUNK_HEADROOM + IO_CHUNK_SIZE)

int io_chunk_pool_init(struct io_chunk_pool *pool, unsigned count,
                       void (*give_back)(struct io_chunk_pool *, struct io_chunk *))
{
    pool->chunks = memory_calloc(count, sizeof(*pool->chunks));
    if (!pool->chunks)
        return -ENOMEM;
    pool->memory =
        mmap(NULL, count * STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pool->memory == MAP_FAILED) {
        memory_free(pool->chunks);
        pool->chunks = NULL;
        return -ENOMEM;
    }
    pool->count = count;
    pool->free = count;
    pool->give_back = give_back;
    for (unsigned i = 0; i < count; i++)
        pool->chunks[i] = (struct io_chunk){
            .data = pool->memory + i * STRIDE + IO_CHUNK_HEADROOM, .pool = pool, .id = (uint16_t)i};
    return 0;
}

void io_chunk_pool_destroy(struct io_chunk_pool *pool)
{
    if (!pool->chunks)
        return;
    munmap(pool->memory, pool->count * STRIDE);
    memory_free(pool->chunks);
    pool->chunks = NULL;
}
