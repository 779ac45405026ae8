/* SPDX-License-Identifier: BSD-3-Clause */
/* Of version.h. */
#include "misuse.h"

MISUSE(hyperderp_version)
{
    assert_non_null(hyperderp_version());
}

MISUSE(hyperderp_version_number)
{
    assert_int_equal(hyperderp_version_number(), HYPERDERP_VERSION_NUMBER);
}

MISUSE(hyperderp_has_feature)
{
    assert_false(hyperderp_has_feature(MISUSE_ENUM(hyperderp_feature)));
    assert_false(hyperderp_has_feature((hyperderp_feature)-1));
}
