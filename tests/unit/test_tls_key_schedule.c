/* SPDX-License-Identifier: BSD-3-Clause */
/* The key schedule of a handshake, by the vectors of RFC 8448 section 3 and by OpenSSL's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "tls/key_schedule.h"
#include "tls/library.h"

/* RFC 8448 section 3: the early secret, the (EC)DHE secret, the handshake secret. */
static const uint8_t early[32] = {0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b, 0x09, 0xe6, 0xcd,
                                  0x98, 0x93, 0x68, 0x0c, 0xe2, 0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f,
                                  0x26, 0x60, 0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a};
static const uint8_t shared[32] = {0x8b, 0xd4, 0x05, 0x4f, 0xb5, 0x5b, 0x9d, 0x63, 0xfd, 0xfb, 0xac,
                                   0xf9, 0xf0, 0x4b, 0x9f, 0x0d, 0x35, 0xe6, 0xd6, 0x3f, 0x53, 0x75,
                                   0x63, 0xef, 0xd4, 0x62, 0x72, 0x90, 0x0f, 0x89, 0x49, 0x2d};
static const uint8_t handshake[32] = {
    0x1d, 0xc8, 0x26, 0xe9, 0x36, 0x06, 0xaa, 0x6f, 0xdc, 0x0a, 0xad, 0xc1, 0x2f, 0x74, 0x1b, 0x01,
    0x04, 0x6a, 0xa6, 0xb9, 0x9f, 0x69, 0x1e, 0xd2, 0x21, 0xa9, 0xf0, 0xca, 0x04, 0x3f, 0xbe, 0xac};

struct derivation {
    const char *mode, *hash;
    const uint8_t *key, *salt;
    size_t key_len, salt_len;
    const char *label;
    const uint8_t *data;
    size_t data_len;
};

static OSSL_PARAM text(const char *name, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(name, (char *)(uintptr_t)value, 0);
}

static OSSL_PARAM octets(const char *name, const void *value, size_t len)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)value, len);
}

/* By the algorithm that these properties choose. */
static int derive(const char *properties, const struct derivation *what, uint8_t *out, size_t size)
{
    EVP_KDF *kdf = EVP_KDF_fetch(tls_library(), "TLS13-KDF", properties);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[8];
    size_t count = 0;

    assert_non_null(context);
    if (what->mode)
        params[count++] = text(OSSL_KDF_PARAM_MODE, what->mode);
    if (what->hash)
        params[count++] = text(OSSL_KDF_PARAM_DIGEST, what->hash);
    if (what->key)
        params[count++] = octets(OSSL_KDF_PARAM_KEY, what->key, what->key_len);
    if (what->salt)
        params[count++] = octets(OSSL_KDF_PARAM_SALT, what->salt, what->salt_len);
    params[count++] = octets(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6);
    if (what->label)
        params[count++] = octets(OSSL_KDF_PARAM_LABEL, what->label, strlen(what->label));
    if (what->data)
        params[count++] = octets(OSSL_KDF_PARAM_DATA, what->data, what->data_len);
    params[count] = OSSL_PARAM_construct_end();
    int done = EVP_KDF_derive(context, out, size, params);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return done;
}

static int derive_by_us(const struct derivation *what, uint8_t *out, size_t size)
{
    return derive(TLS_LIBRARY_PROPERTIES, what, out, size);
}

static void properties_choose_ours(void **state)
{
    (void)state;
    static const struct {
        const char *properties, *provider;
    } all[] = {{TLS_LIBRARY_PROPERTIES, "hyperderp"}, {"provider=default", "default"}};

    for (size_t i = 0; i < 2; i++) {
        EVP_KDF *kdf = EVP_KDF_fetch(tls_library(), "TLS13-KDF", all[i].properties);
        assert_non_null(kdf);
        assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), all[i].provider);
        EVP_KDF_free(kdf);
    }
    /* The rest of the program does not meet it. */
    assert_null(EVP_KDF_fetch(NULL, "TLS13-KDF", "provider=hyperderp"));
}

static void secrets_are_those_of_rfc_8448(void **state)
{
    (void)state;
    struct derivation what = {.mode = "EXTRACT_ONLY", .hash = "SHA2-256", .label = "derived"};
    uint8_t out[32];

    assert_int_equal(derive_by_us(&what, out, sizeof(out)), 1);
    assert_memory_equal(out, early, sizeof(early));
    what.salt = early;
    what.salt_len = sizeof(early);
    what.key = shared;
    what.key_len = sizeof(shared);
    assert_int_equal(derive_by_us(&what, out, sizeof(out)), 1);
    assert_memory_equal(out, handshake, sizeof(handshake));
}

