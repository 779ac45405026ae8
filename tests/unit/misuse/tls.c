/* SPDX-License-Identifier: BSD-3-Clause */
/* Of tls.h. */
#include "misuse.h"

#include <string.h>

/* What an out argument must not keep on error. */
#define NOT_NULL ((void *)1)

static hyperderp_certificate *certificate(void)
{
    hyperderp_certificate *made;

    assert_int_equal(hyperderp_certificate_make(&made, "derp.example.com", 1), 0);
    return made;
}

MISUSE(hyperderp_certificate_read)
{
    hyperderp_certificate *read = NOT_NULL;

    assert_int_equal(hyperderp_certificate_read(NULL, "a", 1, "b", 1, NULL), -EINVAL);
    assert_int_equal(hyperderp_certificate_read(&read, NULL, 1, "b", 1, NULL), -EINVAL);
    assert_null(read);
    assert_int_equal(hyperderp_certificate_read(&read, "a", 1, NULL, 1, NULL), -EINVAL);
    assert_int_equal(hyperderp_certificate_read(&read, "a", 0, "b", 0, NULL), -EINVAL);
    assert_int_equal(hyperderp_certificate_read(&read, "a", SIZE_MAX, "b", 1, NULL), -EINVAL);
    assert_int_equal(hyperderp_certificate_read(&read, "a", 1, "b", SIZE_MAX, NULL), -EINVAL);
    assert_null(read);
}

MISUSE(hyperderp_certificate_load)
{
    hyperderp_certificate *read = NOT_NULL;

    assert_int_equal(hyperderp_certificate_load(NULL, "/dev/null", "/dev/null", NULL), -EINVAL);
    assert_int_equal(hyperderp_certificate_load(&read, NULL, "/dev/null", NULL), -EINVAL);
    assert_null(read);
    assert_int_equal(hyperderp_certificate_load(&read, "/dev/null", NULL, NULL), -EINVAL);
    assert_int_equal(hyperderp_certificate_load(&read, "", "", NULL), -ENOENT);
    assert_int_equal(hyperderp_certificate_load(&read, "/dev/zero", "/dev/zero", NULL), -EINVAL);
    assert_null(read);
}

MISUSE(hyperderp_certificate_make)
{
    hyperderp_certificate *made = NOT_NULL;

    assert_int_equal(hyperderp_certificate_make(NULL, "derp.example.com", 1), -EINVAL);
    assert_int_equal(hyperderp_certificate_make(&made, NULL, 1), -EINVAL);
    assert_null(made);
    assert_int_equal(hyperderp_certificate_make(&made, "", 1), -EINVAL);
    assert_int_equal(hyperderp_certificate_make(&made, "derp.example.com", 0), -EINVAL);
    assert_int_equal(hyperderp_certificate_make(&made, "derp.example.com", UINT32_MAX), -EINVAL);
    assert_null(made);
}

MISUSE(hyperderp_certificate_write)
{
    hyperderp_certificate *made = certificate();
    char *chain = NOT_NULL, *key = NOT_NULL;

    assert_int_equal(hyperderp_certificate_write(NULL, &chain, &key), -EINVAL);
    assert_null(chain);
    assert_null(key);
    assert_int_equal(hyperderp_certificate_write(made, NULL, &key), -EINVAL);
    assert_int_equal(hyperderp_certificate_write(made, &chain, NULL), -EINVAL);
    assert_int_equal(hyperderp_certificate_write(made, NULL, NULL), -EINVAL);
    hyperderp_certificate_free(made);
}

MISUSE(hyperderp_pem_free)
{
    hyperderp_pem_free(NULL);
}

MISUSE(hyperderp_certificate_ref)
{
    assert_null(hyperderp_certificate_ref(NULL));
}

MISUSE(hyperderp_certificate_free)
{
    hyperderp_certificate_free(NULL);
}

MISUSE(hyperderp_certificate_expires)
{
    assert_int_equal(hyperderp_certificate_expires(NULL), 0);
}

MISUSE(hyperderp_certificate_is_self_signed)
{
    assert_false(hyperderp_certificate_is_self_signed(NULL));
}

MISUSE(hyperderp_certificate_covers)
{
    hyperderp_certificate *made = certificate();

    assert_false(hyperderp_certificate_covers(NULL, "derp.example.com"));
    assert_false(hyperderp_certificate_covers(made, NULL));
    assert_false(hyperderp_certificate_covers(made, ""));
    hyperderp_certificate_free(made);
}

MISUSE(hyperderp_certificate_hash)
{
    hyperderp_certificate *made = certificate();
    uint8_t hash[HYPERDERP_CERTIFICATE_HASH_SIZE];

    assert_int_equal(hyperderp_certificate_hash(NULL, hash), -EINVAL);
    assert_int_equal(hyperderp_certificate_hash(made, NULL), -EINVAL);
    hyperderp_certificate_free(made);
}

MISUSE(hyperderp_certificate_equal)
{
    hyperderp_certificate *made = certificate();

    assert_false(hyperderp_certificate_equal(NULL, made));
    assert_false(hyperderp_certificate_equal(made, NULL));
    assert_false(hyperderp_certificate_equal(NULL, NULL));
    hyperderp_certificate_free(made);
}
