/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive chunks: memory of their own, and given back once, by the last reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "io/chunk.h"

#define COUNT 16

static unsigned given_back[COUNT];

static void note(struct io_chunk_pool *pool, struct io_chunk *chunk)
{
    assert_ptr_equal(chunk->pool, pool);
    assert_int_equal(chunk->refs, 0);
    given_back[chunk->id]++;
}

/* What an engine does when it has read into a chunk. */
static struct io_chunk *take(struct io_chunk_pool *pool, unsigned id)
{
    pool->chunks[id].refs = 1;
    pool->free--;
    return &pool->chunks[id];
}

static void memory_is_their_own(void **state)
{
    struct io_chunk_pool pool;

    (void)state;
    assert_int_equal(io_chunk_pool_init(&pool, COUNT, note), 0);
    assert_int_equal(pool.count, COUNT);
    assert_int_equal(pool.free, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(pool.chunks[i].id, i);
        assert_int_equal(pool.chunks[i].refs, 0);
        memset(pool.chunks[i].data, (int)i, IO_CHUNK_SIZE);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(pool.chunks[i].data[0], i);
        assert_int_equal(pool.chunks[i].data[IO_CHUNK_SIZE - 1], i);
    }
    io_chunk_pool_destroy(&pool);
    io_chunk_pool_destroy(&pool);
}

static void given_back_by_the_last_reference(void **state)
{
    struct io_chunk_pool pool;

    (void)state;
    memset(given_back, 0, sizeof(given_back));
    assert_int_equal(io_chunk_pool_init(&pool, COUNT, note), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        struct io_chunk *chunk = take(&pool, i);

        for (unsigned ref = 0; ref < i; ref++)
            io_chunk_ref(chunk);
        for (unsigned ref = 0; ref < i; ref++) {
            io_chunk_unref(chunk);
            assert_int_equal(given_back[i], 0);
            assert_int_equal(pool.free, COUNT - 1);
        }
        io_chunk_unref(chunk);
        assert_int_equal(given_back[i], 1);
        assert_int_equal(pool.free, COUNT);
    }
    io_chunk_pool_destroy(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_their_own),
        cmocka_unit_test(given_back_by_the_last_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
