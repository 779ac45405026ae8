/* SPDX-License-Identifier: BSD-3-Clause */
/* The embedder's options: of any size, checked, defaults where nothing is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "relay/options.h"

static hyperderp_relay_options fresh(void)
{
    hyperderp_relay_options options;

    hyperderp_relay_options_init(&options);
    return options;
}

static void defaults(void **state)
{
    hyperderp_relay_options options, given = fresh();

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(options_read(&options, i ? &given : NULL), 0);
        assert_int_equal(options.size, sizeof(options));
        assert_in_range(options.workers, 1, 128);
        assert_int_equal(options.engine, HYPERDERP_ENGINE_AUTO);
        assert_int_equal(options.log_level, HYPERDERP_LOG_INFO);
        assert_true(options.max_connections > 0);
        assert_int_equal(options.queue_frames, 1024);
        assert_int_equal(options.queue_bytes, 2 << 20);
        assert_int_equal(options.memory_bytes, 256 << 20);
        assert_int_equal(options.queue_time_ms, 2000);
        assert_int_equal(options.handshake_timeout_ms, 10000);
        assert_int_equal(options.keepalive_ms, 60000);
        assert_int_equal(options.write_timeout_ms, 15000);
        assert_null(options.admit);
        assert_null(options.log);
        assert_null(options.user);
        assert_true(
            hyperderp_key_is_zero((const hyperderp_key *)(const void *)&options.private_key));
    }
}

static void what_is_given_stays(void **state)
{
    hyperderp_relay_options options, given = fresh();

    (void)state;
    given.workers = 128;
    given.engine = HYPERDERP_ENGINE_EPOLL;
    given.max_connections = 7;
    given.queue_frames = 1;
    given.queue_bytes = 131072;
    given.memory_bytes = 131072;
    given.queue_time_ms = 0;
    given.handshake_timeout_ms = 1;
    given.keepalive_ms = 86400000;
    given.write_timeout_ms = 2;
    given.user = &given;
    given.log_level = HYPERDERP_LOG_DEBUG;
    given.private_key.bytes[3] = 4;
    assert_int_equal(options_read(&options, &given), 0);
    assert_int_equal(options.workers, 128);
    assert_int_equal(options.engine, HYPERDERP_ENGINE_EPOLL);
    assert_int_equal(options.max_connections, 7);
    assert_int_equal(options.queue_frames, 1);
    assert_int_equal(options.queue_bytes, 131072);
    assert_int_equal(options.memory_bytes, 131072);
    assert_int_equal(options.queue_time_ms, 0);
    assert_int_equal(options.handshake_timeout_ms, 1);
    assert_int_equal(options.keepalive_ms, 86400000);
    assert_int_equal(options.write_timeout_ms, 2);
    assert_ptr_equal(options.user, &given);
    assert_int_equal(options.log_level, HYPERDERP_LOG_DEBUG);
    assert_int_equal(options.private_key.bytes[3], 4);
}

/* A program built with an older header gives a shorter struct: what it lacks has its default, and
 * not a byte behind it is read or written. */
static void older_callers(void **state)
{
    hyperderp_relay_options options;
    struct {
        size_t size;
        hyperderp_private_key private_key;
        unsigned workers;
        unsigned char behind[64];
    } old;

    (void)state;
    memset(&old, 0xee, sizeof(old));
    size_t size = offsetof(hyperderp_relay_options, workers) + sizeof(unsigned);
    hyperderp_relay_options_init_sized((hyperderp_relay_options *)(void *)&old, size);
    assert_int_equal(old.size, size);
    assert_int_equal(old.workers, 0);
    for (unsigned i = 0; i < sizeof(old.behind); i++)
        assert_int_equal(old.behind[i], 0xee);
    old.workers = 5;
    assert_int_equal(options_read(&options, (hyperderp_relay_options *)(void *)&old), 0);
    assert_int_equal(options.workers, 5);
    assert_int_equal(options.engine, HYPERDERP_ENGINE_AUTO);
    assert_int_equal(options.queue_frames, 1024);
    assert_int_equal(options.log_level, HYPERDERP_LOG_INFO);
    assert_null(options.log);

    hyperderp_listener_options listener;
    struct {
        size_t size;
        const char *address;
        unsigned char behind[16];
    } old_listener;
    memset(&old_listener, 0xee, sizeof(old_listener));
    size = offsetof(hyperderp_listener_options, fd);
    hyperderp_listener_options_init_sized((hyperderp_listener_options *)(void *)&old_listener,
                                          size);
    assert_null(old_listener.address);
    assert_int_equal(old_listener.behind[0], 0xee);
    assert_int_equal(
        options_read_listener(&listener, (hyperderp_listener_options *)(void *)&old_listener), 0);
    assert_int_equal(listener.fd, -1);
    assert_int_equal(listener.backlog, 0);
}

