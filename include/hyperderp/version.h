/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file version.h
 * The version of libhyperderp, and the macros of its symbol visibility.
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

#ifdef __cplusplus
extern "C" {
#endif

#define HYPERDERP_VERSION_MAJOR 0
#define HYPERDERP_VERSION_MINOR 1
#define HYPERDERP_VERSION_PATCH 0
#define HYPERDERP_VERSION       "0.1.0"
#define HYPERDERP_ABI_VERSION   0
#define HYPERDERP_ABI_SINCE     "0.1.0"

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

#ifdef __cplusplus
}
#endif

#endif
