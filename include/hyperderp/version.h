/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file version.h
 * The version of libhyperderp, and the macros of its symbol visibility.
 *
 * The shared library's soname carries HYPERDERP_ABI_VERSION: it changes only when a program that
 * was built against an older header would misbehave with the newer library.
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
