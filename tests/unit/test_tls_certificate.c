/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and making certificates. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <hyperderp/tls.h>

#include "tls/certificate.h"

/* The PEM text of certificates, or of a key; freed by the caller. */
static char *pem_text(BIO *bio)
{
    char *data, *text;
    long len = BIO_get_mem_data(bio, &data);

    text = calloc(1, (size_t)len + 1);
    assert_non_null(text);
    memcpy(text, data, (size_t)len);
    BIO_free(bio);
    return text;
}

static char *certificate_pem(X509 *first, X509 *second)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_X509(bio, first), 1);
    if (second)
        assert_int_equal(PEM_write_bio_X509(bio, second), 1);
    return pem_text(bio);
}

static char *key_pem(EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                              (const unsigned char *)passphrase,
                                              passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
                     1);
    return pem_text(bio);
}

static void one_for_a_name_says_so(void **state)
{
    (void)state;
    hyperderp_certificate *made;
    uint8_t hash[32], again[32];

    assert_int_equal(hyperderp_certificate_make(&made, "derp.example.com", 365), 0);
    assert_int_equal(X509_check_host(made->leaf, "derp.example.com", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(made->leaf, "other.example.com", 0, 0, NULL), 0);
    assert_int_equal(X509_verify(made->leaf, made->key), 1);
    int64_t left = made->expires - (int64_t)time(NULL);
    assert_in_range(left, 365 * 86400 - 60, 365 * 86400 + 60);
    assert_int_equal(hyperderp_certificate_hash(made, hash), 0);
    assert_int_equal(hyperderp_certificate_hash(made, again), 0);
    assert_memory_equal(hash, again, 32);
    hyperderp_certificate_free(made);
}

static void one_for_an_address_says_so(void **state)
{
    (void)state;
    hyperderp_certificate *made;

    assert_int_equal(hyperderp_certificate_make(&made, "192.0.2.7", 10), 0);
    assert_int_equal(X509_check_ip_asc(made->leaf, "192.0.2.7", 0), 1);
    assert_int_equal(X509_check_ip_asc(made->leaf, "192.0.2.8", 0), 0);
    hyperderp_certificate_free(made);
    assert_int_equal(hyperderp_certificate_make(&made, "2001:db8::1", 10), 0);
    assert_int_equal(X509_check_ip_asc(made->leaf, "2001:db8::1", 0), 1);
    hyperderp_certificate_free(made);
}

static void what_is_no_host_gets_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "a,DNS:b", "a b", "a\nb", "a/b", "@section"};
    hyperderp_certificate *made;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hyperderp_certificate_make(&made, bad[i], 10), -EINVAL);
    assert_int_equal(hyperderp_certificate_make(&made, "a.example", 0), -EINVAL);
    assert_int_equal(hyperderp_certificate_make(&made, "a.example", 36501), -EINVAL);
    assert_null(made);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    char *chain, *key;
    hyperderp_certificate *made, *read, *other;

    assert_int_equal(hyperderp_certificate_make(&made, "derp.example.com", 10), 0);
    assert_true(hyperderp_certificate_is_self_signed(made));
    assert_true(hyperderp_certificate_covers(made, "derp.example.com"));
    assert_false(hyperderp_certificate_covers(made, "192.0.2.1"));
    assert_int_equal(hyperderp_certificate_write(made, &chain, &key), 0);
    assert_int_equal(
        hyperderp_certificate_read(&read, chain, strlen(chain), key, strlen(key), NULL), 0);
    assert_true(hyperderp_certificate_equal(made, read));
    assert_int_equal(hyperderp_certificate_expires(read), hyperderp_certificate_expires(made));
    assert_int_equal(hyperderp_certificate_make(&other, "derp.example.com", 10), 0);
    assert_false(hyperderp_certificate_equal(made, other));
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
    hyperderp_certificate_free(made);
    hyperderp_certificate_free(read);
    hyperderp_certificate_free(other);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void files_are_loaded_and_named_in_faults(void **state)
{
    (void)state;
    char directory[] = "/tmp/certificate-XXXXXX", chain_file[64], key_file[64], *chain, *key;
    char fault[HYPERDERP_FAULT_SIZE];
    hyperderp_certificate *made, *read;

    assert_non_null(mkdtemp(directory));
    snprintf(chain_file, sizeof(chain_file), "%s/chain.pem", directory);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", directory);
    assert_int_equal(hyperderp_certificate_make(&made, "2001:db8::1", 10), 0);
    assert_int_equal(hyperderp_certificate_write(made, &chain, &key), 0);
    write_file(chain_file, chain);
    assert_int_equal(hyperderp_certificate_load(&read, chain_file, key_file, fault), -ENOENT);
    assert_non_null(strstr(fault, key_file));
    write_file(key_file, key);
    assert_int_equal(hyperderp_certificate_load(&read, chain_file, key_file, fault), 0);
    assert_true(hyperderp_certificate_equal(made, read));
    hyperderp_certificate_free(read);
    assert_int_equal(hyperderp_certificate_load(&read, chain_file, chain_file, fault), -EINVAL);
    assert_non_null(strstr(fault, chain_file));
    assert_int_equal(hyperderp_certificate_load(&read, directory, key_file, fault), -EINVAL);
    assert_non_null(strstr(fault, "not a file"));
    unlink(chain_file);
    unlink(key_file);
    rmdir(directory);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
    hyperderp_certificate_free(made);
}

