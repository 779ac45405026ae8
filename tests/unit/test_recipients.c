/* SPDX-License-Identifier: BSD-3-Clause */
/* The set of those a peer has sent to: what it finds again, and its bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "relay/recipients.h"

static hyperderp_key key_of(uint32_t number)
{
    hyperderp_key key = {{0}};

    memcpy(key.bytes, &number, sizeof(number));
    return key;
}

/* A mix of the number, so that entries lie all over the table (the finaliser of MurmurHash3). */
static uint64_t hash_of(uint32_t number)
{
    uint64_t hash = number;

    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
    return hash ^ hash >> 33;
}

static void add(struct recipients *set, uint32_t number, uint64_t hash, uint64_t serial)
{
    const struct recipient recipient = {.hash = hash, .serial = serial, .key = key_of(number)};

    recipients_add(set, &recipient, true);
}

/* How often a number stands in the set; its serial in *serial. */
static unsigned occurrences(const struct recipients *set, uint32_t number, uint64_t *serial)
{
    hyperderp_key key = key_of(number);
    unsigned found = 0;

    for (uint32_t i = 0; i < set->capacity; i++) {
        if (set->entries[i].serial == 0 || memcmp(&set->entries[i].key, &key, sizeof(key)) != 0)
            continue;
        found++;
        *serial = set->entries[i].serial;
    }
    return found;
}

static unsigned used_entries(const struct recipients *set)
{
    unsigned used = 0;

    for (uint32_t i = 0; i < set->capacity; i++)
        used += set->entries[i].serial != 0;
    return used;
}

static void grows_and_keeps_all(void **state)
{
    struct recipients set = {0};
    uint64_t serial;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        add(&set, i, hash_of(i), i + 1);
        assert_int_equal(set.count, i + 1);
        assert_int_equal(set.capacity & (set.capacity - 1), 0);
        assert_true(set.count < set.capacity);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(occurrences(&set, i, &serial), 1);
        assert_int_equal(serial, i + 1);
    }
    recipients_destroy(&set);
    assert_int_equal(set.capacity, 0);
    assert_null(set.entries);
}

static void another_connection_replaces_the_first(void **state)
{
    struct recipients set = {0};
    uint64_t serial;

    (void)state;
    for (uint64_t round = 1; round <= 3; round++)
        for (uint32_t i = 0; i < 100; i++)
            add(&set, i, hash_of(i), round * 1000 + i);
    assert_int_equal(set.count, 100);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(occurrences(&set, i, &serial), 1);
        assert_int_equal(serial, 3000 + i);
    }
    recipients_destroy(&set);
}

/* Of keys with several connections each one is kept, once, also while the table grows; one that is
 * alone then takes one place and leaves the others. */
static void several_of_a_key(void **state)
{
    struct recipients set = {0};
    uint64_t serial = 0;

    (void)state;
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 300; i++) {
            const struct recipient one = {
                .hash = hash_of(i / 3), .serial = i + 1, .key = key_of(i / 3)};
            recipients_add(&set, &one, false);
        }
    assert_int_equal(set.count, 300);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(occurrences(&set, i, &serial), 3);
    for (uint64_t round = 1; round < 10; round++)
        for (uint32_t i = 0; i < 100; i++)
            add(&set, i, hash_of(i), round * 1000 + i);
    assert_int_equal(set.count, 300);
    recipients_destroy(&set);
}

/* A key that comes with thousands of connections keeps the newest of them, however the table grows
 * for others. */
