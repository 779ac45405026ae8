/* SPDX-License-Identifier: BSD-3-Clause */
/* Of version.h. */
#include "misuse.h"

MISUSE(hyperderp_version)
{
    assert_non_null(hyperderp_version());
}
