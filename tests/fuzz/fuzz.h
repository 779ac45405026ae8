/* SPDX-License-Identifier: BSD-3-Clause */
/* What every fuzz target needs: the entry point, and an assertion that NDEBUG does not remove. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Memory of exactly this size, so that a read behind its end is found. The caller frees it. */
static inline void *fuzz_copy(const void *bytes, size_t size)
{
    void *copy = calloc(1, size ? size : 1);

    REQUIRE(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

#endif
