/* SPDX-License-Identifier: BSD-3-Clause */
/* dlopen() and dlsym(). */
#include "optional_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "log.h"

/* Also the functions that it needs itself are found now or never: a fault is told at the start. */
static void *open_first(const char *const *sonames, const char *purpose)
{
    void *library = NULL;

    for (size_t i = 0; sonames[i] && !library; i++)
        library = dlopen(sonames[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        const char *reason = dlerror();
        log_print(HYPERDERP_LOG_ERROR, "%s needs %s, which cannot be loaded: %s; install it",
                  purpose, sonames[0], reason ? reason : "unknown reason");
    }
    return library;
}

/* The table is filled in order, so that its last pointer is there when all are. */
static bool is_loaded(const struct library_function *functions, size_t count)
{
    void *last;

    memcpy(&last, functions[count - 1].address, sizeof(last));
    return last != NULL;
}

int optional_library_load(const char *const *sonames, const struct library_function *functions,
                          size_t count, const char *purpose)
{
    /* Not again: a thread may be calling them. */
    if (is_loaded(functions, count))
        return 0;
    void *library = open_first(sonames, purpose);
    if (!library)
        return -ELIBACC;
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, functions[i].name);
        if (!function) {
            log_print(HYPERDERP_LOG_ERROR, "%s needs %s with %s(): install a newer version",
                      purpose, sonames[0], functions[i].name);
            return -ELIBACC;
        }
        /* ISO C has no conversion between pointers to data and to functions; POSIX has this. */
        memcpy(functions[i].address, &function, sizeof(function));
    }
    return 0;
}