static void few_of_a_key(void **state)
{
    struct recipients set = {0};
    uint64_t serial = 0, sum = 0, newest = 5000;

    (void)state;
    for (uint32_t i = 1; i <= newest; i++) {
        const struct recipient one = {.hash = hash_of(0), .serial = i, .key = key_of(0)};
        recipients_add(&set, &one, false);
        if (i % 100 == 0)
            add(&set, i, hash_of(i), i);
        assert_true(occurrences(&set, 0, &serial) <= RECIPIENTS_OF_KEY);
    }
    assert_int_equal(set.count, newest / 100 + RECIPIENTS_OF_KEY);
    for (uint32_t i = 0; i < set.capacity; i++)
        if (set.entries[i].serial != 0 && set.entries[i].hash == hash_of(0))
            sum += newest - set.entries[i].serial;
    assert_int_equal(sum, RECIPIENTS_OF_KEY * (RECIPIENTS_OF_KEY - 1) / 2);
    recipients_destroy(&set);
}

/* Keys of one hash, and keys whose hashes differ in the high bits alone. */
static void collisions_lose_nobody(void **state)
{
    struct recipients set = {0};
    uint64_t serial;

    (void)state;
    for (uint32_t i = 0; i < 500; i++)
        add(&set, i, i < 50 ? 0xffffffff : (uint64_t)i << 32 | 0xffffffff, i + 1);
    assert_int_equal(set.count, 500);
    for (uint32_t i = 0; i < 500; i++) {
        assert_int_equal(occurrences(&set, i, &serial), 1);
        assert_int_equal(serial, i + 1);
    }
    for (uint32_t i = 0; i < 500; i++)
        add(&set, i, i < 50 ? 0xffffffff : (uint64_t)i << 32 | 0xffffffff, i + 1001);
    assert_int_equal(set.count, 500);
    recipients_destroy(&set);
}

/* Noting once more whoever is in the set changes nothing: each is found, whoever had to go before
 * it. */
static void all_are_found(struct recipients *set)
{
    size_t size = set->capacity * sizeof(*set->entries);
    struct recipient *before = malloc(size);

    assert_non_null(before);
    memcpy(before, set->entries, size);
    for (uint32_t i = 0; i < set->capacity; i++)
        if (before[i].serial != 0)
            recipients_add(set, &before[i], i % 2);
    assert_memory_equal(set->entries, before, size);
    free(before);
}

/* Beyond the bound an older one gives way to each new one, and the set stays one that can be
 * searched: at least one entry is free, or a search for a key that is not there would have no end.
 */
static void bounded(void **state)
{
    struct recipients set = {0};
    uint64_t serial;

    (void)state;
    for (uint32_t i = 0; i < 40 * RECIPIENTS_MAX; i++) {
        add(&set, i, hash_of(i), i + 1);
        assert_true(set.count <= RECIPIENTS_MAX);
        assert_true(set.count < set.capacity);
        if (i % 1000 == 0 || i == RECIPIENTS_MAX + 100) {
            assert_int_equal(used_entries(&set), set.count);
            assert_int_equal(occurrences(&set, i, &serial), 1);
            all_are_found(&set);
        }
    }
    assert_true(set.count > RECIPIENTS_MAX / 2);
    recipients_destroy(&set);
}

/* Once full: whoever is noted again is found again and stands there once. */
static void full_and_noted_again(void **state)
{
    struct recipients set = {0};
    uint64_t serial;

    (void)state;
    for (uint32_t i = 0; i < 3 * RECIPIENTS_MAX; i++)
        add(&set, i, hash_of(i), 1);
    for (uint32_t i = 0; i < 300; i++) {
        add(&set, i, hash_of(i), 7);
        assert_int_equal(occurrences(&set, i, &serial), 1);
        assert_int_equal(serial, 7);
        add(&set, i, hash_of(i), 8);
        assert_int_equal(occurrences(&set, i, &serial), 1);
        assert_int_equal(serial, 8);
        assert_true(set.count <= RECIPIENTS_MAX);
    }
    recipients_destroy(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_keeps_all),
        cmocka_unit_test(another_connection_replaces_the_first),
        cmocka_unit_test(several_of_a_key),
        cmocka_unit_test(few_of_a_key),
        cmocka_unit_test(collisions_lose_nobody),
        cmocka_unit_test(bounded),
        cmocka_unit_test(full_and_noted_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