static void derivations_are_those_of_openssl(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t size;
    } hashes[] = {{"SHA2-256", 32}, {"SHA256", 32}, {"SHA2-384", 48}, {"SHA384", 48}};
    static const char *const labels[] = {"derived", "c hs traffic", "finished", "key",
                                         "exp master"};
    uint8_t secret[48], data[48], ours[48], theirs[48];

    memset(secret, 7, sizeof(secret));
    memset(data, 9, sizeof(data));
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        for (size_t j = 0; j < sizeof(labels) / sizeof(labels[0]); j++) {
            size_t size = hashes[i].size - (j % 2) * 20;
            struct derivation what = {.mode = "EXPAND_ONLY",
                                      .hash = hashes[i].name,
                                      .key = secret,
                                      .key_len = hashes[i].size,
                                      .label = labels[j],
                                      .data = data,
                                      .data_len = j % 2 ? 0 : hashes[i].size};
            assert_int_equal(derive_by_us(&what, ours, size), 1);
            assert_int_equal(derive("provider=default", &what, theirs, size), 1);
            assert_memory_equal(ours, theirs, size);
        }
        struct derivation master = {.mode = "EXTRACT_ONLY",
                                    .hash = hashes[i].name,
                                    .salt = secret,
                                    .salt_len = hashes[i].size,
                                    .label = "derived"};
        assert_int_equal(derive_by_us(&master, ours, hashes[i].size), 1);
        assert_int_equal(derive("provider=default", &master, theirs, hashes[i].size), 1);
        assert_memory_equal(ours, theirs, hashes[i].size);
    }
}

static void what_is_incomplete_or_too_long_is_refused(void **state)
{
    (void)state;
    const struct derivation whole = {
        .mode = "EXPAND_ONLY", .hash = "SHA2-256", .key = early, .key_len = 32, .label = "key"};
    struct derivation what = whole;
    char label[251];
    uint8_t out[64];

    memset(label, 'x', sizeof(label) - 1);
    label[sizeof(label) - 1] = '\0';
    assert_int_equal(derive_by_us(&what, out, 32), 1);
    assert_int_equal(derive_by_us(&what, out, 33), 0);
    what.mode = NULL;
    assert_int_equal(derive_by_us(&what, out, 32), 0);
    what.mode = "EXTRACT_AND_EXPAND";
    assert_int_equal(derive_by_us(&what, out, 32), 0);
    what = whole;
    what.hash = NULL;
    assert_int_equal(derive_by_us(&what, out, 32), 0);
    what.hash = "SHA2-512";
    assert_int_equal(derive_by_us(&what, out, 32), 0);
    what = whole;
    what.key = NULL;
    assert_int_equal(derive_by_us(&what, out, 32), 0);
    what = whole;
    what.label = label;
    assert_int_equal(derive_by_us(&what, out, 32), 0);
    what.label = label + 1; /* with the prefix 255 */
    assert_int_equal(derive_by_us(&what, out, 32), 1);
    what = whole;
    what.mode = "EXTRACT_ONLY";
    assert_int_equal(derive_by_us(&what, out, 31), 0);
}

static void traffic_secrets_are_seen_while_watched(void **state)
{
    (void)state;
    struct derivation what = {.mode = "EXPAND_ONLY",
                              .hash = "SHA2-256",
                              .key = early,
                              .key_len = 32,
                              .label = "s ap traffic"};
    struct tls_secrets secrets = {0};
    uint8_t out[32];

    assert_int_equal(derive_by_us(&what, out, sizeof(out)), 1);
    key_schedule_watch(&secrets);
    what.label = "s hs traffic";
    assert_int_equal(derive_by_us(&what, out, sizeof(out)), 1);
    assert_false(secrets.has_server);
    what.label = "s ap traffic";
    assert_int_equal(derive_by_us(&what, out, sizeof(out)), 1);
    assert_true(secrets.has_server && !secrets.has_client);
    assert_memory_equal(secrets.server, out, sizeof(out));
    what.label = "c ap traffic";
    assert_int_equal(derive_by_us(&what, out, sizeof(out)), 1);
    assert_true(secrets.has_client);
    assert_memory_equal(secrets.client, out, sizeof(out));
    key_schedule_watch(NULL);
    key_schedule_forget(&secrets);
    assert_int_equal(derive_by_us(&what, out, sizeof(out)), 1);
    assert_false(secrets.has_client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(properties_choose_ours),
        cmocka_unit_test(secrets_are_those_of_rfc_8448),
        cmocka_unit_test(derivations_are_those_of_openssl),
        cmocka_unit_test(what_is_incomplete_or_too_long_is_refused),
        cmocka_unit_test(traffic_secrets_are_seen_while_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
