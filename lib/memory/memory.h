/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All memory of the library that is not mapped: malloc() and its like, or the functions that the
 * program around it has given (hyperderp/allocator.h). As those of the C library with the same
 * names, but that they leave errno alone; any thread. What they return is given back by
 * memory_free(), what memory_aligned_alloc() returns by memory_aligned_free(), and nothing else by
 * either.
 */
#ifndef MEMORY_MEMORY_H
#define MEMORY_MEMORY_H

#include <stddef.h>

/* Lets the analyzer of gcc see what is lost, or freed twice. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define MEMORY_FREED_BY(function) __attribute__((malloc, malloc(function, 1)))
#else
#define MEMORY_FREED_BY(function) __attribute__((malloc))
#endif

void memory_free(void *block);
void memory_aligned_free(void *block);

void *memory_realloc(void *block, size_t size) __attribute__((alloc_size(2), warn_unused_result));
void *memory_reallocarray(void *block, size_t count, size_t size)
    __attribute__((alloc_size(2, 3), warn_unused_result));
void *memory_alloc(size_t size) __attribute__((alloc_size(1), warn_unused_result))
MEMORY_FREED_BY(memory_free);
void *memory_calloc(size_t count, size_t size) __attribute__((alloc_size(1, 2), warn_unused_result))
MEMORY_FREED_BY(memory_free);
char *memory_strdup(const char *text) __attribute__((warn_unused_result))
MEMORY_FREED_BY(memory_free);
char *memory_strndup(const char *text, size_t len) __attribute__((warn_unused_result))
MEMORY_FREED_BY(memory_free);

/* alignment is a power of two, and at least that of any type. */
void *memory_aligned_alloc(size_t alignment, size_t size)
    __attribute__((alloc_align(1), alloc_size(2), warn_unused_result))
    MEMORY_FREED_BY(memory_aligned_free);

#endif
