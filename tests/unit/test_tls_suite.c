/* SPDX-License-Identifier: BSD-3-Clause */
/* The key schedule behind a traffic secret, by the vectors of RFC 8448 section 3 and by OpenSSL's
 * own derivation. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "tls/suite.h"

/* RFC 8448 section 3: server_application_traffic_secret_0 and what is derived from it. */
static const uint8_t server_secret[32] = {
    0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
    0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};
static const uint8_t server_key[16] = {0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef,
                                       0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56};
static const uint8_t server_iv[12] = {0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83,
                                      0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84};
/* ... and client_application_traffic_secret_0. */
static const uint8_t client_secret[32] = {
    0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
    0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87, 0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
static const uint8_t client_key[16] = {0x17, 0x42, 0x2d, 0xda, 0x59, 0x6e, 0xd5, 0xd9,
                                       0xac, 0xd8, 0x90, 0xe3, 0xc6, 0x3f, 0x50, 0x51};
static const uint8_t client_iv[12] = {0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08,
                                      0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9};

static void keys_are_those_of_rfc_8448(void **state)
{
    (void)state;
    const struct tls_suite *suite = tls_suite_find(0x1301);
    uint8_t key[TLS_MAX_KEY], iv[TLS_IV_SIZE];

    assert_non_null(suite);
    assert_int_equal(tls_traffic_keys(suite, server_secret, key, iv), 0);
    assert_memory_equal(key, server_key, sizeof(server_key));
    assert_memory_equal(iv, server_iv, sizeof(server_iv));
    assert_int_equal(tls_traffic_keys(suite, client_secret, key, iv), 0);
    assert_memory_equal(key, client_key, sizeof(client_key));
    assert_memory_equal(iv, client_iv, sizeof(client_iv));
}

static void derive_by_openssl(const struct tls_suite *suite, const uint8_t *secret,
                              const char *label, uint8_t *out, size_t size)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                         (char *)(uintptr_t)EVP_MD_get0_name(suite->hash()), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret,
                                          suite->secret_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (char[]){"tls13 "}, 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)(uintptr_t)label,
                                          strlen(label)),
        OSSL_PARAM_construct_end(),
    };

    assert_int_equal(EVP_KDF_derive(context, out, size, params), 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

static void labels_expand_as_in_openssl(void **state)
{
    (void)state;
    static const char *const labels[] = {"key", "iv", "traffic upd", "finished", "c"};
    uint8_t secret[TLS_MAX_SECRET], ours[TLS_MAX_SECRET], theirs[TLS_MAX_SECRET];

    for (uint16_t id = 0x1301; id <= 0x1303; id++) {
        const struct tls_suite *suite = tls_suite_find(id);
        for (size_t i = 0; i < sizeof(secret); i++)
            secret[i] = (uint8_t)(id + 7 * i);
        for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
            for (size_t size = 1; size <= suite->secret_size; size++) {
                assert_int_equal(tls_expand_label(suite, secret, labels[i], ours, size), 0);
                derive_by_openssl(suite, secret, labels[i], theirs, size);
                assert_memory_equal(ours, theirs, size);
            }
        }
        memcpy(ours, secret, suite->secret_size);
        assert_int_equal(tls_next_secret(suite, ours), 0);
        derive_by_openssl(suite, secret, "traffic upd", theirs, suite->secret_size);
        assert_memory_equal(ours, theirs, suite->secret_size);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    const struct tls_suite *suite = tls_suite_find(0x1301);
    uint8_t out[64];

    assert_int_equal(tls_expand_label(suite, server_secret, "key", out, 33), -EINVAL);
    assert_int_equal(tls_expand_label(suite, server_secret, "a label too long", out, 16), -EINVAL);
}

static void other_suites_are_unknown(void **state)
{
    (void)state;
    assert_null(tls_suite_find(0x1300));
    assert_null(tls_suite_find(0x1304));
    assert_null(tls_suite_find(0xc02b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_those_of_rfc_8448),
        cmocka_unit_test(labels_expand_as_in_openssl),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(other_suites_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
