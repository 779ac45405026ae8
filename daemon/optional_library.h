/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Libraries that are loaded when the configuration needs them, not before: mapped, and with what
 * they need in turn, they take more memory than the rest of an empty relay. Each has a file of its
 * own (curl_library.h, microhttpd_library.h, systemd_library.h) with a table of the functions that
 * are called; the headers say their types, so that the compiler checks the calls as ever.
 */
#ifndef DAEMON_OPTIONAL_LIBRARY_H
#define DAEMON_OPTIONAL_LIBRARY_H

#include <stddef.h>

/* A function of a library, and where its address goes. */
struct library_function {
    const char *name;
    void *address; /* of a pointer to the function */
};

/*
 * Loads the first of these libraries (their sonames, NULL behind the last) that there is, for as
 * long as the process lives, and finds all functions; does nothing when that has been done. 0, or
 * -ELIBACC with the reason logged, which names what it was for. The main thread alone.
 */
int optional_library_load(const char *const *sonames, const struct library_function *functions,
                          size_t count, const char *purpose);

#endif
