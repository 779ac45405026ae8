/* SPDX-License-Identifier: BSD-3-Clause */
/* Of allocator.h. */
#include "misuse.h"

#include <stdlib.h>

static void *allocate(void *user, size_t bytes)
{
    (void)user;
    return malloc(bytes);
}

static void *reallocate(void *user, void *block, size_t bytes)
{
    (void)user;
    return realloc(block, bytes);
}

static void deallocate(void *user, void *block)
{
    (void)user;
    free(block);
}

MISUSE(hyperderp_set_allocator)
{
    const hyperderp_allocator whole = {.size = sizeof(whole),
                                       .allocate = allocate,
                                       .reallocate = reallocate,
                                       .deallocate = deallocate};
    hyperderp_allocator part;

    assert_int_equal(hyperderp_set_allocator(NULL), -EINVAL);
    part = whole;
    part.size = 0;
    assert_int_equal(hyperderp_set_allocator(&part), -EINVAL);
    part.size = offsetof(hyperderp_allocator, deallocate); /* of a struct that ends before it */
    assert_int_equal(hyperderp_set_allocator(&part), -EINVAL);
    part.size = SIZE_MAX;
    assert_int_equal(hyperderp_set_allocator(&part), -E2BIG);
    part = whole;
    part.allocate = NULL;
    assert_int_equal(hyperderp_set_allocator(&part), -EINVAL);
    part = whole;
    part.reallocate = NULL;
    assert_int_equal(hyperderp_set_allocator(&part), -EINVAL);
    part = whole;
    part.deallocate = NULL;
    assert_int_equal(hyperderp_set_allocator(&part), -EINVAL);

    /* The library has memory of the C library by then, which must not be given to another one. */
    hyperderp_relay_free(misuse_ready_relay());
    assert_int_equal(hyperderp_set_allocator(&whole), -EBUSY);
}
