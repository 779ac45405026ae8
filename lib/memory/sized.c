/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading of structs that begin with their size. */
#include "memory/sized.h"

#include <errno.h>
#include <string.h>

int sized_read(void *out, size_t out_size, const void *given)
{
    const char *bytes = given;
    size_t size;

    if (!given)
        return -EINVAL;
    memcpy(&size, given, sizeof(size));
    if (size < sizeof(size))
        return -EINVAL;
    if (size > SIZED_MOST)
        return -E2BIG;
    for (size_t at = out_size; at < size; at++)
        if (bytes[at] != 0)
            return -E2BIG;
    memcpy(out, given, size < out_size ? size : out_size);
    memcpy(out, &out_size, sizeof(out_size));
    return 0;
}
