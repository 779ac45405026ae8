/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections by their address: what is one address, how many there may be, and that nothing is
 * left of those that have gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "relay/addresses.h"

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&storage;

    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        storage.ss_family = AF_INET;
        return storage;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    storage.ss_family = AF_INET6;
    return storage;
}

static int enter(struct addresses *addresses, const char *text, unsigned most, struct address **out)
{
    struct sockaddr_storage address = address_of(text);
    struct endpoint from = endpoint_read((struct sockaddr *)&address);

    return addresses_enter(addresses, &from, most, out);
}

/* Whether the two count together. */
static bool are_one(const char *a, const char *b)
{
    struct address *first, *second;
    struct addresses addresses;

    addresses_init(&addresses);
    assert_int_equal(enter(&addresses, a, 1, &first), 0);
    int error = enter(&addresses, b, 1, &second);
    assert_true(error == 0 || error == -EUSERS);
    addresses_leave(&addresses, first);
    if (error == 0)
        addresses_leave(&addresses, second);
    assert_int_equal(addresses.count, 0);
    addresses_destroy(&addresses);
    return error != 0;
}

static void what_counts_together(void **state)
{
    (void)state;
    assert_true(are_one("192.0.2.1", "192.0.2.1"));
    assert_false(are_one("192.0.2.1", "192.0.2.2"));
    assert_true(are_one("192.0.2.1", "::ffff:192.0.2.1"));
    assert_false(are_one("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    assert_true(are_one("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_false(are_one("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert_false(are_one("::", "0.0.0.0"));
}

static void others_are_not_counted(void **state)
{
    struct endpoint local = {.kind = ENDPOINT_UNIX}, none = {.kind = ENDPOINT_UNKNOWN};
    struct address *address;
    struct addresses addresses;

    (void)state;
    addresses_init(&addresses);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(addresses_enter(&addresses, &local, 1, &address), 0);
        assert_null(address);
        assert_int_equal(addresses_enter(&addresses, &none, 1, &address), 0);
        assert_null(address);
        addresses_leave(&addresses, address);
    }
    assert_int_equal(addresses.count, 0);
    addresses_destroy(&addresses);
}

static void so_many_and_no_more(void **state)
{
    struct address *held[5], *more;
    struct addresses addresses;

    (void)state;
    addresses_init(&addresses);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(enter(&addresses, "192.0.2.1", 5, &held[i]), 0);
    assert_int_equal(enter(&addresses, "192.0.2.1", 5, &more), -EUSERS);
    assert_null(more);
    addresses_leave(&addresses, held[0]);
    assert_int_equal(enter(&addresses, "192.0.2.1", 5, &held[0]), 0);
    /* A limit that was lowered closes nobody, and lets nobody in; 0 is none. */
    assert_int_equal(enter(&addresses, "192.0.2.1", 2, &more), -EUSERS);
    assert_int_equal(enter(&addresses, "192.0.2.1", 0, &more), 0);
    addresses_leave(&addresses, more);
    for (unsigned i = 0; i < 5; i++)
        addresses_leave(&addresses, held[i]);
    assert_int_equal(addresses.count, 0);
    addresses_destroy(&addresses);
}

/* The table grows, and finds them all again. */
static void many_addresses(void **state)
{
    enum { MANY = 5000 };
    static struct address *held[MANY];
    struct address *again;
    struct addresses addresses;
    char text[64];

    (void)state;
    addresses_init(&addresses);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "2001:db8:%x:%x::1", i / 256, i % 256);
        assert_int_equal(enter(&addresses, text, 1, &held[i]), 0);
    }
    assert_int_equal(addresses.count, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "2001:db8:%x:%x::2", i / 256, i % 256);
        assert_int_equal(enter(&addresses, text, 1, &again), -EUSERS);
    }
    for (unsigned i = 0; i < MANY; i++)
        addresses_leave(&addresses, held[i]);
    assert_int_equal(addresses.count, 0);
    addresses_destroy(&addresses);
}

static void *come_and_go(void *arg)
{
    struct addresses *addresses = arg;
    struct address *address;
    char text[32];

    for (unsigned i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "192.0.2.%u", i % 7);
        if (enter(addresses, text, 2, &address) == 0)
            addresses_leave(addresses, address);
    }
    return NULL;
}

static void several_threads(void **state)
{
    struct addresses addresses;
    pthread_t threads[3];

    (void)state;
    addresses_init(&addresses);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &addresses), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(addresses.count, 0);
    addresses_destroy(&addresses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts_together), cmocka_unit_test(others_are_not_counted),
        cmocka_unit_test(so_many_and_no_more),  cmocka_unit_test(many_addresses),
        cmocka_unit_test(several_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
