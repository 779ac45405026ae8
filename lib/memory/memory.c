/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose memory it is: the C library's, or an allocator's of the program. The one global state of
 * the library; it changes once. */
#include "memory/memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <hyperderp/allocator.h>

#include "memory/sized.h"

/* Chosen by the first allocation, or by hyperderp_set_allocator() before it; NULL until then.
 * Release, so that who sees `given` sees what is in it. */
static _Atomic(const hyperderp_allocator *) chosen;

/* Stands for the C library: its functions are called by their names. */
static const hyperderp_allocator of_libc;

static hyperderp_allocator given;
static atomic_flag given_is_taken = ATOMIC_FLAG_INIT;

static const hyperderp_allocator *allocator(void)
{
    const hyperderp_allocator *current = atomic_load_explicit(&chosen, memory_order_acquire);

    if (!current && atomic_compare_exchange_strong_explicit(
                        &chosen, &current, &of_libc, memory_order_acq_rel, memory_order_acquire))
        return &of_libc;
    return current;
}

int hyperderp_set_allocator(const hyperderp_allocator *from)
{
    hyperderp_allocator copy = {0};
    const hyperderp_allocator *none = NULL;

    int error = sized_read(&copy, sizeof(copy), from);
    if (error)
        return error;
    if (!copy.allocate || !copy.reallocate || !copy.deallocate)
        return -EINVAL;
    if (atomic_load_explicit(&chosen, memory_order_acquire) ||
        atomic_flag_test_and_set_explicit(&given_is_taken, memory_order_relaxed))
        return -EBUSY;
    given = copy;
    return atomic_compare_exchange_strong_explicit(&chosen, &none, &given, memory_order_acq_rel,
                                                   memory_order_relaxed)
               ? 0
               : -EBUSY;
}

void *memory_alloc(size_t size)
{
    const hyperderp_allocator *from = allocator();

    return from == &of_libc ? malloc(size) : from->allocate(from->user, size ? size : 1);
}

void *memory_calloc(size_t count, size_t size)
{
    const hyperderp_allocator *from = allocator();
    size_t bytes;

    if (from == &of_libc)
        return calloc(count, size);
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    bytes = bytes ? bytes : 1;
    if (from->allocate_zeroed)
        return from->allocate_zeroed(from->user, bytes);
    void *block = from->allocate(from->user, bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void *memory_realloc(void *block, size_t size)
{
    const hyperderp_allocator *from = allocator();

    size = size ? size : 1; /* of 0 the C library makes what it likes */
    if (from == &of_libc)
        return realloc(block, size);
    return block ? from->reallocate(from->user, block, size) : from->allocate(from->user, size);
}

void *memory_reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(count, size, &bytes) ? NULL : memory_realloc(block, bytes);
}

char *memory_strndup(const char *text, size_t len)
{
    len = strnlen(text, len);
    char *copy = memory_alloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *memory_strdup(const char *text)
{
    return memory_strndup(text, SIZE_MAX);
}

void memory_free(void *block)
{
    if (!block)
        return; /* that chooses nothing */
    const hyperderp_allocator *from = allocator();
    if (from == &of_libc)
        free(block);
    else
        from->deallocate(from->user, block);
}

/* An allocator of the program's needs no function for aligned blocks: the block that one lies in is
 * noted in front of it. */
void *memory_aligned_alloc(size_t alignment, size_t size)
{
    void *aligned;
    size_t bytes;

    if (allocator() == &of_libc)
        return posix_memalign(&aligned, alignment, size) == 0 ? aligned : NULL;
    if (__builtin_add_overflow(size, alignment, &bytes))
        return NULL;
    char *block = memory_alloc(bytes);
    if (!block)
        return NULL;
    size_t shift = alignment - ((uintptr_t)block & (alignment - 1));
    memcpy(block + shift - sizeof(block), &block, sizeof(block));
    return block + shift;
}

void memory_aligned_free(void *aligned)
{
    void *block;

    if (!aligned)
        return;
    if (allocator() == &of_libc) {
        free(aligned);
        return;
    }
    memcpy(&block, (char *)aligned - sizeof(block), sizeof(block));
    memory_free(block);
}
