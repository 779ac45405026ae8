/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file allocator.h
 * Where the library's memory comes from: malloc() and its like, or functions of yours.
 */
#ifndef HYPERDERP_ALLOCATOR_H
#define HYPERDERP_ALLOCATOR_H

#include <stddef.h>

#include <hyperderp/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Functions that give memory to the library. Set `size`, and all else to zero, before filling it
 * in.
 *
 * Any thread of the process may call them, several at once, also workers in the midst of packets.
 * They must not call this library. What they return is aligned for any type, as malloc()'s is; NULL
 * means that there is no memory: what needed it then fails with -ENOMEM, or is refused and counted.
 */
typedef struct hyperderp_allocator {
    size_t size; /**< bytes of this struct in the header you compiled with */
    void *user;  /**< passed to each of the functions as it is */

    /** Returns `bytes` bytes, at least 1, whatever they hold. */
    void *(*allocate)(void *user, size_t bytes);

    /** The same, of zeros; NULL: what allocate() returns is set to zero. */
    void *(*allocate_zeroed)(void *user, size_t bytes);

    /** Makes a block, never NULL, `bytes` bytes large, at least 1, where it is or elsewhere, and
     * keeps what it holds; on failure it returns NULL and leaves the block as it is. */
    void *(*reallocate)(void *user, void *block, size_t bytes);

    /** Takes a block back, never NULL. */
    void (*deallocate)(void *user, void *block);
} hyperderp_allocator;

/**
 * Has the whole library, in this process, take its memory from functions of yours. To be called
 * once, before any other function of the library that needs memory: hyperderp_relay_new(), those
 * that make certificates, and so on. There is no way back.
 *
 * Under it is what the library itself allocates, also what it returns to be freed by a function of
 * its own, such as hyperderp_peers_free() and hyperderp_pem_free(): all of it is given back when
 * all relays, certificates and lists are freed. Not under it: what OpenSSL, libsodium, jansson,
 * liburing, wslay, libipsec-mb and the C library (names that are resolved, threads and their
 * stacks) allocate for themselves; and what is mapped: receive buffers, 2 MiB of addresses for each
 * worker, and the keys of a relay's connections, which are kept out of core dumps. The keys of a
 * hyperderp_client are under it, and wiped before they are given back.
 *
 * @param allocator  the functions; the struct is copied.
 * @return 0; -EINVAL for NULL, or a struct without allocate, reallocate or deallocate; -E2BIG for a
 *         struct of a newer header with a field set that this library does not know; -EBUSY when
 *         the library has allocated something already, or has an allocator. Any thread may call it.
 */
HYPERDERP_API int hyperderp_set_allocator(const hyperderp_allocator *allocator);

#ifdef __cplusplus
}
#endif

#endif
