/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of libsystemd's functions. */
#include "systemd_library.h"

#include <stdlib.h>

#include "optional_library.h"

struct systemd_library sd;

static int load(const char *purpose)
{
    static const char *const sonames[] = {"libsystemd.so.0", NULL};
#define SYSTEMD_FUNCTION(name) {"sd_" #name, &sd.name},
    static const struct library_function functions[] = {SYSTEMD_FUNCTIONS(SYSTEMD_FUNCTION)};
#undef SYSTEMD_FUNCTION

    return optional_library_load(sonames, functions, sizeof(functions) / sizeof(functions[0]),
                                 purpose);
}

bool systemd_library_is_wanted(const char *variable, const char *purpose)
{
    static enum { UNTRIED, LOADED, MISSING } state;

    if (!getenv(variable))
        return false;
    if (state == UNTRIED)
        state = load(purpose) == 0 ? LOADED : MISSING;
    return state == LOADED;
}
