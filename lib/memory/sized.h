/* SPDX-License-Identifier: BSD-3-Clause */
/* Structs of the public headers that begin with their own size and grow at their end, so that a
 * program and a library of different versions understand each other. */
#ifndef MEMORY_SIZED_H
#define MEMORY_SIZED_H

#include <stddef.h>

/* A struct of any version is smaller: what says more has not been set up. */
#define SIZED_MOST 4096

/*
 * Reads what a caller has given, whose size it begins with, into a struct of this library of
 * out_size bytes, which holds the defaults of what the caller does not know, and says its own size
 * then. As the kernel reads the structs of its system calls, a newer struct is taken if all that is
 * not known here is zero.
 *
 * Returns 0; -EINVAL for NULL or a size that cannot be; -E2BIG for one that asks for more than this
 * library can, or is absurd. out is untouched then.
 */
int sized_read(void *out, size_t out_size, const void *given);

#endif
