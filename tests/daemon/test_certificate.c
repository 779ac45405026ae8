/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the certificate comes from: files, or one made once and kept. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "certificate.h"
#include "private_file.h"

static char folder[] = "/tmp/hyper-derp-certificate.XXXXXX";
static char derp_key[128], fault[CERTIFICATE_FAULT];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(derp_key, sizeof(derp_key), "%s/certs/derp.key", folder);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static void init_source(struct certificate_source *source, const char *hostname)
{
    const struct config_tls tls = {.cert = "", .key = "", .hostname = (char *)(uintptr_t)hostname};
    assert_int_equal(certificate_source_init(source, &tls, derp_key), 0);
}

/* Opens the daemon's own certificate for a host, and tells what was done. */
static hyperderp_certificate *open_own(const char *hostname, enum certificate_news expected)
{
    struct certificate_source source;
    hyperderp_certificate *certificate;
    enum certificate_news news;

    init_source(&source, hostname);
    int error = certificate_open(&certificate, &source, &news, fault);
    if (error)
        fail_msg("%s", fault);
    assert_int_equal(news, expected);
    certificate_source_free(&source);
    return certificate;
}

static void expect_private(const char *file)
{
    struct stat info;

    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void write_pair(const hyperderp_certificate *certificate,
                       const struct certificate_source *source)
{
    char *chain, *key;

    assert_int_equal(hyperderp_certificate_write(certificate, &chain, &key), 0);
    write_text(source->chain_file, chain);
    write_text(source->key_file, key);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
}

static void one_is_made_once_and_kept(void **state)
{
    (void)state;
    struct certificate_source source;
    hyperderp_certificate *first = open_own("derp.example.com", CERTIFICATE_MADE);

    assert_true(hyperderp_certificate_is_self_signed(first));
    assert_true(hyperderp_certificate_covers(first, "derp.example.com"));
    assert_in_range(certificate_days_left(first), 3649, 3650);
    init_source(&source, "");
    expect_private(source.chain_file);
    expect_private(source.key_file);

    hyperderp_certificate *again = open_own("derp.example.com", CERTIFICATE_READ);
    assert_true(hyperderp_certificate_equal(first, again));
    hyperderp_certificate_free(again);
    /* Without a hostname the one that is there stays, whatever it is for. */
    again = open_own("", CERTIFICATE_READ);
    assert_true(hyperderp_certificate_equal(first, again));
    hyperderp_certificate_free(again);
    hyperderp_certificate_free(first);

    /* Nothing else is left in the folder. */
    char certs[128];
    snprintf(certs, sizeof(certs), "%s/certs", folder);
    assert_int_equal(unlink(source.chain_file), 0);
    assert_int_equal(unlink(source.key_file), 0);
    assert_int_equal(rmdir(certs), 0);
    certificate_source_free(&source);
}

static void another_host_has_another_one(void **state)
{
    (void)state;
    hyperderp_certificate *name = open_own("derp.example.com", CERTIFICATE_MADE);
    hyperderp_certificate *v4 = open_own("203.0.113.5", CERTIFICATE_OTHER_HOST);
    hyperderp_certificate *v6 = open_own("2001:db8::5", CERTIFICATE_OTHER_HOST);
    hyperderp_certificate *kept = open_own("2001:db8:0::5", CERTIFICATE_READ);

    assert_true(hyperderp_certificate_covers(v4, "203.0.113.5"));
    assert_false(hyperderp_certificate_covers(v4, "derp.example.com"));
    assert_true(hyperderp_certificate_covers(v6, "2001:db8::5"));
    assert_true(hyperderp_certificate_equal(v6, kept));
    assert_false(hyperderp_certificate_equal(name, v4));
    hyperderp_certificate_free(name);
    hyperderp_certificate_free(v4);
    hyperderp_certificate_free(v6);
    hyperderp_certificate_free(kept);
}

/* A self-signed certificate for "a.example", valid until 2001, and its key. */
static const char expired_chain[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBTTCB9KADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWEuZXhhbXBs\n"
    "ZTAeFw0wMDAxMDEwMDAwMDBaFw0wMTAxMDEwMDAwMDBaMBQxEjAQBgNVBAMMCWEu\n"
    "ZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKW+mVfZn6o/5RUBoayK\n"
    "TtOHD+L54UXkua35Zhk7w7zWQ9t1TRKbMccw1qey2THV7WtJDKK2iuzWIRd23N+A\n"
    "30ijNzA1MBQGA1UdEQQNMAuCCWEuZXhhbXBsZTAdBgNVHQ4EFgQU39gVEfP6adtx\n"
    "3MnfQUWt9O5ueK0wCgYIKoZIzj0EAwIDSAAwRQIhAMk6Yy5hz2srV+eQG50SDYo2\n"
    "8eBP7xCNWX9g6bieOho+AiA7wxYkeQym6i4PtQEbRnuAuuq9Lx7dRP+BGw+IjT0p\n"
    "sA==\n"
    "-----END CERTIFICATE-----\n";
static const char expired_key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxkwQFd3ZowM2NQcf\n"
    "lmfA3XxiXDgfjnS/IP67FvjmiqChRANCAASlvplX2Z+qP+UVAaGsik7Thw/i+eFF\n"
    "5Lmt+WYZO8O81kPbdU0SmzHHMNanstkx1e1rSQyitors1iEXdtzfgN9I\n"
    "-----END PRIVATE KEY-----\n";

static void an_expired_one_is_made_anew(void **state)
{
    (void)state;
    struct certificate_source source;
    hyperderp_certificate *old;

    init_source(&source, "a.example");
    assert_int_equal(private_folder_make(source.chain_file), 0);
    write_text(source.chain_file, expired_chain);
    write_text(source.key_file, expired_key);
    assert_int_equal(certificate_read(&old, &source, fault), 0);
    assert_true(certificate_days_left(old) < -9000);
    hyperderp_certificate *fresh = open_own("a.example", CERTIFICATE_EXPIRED);
    assert_true(certificate_days_left(fresh) > 3000);
    hyperderp_certificate_free(old);
    hyperderp_certificate_free(fresh);
    certificate_source_free(&source);
}

/* A crash between the two files leaves the chain missing: both are made. */
static void half_a_pair_is_made_whole(void **state)
{
    (void)state;
    struct certificate_source source;
    hyperderp_certificate *first = open_own("a.example", CERTIFICATE_MADE);

    init_source(&source, "a.example");
    assert_int_equal(unlink(source.chain_file), 0);
    hyperderp_certificate *second = open_own("a.example", CERTIFICATE_MADE);
    hyperderp_certificate *third = open_own("a.example", CERTIFICATE_READ);
    assert_false(hyperderp_certificate_equal(first, second));
    assert_true(hyperderp_certificate_equal(second, third));
    hyperderp_certificate_free(first);
    hyperderp_certificate_free(second);
    hyperderp_certificate_free(third);
    certificate_source_free(&source);
}

static void *open_in_thread(void *out)
{
    struct certificate_source source;
    enum certificate_news news;
    char said[CERTIFICATE_FAULT];

    init_source(&source, "a.example");
    (void)certificate_open(out, &source, &news, said);
    certificate_source_free(&source);
    return NULL;
}

/* The daemon and `hyper-derp derpmap`, say: they must not tell two hashes. */
static void two_at_once_make_one(void **state)
{
    (void)state;
    hyperderp_certificate *certificates[4] = {NULL};
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_in_thread, &certificates[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(certificates[i]);
        assert_true(hyperderp_certificate_equal(certificates[0], certificates[i]));
    }
    for (size_t i = 0; i < 4; i++)
        hyperderp_certificate_free(certificates[i]);
}

/* What an operator may have damaged is not thrown away: another hash would lock all clients out. */
static void a_damaged_one_is_left_alone(void **state)
{
    (void)state;
    struct certificate_source source;
    hyperderp_certificate *certificate = open_own("a.example", CERTIFICATE_MADE);
    enum certificate_news news;
    char text[16] = "";

    hyperderp_certificate_free(certificate);
    init_source(&source, "a.example");
    write_text(source.chain_file, "not PEM\n");
    assert_int_equal(certificate_open(&certificate, &source, &news, fault), -EINVAL);
    assert_null(certificate);
    assert_non_null(strstr(fault, source.chain_file));
    assert_non_null(strstr(fault, "remove both, and new ones are made, with another hash"));
    FILE *in = fopen(source.chain_file, "r");
    assert_non_null(in);
    assert_non_null(fgets(text, sizeof(text), in));
    fclose(in);
    assert_string_equal(text, "not PEM\n");
    certificate_source_free(&source);
}

static void the_operators_files_are_read_and_never_written(void **state)
{
    (void)state;
    struct certificate_source source;
    hyperderp_certificate *made, *read;
    enum certificate_news news;
    char chain[128], key[128];

    snprintf(chain, sizeof(chain), "%s/chain.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    const struct config_tls tls = {.cert = chain, .key = key, .hostname = "a.example"};
    assert_int_equal(certificate_source_init(&source, &tls, derp_key), 0);
    assert_int_equal(certificate_open(&read, &source, &news, fault), -ENOENT);
    assert_non_null(strstr(fault, chain));
    assert_int_equal(access(chain, F_OK), -1);

    assert_int_equal(hyperderp_certificate_make(&made, "b.example", 30), 0);
    write_pair(made, &source);
    assert_int_equal(certificate_open(&read, &source, &news, fault), 0);
    assert_int_equal(news, CERTIFICATE_READ);
    assert_true(hyperderp_certificate_equal(made, read));
    hyperderp_certificate_free(read);

    /* Its group may read the key, everybody may not. */
    assert_int_equal(chmod(key, 0640), 0);
    assert_int_equal(certificate_open(&read, &source, &news, fault), 0);
    hyperderp_certificate_free(read);
    assert_int_equal(chmod(key, 0644), 0);
    assert_int_equal(certificate_open(&read, &source, &news, fault), -EKEYREJECTED);
    assert_non_null(strstr(fault, key));
    assert_non_null(strstr(fault, "chmod 640 or 600 it"));
    assert_true(certificate_fault_is_config(&source, -EKEYREJECTED));
    assert_int_equal(chmod(key, 0600), 0);

    /* The key of another certificate. */
    hyperderp_certificate *other;
    char *other_chain, *other_key;
    assert_int_equal(hyperderp_certificate_make(&other, "b.example", 30), 0);
    assert_int_equal(hyperderp_certificate_write(other, &other_chain, &other_key), 0);
    write_text(key, other_key);
    assert_int_equal(certificate_open(&read, &source, &news, fault), -EINVAL);
    assert_non_null(strstr(fault, "does not belong"));
    assert_null(strstr(fault, "remove both"));
    hyperderp_pem_free(other_chain);
    hyperderp_pem_free(other_key);
    hyperderp_certificate_free(other);
    hyperderp_certificate_free(made);
    certificate_source_free(&source);
}

static void without_a_place_it_is_thrown_away(void **state)
{
    (void)state;
    const struct config_tls tls = {.cert = "", .key = "", .hostname = "a.example"};
    struct certificate_source source;
    hyperderp_certificate *certificate;
    enum certificate_news news;
    char certs[128];

    assert_int_equal(certificate_source_init(&source, &tls, NULL), 0);
    assert_int_equal(certificate_open(&certificate, &source, &news, fault), 0);
    assert_int_equal(news, CERTIFICATE_MADE);
    assert_true(hyperderp_certificate_covers(certificate, "a.example"));
    snprintf(certs, sizeof(certs), "%s/certs", folder);
    assert_int_equal(access(certs, F_OK), -1);
    hyperderp_certificate_free(certificate);
    certificate_source_free(&source);
}

static void a_folder_that_cannot_be_is_told(void **state)
{
    (void)state;
    struct certificate_source source;
    hyperderp_certificate *certificate;
    enum certificate_news news;

    snprintf(derp_key, sizeof(derp_key), "%s/a/b/derp.key", folder);
    init_source(&source, "a.example");
    assert_int_equal(certificate_open(&certificate, &source, &news, fault), -ENOENT);
    assert_null(certificate);
    assert_non_null(strstr(fault, "cannot be made: No such file or directory"));
    assert_non_null(strstr(fault, "set tls.cert and tls.key"));
    certificate_source_free(&source);
}

static void the_pin_is_the_hash(void **state)
{
    (void)state;
    hyperderp_certificate *certificate = open_own("a.example", CERTIFICATE_MADE);
    uint8_t hash[HYPERDERP_CERTIFICATE_HASH_SIZE];
    char pin[CERTIFICATE_PIN_SIZE], last[3];

    assert_int_equal(certificate_pin(certificate, pin), 0);
    assert_int_equal(hyperderp_certificate_hash(certificate, hash), 0);
    assert_int_equal(strlen(pin), 11 + 64);
    assert_int_equal(strncmp(pin, "sha256-raw:", 11), 0);
    snprintf(last, sizeof(last), "%02x", hash[31]);
    assert_string_equal(pin + 11 + 62, last);
    hyperderp_certificate_free(certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_is_made_once_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_host_has_another_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_expired_one_is_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_a_pair_is_made_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_at_once_make_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_one_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_operators_files_are_read_and_never_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_a_place_it_is_thrown_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_pin_is_the_hash, set_up, tear_down),
    };

    umask(077); /* private keys are among what is written */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
