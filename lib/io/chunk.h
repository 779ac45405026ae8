/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive chunks: the buffers that a worker reads into. All connections of a worker share one pool,
 * so that an idle connection owns no buffer. Everything here belongs to the thread of one loop.
 */
#ifndef IO_CHUNK_H
#define IO_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#define IO_CHUNK_SIZE 16384

/* In front of each chunk, memory that whoever takes it may write to: for what has come before. Is
 * touched, and so takes up memory, only as far as it is used. */
#define IO_CHUNK_HEADROOM 20480

struct io_chunk_pool;

struct io_chunk {
    uint8_t *data; /* IO_CHUNK_SIZE bytes, behind IO_CHUNK_HEADROOM ones */
    struct io_chunk_pool *pool;
    uint32_t refs; /* 0 while the pool (or the kernel) has it */
    uint16_t id;   /* its place in the pool */
};

struct io_chunk_pool {
    struct io_chunk *chunks;
    uint8_t *memory; /* mapped, touched only where it has been used */
    unsigned count;
    unsigned free; /* chunks that can be read into */
    /* Takes back a chunk that nobody refers to any more: the engine's part. */
    void (*give_back)(struct io_chunk_pool *pool, struct io_chunk *chunk);
};

/* Maps count chunks, all of them taken: the engine gives them to itself. 0 or -ENOMEM. */
int io_chunk_pool_init(struct io_chunk_pool *pool, unsigned count,
                       void (*give_back)(struct io_chunk_pool *, struct io_chunk *));
void io_chunk_pool_destroy(struct io_chunk_pool *pool);

static inline void io_chunk_ref(struct io_chunk *chunk)
{
    chunk->refs++;
}

static inline void io_chunk_unref(struct io_chunk *chunk)
{
    if (--chunk->refs > 0)
        return;
    chunk->pool->free++;
    chunk->pool->give_back(chunk->pool, chunk);
}

#endif
