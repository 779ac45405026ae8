/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of libmicrohttpd's functions. */
#include "microhttpd_library.h"

#include "optional_library.h"

struct microhttpd_library mhd;

int microhttpd_library_load(void)
{
    static const char *const sonames[] = {"libmicrohttpd.so.12", NULL};
#define MICROHTTPD_FUNCTION(name) {"MHD_" #name, &mhd.name},
    static const struct library_function functions[] = {MICROHTTPD_FUNCTIONS(MICROHTTPD_FUNCTION)};
#undef MICROHTTPD_FUNCTION

    return optional_library_load(sonames, functions, sizeof(functions) / sizeof(functions[0]),
                                 "metrics.address");
}
