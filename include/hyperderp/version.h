/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file version.h
 * The version of libhyperderp, what it can do here, and the macros of its symbol visibility.
 *
 * The shared library is libhyperderp.so.N, N being HYPERDERP_ABI_VERSION. What a version may do:
 *
 * - N goes up, in a new MAJOR version (before 1.0: a new MINOR one), when a program that was built
 *   against an older header would misbehave with the newer library: a function is gone, or takes or
 *   does something else; a struct without a size field has another layout, one with a size field
 *   another field where there was one; a constant has another number. HYPERDERP_ABI_SINCE is the
 *   version that brought N: what was built against its headers, or later ones, runs.
 * - A MINOR version may add: functions, fields at the end of structs that begin with their size,
 *   constants behind those of an enum (so a program needs a default for numbers that it does not
 *   know), meaning for a flag that had to be 0. What compiled goes on compiling.
 * - A PATCH version adds nothing and changes nothing of the headers but its own number.
 *
 * Symbols have versions (lib/libhyperderp.map): HYPERDERP_0.1 has all of 0.1. A later MINOR version
 * names the functions that it adds in a node of its own, which follows the one before it:
 *
 *     HYPERDERP_0.2 { global: hyperderp_added; } HYPERDERP_0.1;
 *
 * and no function moves to another node. A program needs the nodes of those functions that it
 * calls, so that with a library that lacks one it does not start, and says which version it wants,
 * instead of failing at the call. A new N begins with one node.
 */
#ifndef HYPERDERP_VERSION_H
#define HYPERDERP_VERSION_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version of this header, by which a program is compiled; hyperderp_version() tells that of
 * the library. */
#define HYPERDERP_VERSION_MAJOR 0
#define HYPERDERP_VERSION_MINOR 1
#define HYPERDERP_VERSION_PATCH 0
#define HYPERDERP_VERSION       "0.1.0"
/** The number in the soname of the shared library. */
#define HYPERDERP_ABI_VERSION 0
/** The first version that has it. */
#define HYPERDERP_ABI_SINCE "0.1.0"

/** The version of this header as a number, 10203 for 1.2.3, for comparisons in #if. See
 * hyperderp_version_number(). */
#define HYPERDERP_VERSION_NUMBER                                                                   \
    (HYPERDERP_VERSION_MAJOR * 10000 + HYPERDERP_VERSION_MINOR * 100 + HYPERDERP_VERSION_PATCH)

/** Marks what the shared library exports; everything else is hidden. */
#if defined(__GNUC__)
#define HYPERDERP_API __attribute__((visibility("default")))
#else
#define HYPERDERP_API
#endif

/**
 * The version of the library that is running, which may be newer than the header a program was
 * compiled with.
 *
 * @return "MAJOR.MINOR.PATCH", static storage, never NULL. Any thread may call it at any time.
 */
HYPERDERP_API const char *hyperderp_version(void);

/**
 * The version of the library that is running, as a number to compare HYPERDERP_VERSION_NUMBER with.
 *
 * @return MAJOR * 10000 + MINOR * 100 + PATCH. Any thread may call it at any time.
 */
HYPERDERP_API unsigned hyperderp_version_number(void);

/** What a library may have or not, by how it was built and by what the kernel and the processor
 * under it give. */
typedef enum hyperderp_feature {
    /** The engine io_uring: the kernel has what it needs (Linux 6.1), and lets this process use it.
     * HYPERDERP_ENGINE_AUTO takes it then. */
    HYPERDERP_FEATURE_IO_URING = 0,
    /** The kernel makes records of TLS 1.3 (kTLS), and its module is loaded or could be: the
     * listeners' HYPERDERP_OFFLOAD_KERNEL. */
    HYPERDERP_FEATURE_KTLS = 1,
    /** It can change keys, too (Linux 6.14): a client that changes its own is not closed. */
    HYPERDERP_FEATURE_KTLS_KEY_UPDATE = 2,
    /** AES-GCM is libipsec-mb's, which is faster: the library was built with it, and the processor
     * has the instructions (AVX2 or better). */
    HYPERDERP_FEATURE_IPSEC_MB = 3
} hyperderp_feature;
/** Number of features in this header. */
#define HYPERDERP_FEATURES 4

/**
 * Tells whether something works here, by trying it out: with a ring of io_uring that is closed
 * again, with a connection over the loopback for kTLS. Nothing is remembered, as the next process,
 * or a filter of system calls, may see another answer. Any thread may call it at any time, but no
 * callback of a relay, as it takes some system calls.
 *
 * @param feature  what; of a later header, too.
 * @return whether it works; false for a value that this library does not know, or when there is no
 *         memory or no file descriptor to try it with.
 */
HYPERDERP_API bool hyperderp_has_feature(hyperderp_feature feature);

#ifdef __cplusplus
}
#endif

#endif
