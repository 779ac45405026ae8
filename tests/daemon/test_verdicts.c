/* SPDX-License-Identifier: BSD-3-Clause */
/* Verdicts that are remembered: for whom, how long, and how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verdicts.h"

static struct verdicts *verdicts;

static int set_up(void **state)
{
    (void)state;
    verdicts = verdicts_new();
    return verdicts ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    verdicts_free(verdicts);
    return 0;
}

static hyperderp_key key_of(unsigned number)
{
    hyperderp_key key = {{0}};

    memcpy(key.bytes + 4, &number, sizeof(number));
    return key;
}

static void each_is_of_a_key_and_an_address(void **state)
{
    const hyperderp_key a = key_of(1), b = key_of(2);

    (void)state;
    assert_int_equal(verdicts_find(verdicts, &a, "192.0.2.1", 0), -1);
    verdicts_put(verdicts, &a, "192.0.2.1", 3, 1000);
    verdicts_put(verdicts, &a, "192.0.2.2", 5, 1000);
    verdicts_put(verdicts, &b, "", 255, 1000);
    assert_int_equal(verdicts_find(verdicts, &a, "192.0.2.1", 500), 3);
    assert_int_equal(verdicts_find(verdicts, &a, "192.0.2.2", 500), 5);
    assert_int_equal(verdicts_find(verdicts, &a, "192.0.2.3", 500), -1);
    assert_int_equal(verdicts_find(verdicts, &b, "", 500), 255);
    assert_int_equal(verdicts_find(verdicts, &b, "192.0.2.1", 500), -1);
    verdicts_clear(verdicts);
    assert_int_equal(verdicts_find(verdicts, &a, "192.0.2.1", 500), -1);
}

static void each_has_its_time(void **state)
{
    const hyperderp_key key = key_of(1);

    (void)state;
    verdicts_put(verdicts, &key, "", 1, 1000);
    assert_int_equal(verdicts_find(verdicts, &key, "", 999), 1);
    assert_int_equal(verdicts_find(verdicts, &key, "", 1000), -1);
    verdicts_put(verdicts, &key, "", 2, 2000); /* another one in its place */
    assert_int_equal(verdicts_find(verdicts, &key, "", 999), 2);
    assert_int_equal(verdicts_find(verdicts, &key, "", 1999), 2);
    verdicts_put(verdicts, &key, "", 3, 1500);
    assert_int_equal(verdicts_find(verdicts, &key, "", 1499), 3);
    assert_int_equal(verdicts_find(verdicts, &key, "", 1500), -1);
}

/* However many come, there is no more room, and the latest are kept. */
static void there_is_room_for_so_many(void **state)
{
    unsigned found = 0, recent = 0;

    (void)state;
    for (unsigned i = 0; i < VERDICTS_MAX * 2; i++) {
        const hyperderp_key key = key_of(i);
        verdicts_put(verdicts, &key, "192.0.2.1", 1, 1000 + i);
    }
    for (unsigned i = 0; i < VERDICTS_MAX * 2; i++) {
        const hyperderp_key key = key_of(i);
        bool here = verdicts_find(verdicts, &key, "192.0.2.1", 0) == 1;
        found += here;
        recent += here && i >= VERDICTS_MAX;
    }
    assert_true(found <= VERDICTS_MAX);
    assert_true(found > VERDICTS_MAX * 9 / 10);
    assert_true(recent > VERDICTS_MAX * 3 / 4);
}

static void an_address_of_any_length(void **state)
{
    const hyperderp_key key = key_of(1);
    char text[200];

    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t len = 60; len < 70; len++) {
        text[len] = '\0';
        verdicts_put(verdicts, &key, text, 1, 1000);
        assert_int_equal(verdicts_find(verdicts, &key, text, 0), len < 64 ? 1 : -1);
        text[len] = 'a';
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_is_of_a_key_and_an_address),
        T(each_has_its_time),
        T(there_is_room_for_so_many),
        T(an_address_of_any_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
