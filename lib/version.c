/* SPDX-License-Identifier: BSD-3-Clause */
/* The version of the library that is running. */
#include <hyperderp/version.h>

const char *hyperderp_version(void)
{
    return HYPERDERP_VERSION;
}

unsigned hyperderp_version_number(void)
{
    return HYPERDERP_VERSION_NUMBER;
}
