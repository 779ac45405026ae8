/* SPDX-License-Identifier: BSD-3-Clause */
/* Of key.h. */
#include "misuse.h"

#include <string.h>

static const hyperderp_key some_key = {{1}};
static const hyperderp_private_key some_private_key = {{2}};

MISUSE(hyperderp_key_parse)
{
    hyperderp_key key = {{7}};

    assert_int_equal(hyperderp_key_parse(NULL, "nodekey:00"), -EINVAL);
    assert_int_equal(hyperderp_key_parse(&key, NULL), -EINVAL);
    assert_int_equal(hyperderp_key_parse(&key, ""), -EINVAL);
    assert_int_equal(hyperderp_key_parse(&key, "nodekey:"), -EINVAL);
    assert_int_equal(key.bytes[0], 7);
}

MISUSE(hyperderp_key_format)
{
    char text[HYPERDERP_KEY_TEXT_SIZE] = "before";

    hyperderp_key_format(&some_key, NULL);
    hyperderp_key_format(NULL, NULL);
    hyperderp_key_format(NULL, text);
    assert_string_equal(text, "");
}

MISUSE(hyperderp_key_equal)
{
    assert_false(hyperderp_key_equal(NULL, &some_key));
    assert_false(hyperderp_key_equal(&some_key, NULL));
    assert_false(hyperderp_key_equal(NULL, NULL));
}

MISUSE(hyperderp_key_is_zero)
{
    assert_true(hyperderp_key_is_zero(NULL));
}

MISUSE(hyperderp_private_key_generate)
{
    assert_int_equal(hyperderp_private_key_generate(NULL), -EINVAL);
}

MISUSE(hyperderp_private_key_parse)
{
    hyperderp_private_key key = {{7}};

    assert_int_equal(hyperderp_private_key_parse(NULL, "privkey:00"), -EINVAL);
    assert_int_equal(hyperderp_private_key_parse(&key, NULL), -EINVAL);
    assert_int_equal(hyperderp_private_key_parse(&key, ""), -EINVAL);
    assert_int_equal(key.bytes[0], 7);
}

MISUSE(hyperderp_private_key_format)
{
    char text[HYPERDERP_PRIVATE_KEY_TEXT_SIZE] = "before";

    hyperderp_private_key_format(&some_private_key, NULL);
    hyperderp_private_key_format(NULL, NULL);
    hyperderp_private_key_format(NULL, text);
    assert_string_equal(text, "");
}

MISUSE(hyperderp_private_key_public)
{
    hyperderp_key key = {{7}};

    hyperderp_private_key_public(&some_private_key, NULL);
    hyperderp_private_key_public(NULL, NULL);
    hyperderp_private_key_public(NULL, &key);
    assert_true(hyperderp_key_is_zero(&key));
}

MISUSE(hyperderp_private_key_wipe)
{
    hyperderp_private_key_wipe(NULL);
}
