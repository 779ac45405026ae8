/* SPDX-License-Identifier: BSD-3-Clause */
/* malloc() and its like as the library sees them. */
#include "memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "report.h"
#include "sabotage.h"
#include "schedule.h"

/* What memory holds that nobody has written to yet, and that was freed. */
#define FRESH_BYTE 0xa5
#define FREED_BYTE 0xdd

#define FIRST_BUCKETS 4096

void *__wrap_malloc(size_t size);
void *__real_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);
void __real_free(void *memory);

/* Where an allocation was asked for, as an address in the program that addr2line understands. */
extern const char __executable_start;

struct allocation {
    void *memory; /* NULL: free; REMOVED: was taken */
    size_t size;
    const char *caller;
};
#define REMOVED ((void *)1)

static struct allocation *table; /* open addressing */
static size_t buckets, used /* with those removed */, live;
static uint32_t fail_one_in;
static bool spares;

void *world_alloc(size_t size)
{
    void *memory = __real_calloc(1, size ? size : 1);

    if (!memory)
        abort();
    return memory;
}

void *world_grow(void *memory, size_t size)
{
    memory = __real_realloc(memory, size);
    if (!memory)
        abort();
    return memory;
}

void world_free(void *memory)
{
    __real_free(memory);
}

static struct allocation *place_of(const void *memory)
{
    size_t at = ((uintptr_t)memory >> 4) * 0x9e3779b97f4a7c15 & (buckets - 1);

    while (table[at].memory && table[at].memory != memory)
        at = (at + 1) & (buckets - 1);
    return &table[at];
}

static void put(void *memory, size_t size, const char *caller)
{
    struct allocation *allocation = place_of(memory);

    *allocation = (struct allocation){.memory = memory, .size = size, .caller = caller};
    used++;
    live++;
}

static void make_room(void)
{
    struct allocation *before = table;
    size_t count = buckets;

    if (used * 2 < buckets)
        return;
    buckets = live * 4 > FIRST_BUCKETS ? buckets * 2 : FIRST_BUCKETS;
    table = world_alloc(buckets * sizeof(*table));
    used = live = 0;
    for (size_t i = 0; i < count; i++)
        if (before[i].memory && before[i].memory != REMOVED)
            put(before[i].memory, before[i].size, before[i].caller);
    world_free(before);
}

void memory_begin(uint32_t one_in)
{
    if (buckets > 0)
        memset(table, 0, buckets * sizeof(*table));
    used = live = 0;
    make_room();
    fail_one_in = one_in;
}

void memory_set_failures(uint32_t one_in)
{
    fail_one_in = one_in;
}

void memory_spare(bool clients_act)
{
    spares = clients_act;
}

void memory_end(void)
{
    fail_one_in = 0;
    for (size_t i = 0; live > 0 && i < buckets; i++)
        if (table[i].memory && table[i].memory != REMOVED)
            report_failure("%zu allocations are left, one of %zu bytes made near %#tx of the "
                           "program",
                           live, table[i].size, table[i].caller - &__executable_start);
}

static bool fails(void)
{
    if ((spares && !schedule_in_thread()) || !chance_one_in(fail_one_in))
        return false;
    report_fault(FAULT_NO_MEMORY);
    trace("no memory");
    errno = ENOMEM;
    return true;
}

static void *allocated(void *memory, size_t size, const char *caller)
{
    if (!memory)
        abort();
    make_room();
    put(memory, size, caller);
    return memory;
}

/* Returns its size; what is not ours (of another library) is none of ours. */
static size_t forget(void *memory)
{
    struct allocation *allocation = buckets > 0 ? place_of(memory) : NULL;

    if (!allocation || !allocation->memory)
        return 0;
    allocation->memory = REMOVED;
    live--;
    return allocation->size;
}

void *__wrap_malloc(size_t size)
{
    if (fails())
        return NULL;
    void *memory = allocated(__real_malloc(size), size, __builtin_return_address(0));
    memset(memory, FRESH_BYTE, size);
    return memory;
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (fails())
        return NULL;
    return allocated(__real_calloc(count, size), count * size, __builtin_return_address(0));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails())
        return NULL;
    if (memory)
        (void)forget(memory);
    return allocated(__real_realloc(memory, size), size, __builtin_return_address(0));
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
    return __wrap_realloc(memory, count * size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    if (fails())
        return NULL;
    void *memory =
        allocated(__real_aligned_alloc(alignment, size), size, __builtin_return_address(0));
    memset(memory, FRESH_BYTE, size);
    return memory;
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    if (fails())
        return ENOMEM;
    int error = __real_posix_memalign(out, alignment, size);
    if (error == 0)
        allocated(*out, size, __builtin_return_address(0));
    return error;
}

char *__wrap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;

    if (fails())
        return NULL;
    char *copy = allocated(__real_malloc(size), size, __builtin_return_address(0));
    memcpy(copy, text, size);
    return copy;
}

void __wrap_free(void *memory)
{
    if (!memory || sabotage_now(SABOTAGE_LEAK))
        return;
    size_t size = forget(memory);
    if (size > 0)
        memset(memory, FREED_BYTE, size);
    __real_free(memory);
}