/* One built with a newer header gives a longer struct, of which we know the beginning: it is
 * refused what it asks for beyond that. */
static void newer_callers(void **state)
{
    struct {
        hyperderp_relay_options options;
        unsigned char more[64];
    } new;
    struct {
        hyperderp_listener_options options;
        unsigned char more[64];
    } new_listener;
    hyperderp_relay_options options;
    hyperderp_listener_options listener;

    (void)state;
    memset(&new, 0xee, sizeof(new));
    memset(&new_listener, 0xee, sizeof(new_listener));
    hyperderp_relay_options_init_sized(&new.options, sizeof(new));
    assert_int_equal(new.options.size, sizeof(new));
    assert_int_equal(new.more[63], 0);
    new.options.workers = 9;
    new.more[63] = 1;
    assert_int_equal(options_read(&options, &new.options), -E2BIG);
    new.more[63] = 0;
    assert_int_equal(options_read(&options, &new.options), 0);
    assert_int_equal(options.workers, 9);
    assert_int_equal(options.size, sizeof(options));
    hyperderp_listener_options_init_sized(&new_listener.options, sizeof(new_listener));
    new_listener.options.backlog = 3;
    new_listener.more[0] = 1;
    assert_int_equal(options_read_listener(&listener, &new_listener.options), -E2BIG);
    new_listener.more[0] = 0;
    assert_int_equal(options_read_listener(&listener, &new_listener.options), 0);
    assert_int_equal(listener.backlog, 3);
    assert_int_equal(listener.fd, -1);
}

static void sizes_that_hold_nothing(void **state)
{
    hyperderp_relay_options options, given = fresh();
    hyperderp_listener_options listener, given_listener = {0};

    (void)state;
    given.size = 0;
    assert_int_equal(options_read(&options, &given), -EINVAL);
    given.size = sizeof(size_t) - 1;
    assert_int_equal(options_read(&options, &given), -EINVAL);
    assert_int_equal(options_read_listener(&listener, &given_listener), -EINVAL);
    assert_int_equal(options_read_listener(&listener, NULL), -EINVAL);
    hyperderp_relay_options_init_sized(NULL, sizeof(given));
    hyperderp_listener_options_init_sized(NULL, sizeof(given));
    given.workers = 77;
    hyperderp_relay_options_init_sized(&given, 3);
    assert_int_equal(given.workers, 77);
}

#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        hyperderp_relay_options given = fresh(), options;                                          \
        hyperderp_relay *relay = (hyperderp_relay *)&given;                                        \
        given.field = (value);                                                                     \
        assert_int_equal(options_read(&options, &given), -EINVAL);                                 \
        assert_int_equal(hyperderp_relay_new(&relay, &given), -EINVAL);                            \
        assert_null(relay);                                                                        \
    } while (0)

static void out_of_range(void **state)
{
    (void)state;
    REFUSED(workers, 129);
    REFUSED(workers, UINT32_MAX);
    REFUSED(engine, (hyperderp_engine)3);
    REFUSED(engine, (hyperderp_engine)-1);
    REFUSED(log_level, (hyperderp_log_level)4);
    REFUSED(log_level, (hyperderp_log_level)-1);
    REFUSED(queue_bytes, 131071);
    REFUSED(queue_bytes, 1);
    REFUSED(queue_bytes, (size_t)UINT32_MAX);
    REFUSED(queue_bytes, SIZE_MAX);
    REFUSED(memory_bytes, 131071);
    REFUSED(queue_time_ms, 86400001);
    REFUSED(handshake_timeout_ms, 86400001);
    REFUSED(keepalive_ms, 86400001);
    REFUSED(write_timeout_ms, UINT32_MAX);
    assert_int_equal(hyperderp_relay_new(NULL, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),      cmocka_unit_test(what_is_given_stays),
        cmocka_unit_test(older_callers), cmocka_unit_test(newer_callers),
        cmocka_unit_test(out_of_range),  cmocka_unit_test(sizes_that_hold_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
