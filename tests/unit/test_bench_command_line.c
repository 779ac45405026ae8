/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "../../bench/command_line.c"

static struct load_options options;
static bool json;

/* Reads words that are separated by spaces; what options point to is valid until the next call. */
static int read_line(const char *line)
{
    static char copy[200];
    char *words[20] = {"hyper-derp-bench"}, *rest = copy;
    int count = 1;

    options = (struct load_options){.relay = "default", .peers = 20, .size = 1400, .burst = 1};
    json = false;
    optind = 0; /* begin anew, as glibc has it */
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word; (word = strsep(&rest, " ")) != NULL && count < 19;)
        words[count++] = word;
    return command_line_read(count, words, &options, &json);
}

static void clients(void **state)
{
    (void)state;
    assert_int_equal(read_line("--pairs 7"), -1);
    assert_int_equal(options.peers, 14);
    assert_int_equal(options.traffic, LOAD_ONE_WAY);
    assert_int_equal(read_line("--peers 500 --both-ways --json"), -1);
    assert_int_equal(options.peers, 500);
    assert_int_equal(options.traffic, LOAD_BOTH_WAYS);
    assert_true(json);
    assert_int_equal(read_line("--peers 5 --random --idle 3"), -1);
    assert_int_equal(options.peers, 5);
    assert_int_equal(options.idle, 3);
    assert_int_equal(options.traffic, LOAD_RANDOM);
    assert_int_equal(read_line("--peers 0 --idle 1"), -1);
}

static void wrong_clients(void **state)
{
    (void)state;
    assert_int_equal(read_line("--peers 5"), EX_USAGE);
    assert_int_equal(read_line("--peers 0"), EX_USAGE);
    assert_int_equal(read_line("--peers 1 --random"), EX_USAGE);
    assert_int_equal(read_line("--random --both-ways"), EX_USAGE);
    assert_int_equal(read_line("--pairs many"), EX_USAGE);
    assert_int_equal(read_line("--pairs 1.5"), EX_USAGE);
    assert_int_equal(read_line("--pairs -1"), EX_USAGE);
    assert_int_equal(read_line("more"), EX_USAGE);
    assert_int_equal(read_line("--size 23"), EX_USAGE);
    assert_int_equal(read_line("--burst 4096 --size 2000"), EX_USAGE);
}

#define PIN "sha256-raw:0102030405060708091011121314151617181920212223242526272829303132"

static void tls(void **state)
{
    (void)state;
    assert_int_equal(read_line("--json"), -1);
    assert_false(options.over_tls);
    assert_int_equal(read_line("--tls"), -1);
    assert_true(options.over_tls);
    assert_int_equal(options.tls_options.verification, TLS_VERIFY_CHAIN);
    assert_null(options.tls_options.ca_file);
    assert_null(options.server_name);
    assert_int_equal(read_line("--tls --ca file.pem --server-name derp.example.com"), -1);
    assert_int_equal(options.tls_options.verification, TLS_VERIFY_CHAIN);
    assert_string_equal(options.tls_options.ca_file, "file.pem");
    assert_string_equal(options.server_name, "derp.example.com");
    assert_int_equal(read_line("--pin " PIN " --tls --cipher TLS_AES_128_GCM_SHA256"), -1);
    assert_int_equal(options.tls_options.verification, TLS_VERIFY_PIN);
    assert_int_equal(options.tls_options.pin[0], 0x01);
    assert_int_equal(options.tls_options.pin[31], 0x32);
    assert_string_equal(options.tls_options.suites, "TLS_AES_128_GCM_SHA256");
    assert_int_equal(read_line("--tls --insecure"), -1);
    assert_int_equal(options.tls_options.verification, TLS_VERIFY_NOTHING);
}

static void wrong_tls(void **state)
{
    (void)state;
    assert_int_equal(read_line("--pin " PIN), EX_USAGE);
    assert_int_equal(read_line("--insecure"), EX_USAGE);
    assert_int_equal(read_line("--ca file.pem"), EX_USAGE);
    assert_int_equal(read_line("--cipher TLS_AES_128_GCM_SHA256"), EX_USAGE);
    assert_int_equal(read_line("--server-name derp.example.com"), EX_USAGE);
    assert_int_equal(read_line("--tls --pin " PIN "00"), EX_USAGE);
    assert_int_equal(read_line("--tls --pin 0102"), EX_USAGE);
    assert_int_equal(read_line("--tls --pin " PIN " --insecure"), EX_USAGE);
    assert_int_equal(read_line("--tls --insecure --ca file.pem"), EX_USAGE);
    assert_int_equal(read_line("--tls --ca file.pem --pin " PIN), EX_USAGE);
}

static void cores_are(const char *text, size_t count, const unsigned *expected)
{
    options.core_count = options.threads = 0;
    assert_int_equal(command_line_read_cores(text, &options), 0);
    assert_int_equal(options.core_count, count);
    assert_int_equal(options.threads, count);
    assert_memory_equal(options.cores, expected, count * sizeof(*expected));
}

static void cores(void **state)
{
    static const unsigned expected[] = {1, 3, 4, 5, 0};

    (void)state;
    cores_are("1", 1, expected);
    cores_are("1,3-5,0", 5, expected);
    cores_are("1,3", 2, expected);
    assert_int_equal(read_line("--cores 0,1 --threads 3"), -1);
    assert_int_equal(options.core_count, 0);
    assert_int_equal(options.threads, 3);
}

static void wrong_cores(void **state)
{
    static const char *const wrong[] = {
        "",      ",",        "1,",  "1-", "-1", "3-1", "a",     "1 ,2",   "1,,2",
        "1-2-3", "99999999", "1;2", "1x", " 1", "+1",  "0-999", "1,0x10", "18446744073709551617"};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(command_line_read_cores(wrong[i], &options), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients),   cmocka_unit_test(wrong_clients), cmocka_unit_test(tls),
        cmocka_unit_test(wrong_tls), cmocka_unit_test(cores),         cmocka_unit_test(wrong_cores),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
