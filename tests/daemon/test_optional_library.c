/* SPDX-License-Identifier: BSD-3-Clause */
/* Libraries that are loaded when they are needed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "curl_library.h"
#include "microhttpd_library.h"
#include "optional_library.h"
#include "systemd_library.h"

static void test_first_of_those_there_are(void **state)
{
    static const char *const sonames[] = {"libnot-there.so.9", "libm.so.6", NULL};
    double (*root)(double) = NULL;
    const struct library_function functions[] = {{"sqrt", &root}};

    (void)state;
    assert_int_equal(optional_library_load(sonames, functions, 1, "the test"), 0);
    assert_non_null(root);
    assert_true(root(49) > 6.5 && root(49) < 7.5);
}

static void test_none_of_them(void **state)
{
    static const char *const sonames[] = {"libnot-there.so.9", NULL};
    void *address = NULL;
    const struct library_function functions[] = {{"sqrt", &address}};

    (void)state;
    assert_int_equal(optional_library_load(sonames, functions, 1, "the test"), -ELIBACC);
    assert_null(address);
}

static void test_too_old_for_a_function(void **state)
{
    static const char *const sonames[] = {"libm.so.6", NULL};
    void *address = NULL;
    const struct library_function functions[] = {{"sqrt_of_next_year", &address}};

    (void)state;
    assert_int_equal(optional_library_load(sonames, functions, 1, "the test"), -ELIBACC);
    assert_null(address);
}

static void test_those_of_the_daemon(void **state)
{
    (void)state;
    assert_int_equal(curl_library_load(), 0);
    assert_int_equal(curl_library_load(), 0);
    assert_true(curl.version_info(CURLVERSION_NOW)->version_num >= CURL_OLDEST);
    assert_int_equal(microhttpd_library_load(), 0);
    assert_non_null(mhd.start_daemon);

    assert_int_equal(unsetenv("OF_THE_TEST"), 0);
    assert_false(systemd_library_is_wanted("OF_THE_TEST", "the test"));
    assert_null(sd.notify);
    assert_int_equal(setenv("OF_THE_TEST", "1", 1), 0);
    assert_true(systemd_library_is_wanted("OF_THE_TEST", "the test"));
    assert_non_null(sd.notify);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_of_those_there_are),
        cmocka_unit_test(test_none_of_them),
        cmocka_unit_test(test_too_old_for_a_function),
        cmocka_unit_test(test_those_of_the_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