static void a_chain_and_its_key_are_read(void **state)
{
    (void)state;
    char fault[HYPERDERP_FAULT_SIZE];
    hyperderp_certificate *leaf, *issuer, *read;

    assert_int_equal(hyperderp_certificate_make(&leaf, "a.example", 20), 0);
    assert_int_equal(hyperderp_certificate_make(&issuer, "b.example", 10), 0);
    char *chain = certificate_pem(leaf->leaf, issuer->leaf), *key = key_pem(leaf->key, NULL);
    assert_int_equal(
        hyperderp_certificate_read(&read, chain, strlen(chain), key, strlen(key), fault), 0);
    assert_int_equal(X509_cmp(read->leaf, leaf->leaf), 0);
    assert_int_equal(sk_X509_num(read->chain), 1);
    assert_int_equal(read->expires, issuer->expires); /* whichever ends first */
    hyperderp_certificate_free(read);
    free(chain);
    free(key);
    hyperderp_certificate_free(leaf);
    hyperderp_certificate_free(issuer);
}

static void expect_fault(const char *chain, const char *key, const char *words)
{
    char fault[HYPERDERP_FAULT_SIZE];
    hyperderp_certificate *read;

    assert_int_equal(
        hyperderp_certificate_read(&read, chain, strlen(chain), key, strlen(key), fault), -EINVAL);
    if (!strstr(fault, words))
        fail_msg("\"%s\" does not say \"%s\"", fault, words);
    assert_null(read);
}

static void faults_are_told_in_words(void **state)
{
    (void)state;
    hyperderp_certificate *one, *other;

    assert_int_equal(hyperderp_certificate_make(&one, "a.example", 20), 0);
    assert_int_equal(hyperderp_certificate_make(&other, "b.example", 20), 0);
    char *chain = certificate_pem(one->leaf, NULL), *two = certificate_pem(one->leaf, other->leaf);
    char *key = key_pem(one->key, NULL), *wrong = key_pem(other->key, NULL);
    char *locked = key_pem(one->key, "secret");

    expect_fault("", key, "no certificate");
    expect_fault(key, key, "no certificate");
    expect_fault(chain, "", "no private key");
    expect_fault(chain, chain, "no private key");
    expect_fault(chain, locked, "no private key without a passphrase");
    expect_fault(chain, wrong, "does not belong");
    /* The second certificate is damaged. */
    two[strlen(two) - 60] ^= 1;
    memset(two + strlen(two) - 100, '!', 10);
    expect_fault(two, key, "damaged");

    free(chain);
    free(two);
    free(key);
    free(wrong);
    free(locked);
    hyperderp_certificate_free(one);
    hyperderp_certificate_free(other);
}

static void the_derpkey_certificate_carries_key_and_version(void **state)
{
    (void)state;
    hyperderp_key relay;
    char name[128];

    for (size_t i = 0; i < sizeof(relay.bytes); i++)
        relay.bytes[i] = (uint8_t)(0xf0 + i);
    X509 *certificate = certificate_make_derpkey(&relay);
    assert_non_null(certificate);
    assert_int_equal(X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                               name, sizeof(name)),
                     71);
    assert_string_equal(name,
                        "derpkeyf0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f");
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(certificate)), 2);
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_ED25519);
    assert_int_equal(X509_verify(certificate, key), 1);
    X509_free(certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_for_a_name_says_so),
        cmocka_unit_test(one_for_an_address_says_so),
        cmocka_unit_test(what_is_no_host_gets_none),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(files_are_loaded_and_named_in_faults),
        cmocka_unit_test(a_chain_and_its_key_are_read),
        cmocka_unit_test(faults_are_told_in_words),
        cmocka_unit_test(the_derpkey_certificate_carries_key_and_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
