/* SPDX-License-Identifier: BSD-3-Clause */
/* The public functions around a relay that needs no traffic: options, engines, identity, listeners,
 * counters, names. Each documented error is provoked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "relay_fixture.h"
#include "tls/gcm.h"
#include "tls/ktls.h"
#include "tls/suite.h"

/* What the log tells of failures. All tests here call it from one thread at a time. */
struct book {
    unsigned errors;
    char last_error[512];
};

static void write_book(void *user, hyperderp_log_level level, const char *line)
{
    struct book *book = user;

    if (level != HYPERDERP_LOG_ERROR)
        return;
    book->errors++;
    snprintf(book->last_error, sizeof(book->last_error), "%s", line);
}

/* A relay of one epoll worker, as cheap as can be. book may be NULL. */
static hyperderp_relay *make(struct book *book)
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_EPOLL, 1);
    hyperderp_relay *relay;

    options.log = book ? write_book : NULL;
    options.user = book;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    assert_non_null(relay);
    return relay;
}

static int listen_on(hyperderp_relay *relay, const char *address)
{
    hyperderp_listener_options options;

    hyperderp_listener_options_init(&options);
    options.address = address;
    return hyperderp_relay_add_listener(relay, &options);
}

static int listen_fd(hyperderp_relay *relay, int fd)
{
    hyperderp_listener_options options;

    hyperderp_listener_options_init(&options);
    options.fd = fd;
    return hyperderp_relay_add_listener(relay, &options);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* ---- Options ----------------------------------------------------------------------------------
 */

static void test_options_defaults(void **state)
{
    static const hyperderp_relay_options zero;
    hyperderp_relay_options options, expected = {.size = sizeof(options)};
    hyperderp_listener_options listener;
    (void)state;

    memset(&options, 0xff, sizeof(options));
    hyperderp_relay_options_init(&options);
    assert_int_equal(options.size, sizeof(options));
    assert_int_equal(options.log_level, HYPERDERP_LOG_INFO);
    assert_int_equal(options.engine, HYPERDERP_ENGINE_AUTO);
    expected.log_level = options.log_level;
    assert_int_equal(options.workers, expected.workers);
    assert_int_equal(options.queue_bytes, expected.queue_bytes);
    assert_memory_equal(&options.private_key, &zero.private_key, sizeof(zero.private_key));
    assert_true(!options.admit && !options.peer_changed && !options.log && !options.user);
    assert_true(!options.peer_event && !options.drained);

    memset(&listener, 0xff, sizeof(listener));
    hyperderp_listener_options_init(&listener);
    assert_int_equal(listener.size, sizeof(listener));
    assert_null(listener.address);
    assert_int_equal(listener.fd, -1);
    assert_int_equal(listener.backlog, 0);
}

/* A program built with another header has a shorter or a longer struct. */
static void test_options_init_other_sizes(void **state)
{
    union {
        hyperderp_relay_options options;
        uint8_t bytes[sizeof(hyperderp_relay_options) + 64];
    } u;
    const size_t shorter = offsetof(hyperderp_relay_options, max_connections);
    (void)state;

    memset(&u, 0xff, sizeof(u));
    hyperderp_relay_options_init_sized(&u.options, shorter);
    assert_int_equal(u.options.size, shorter);
    assert_int_equal(u.bytes[shorter - 1], 0);
    for (size_t i = shorter; i < sizeof(u); i++)
        assert_int_equal(u.bytes[i], 0xff);

    memset(&u, 0xff, sizeof(u));
    hyperderp_relay_options_init_sized(&u.options, sizeof(u) - 1);
    assert_int_equal(u.options.size, sizeof(u) - 1);
    for (size_t i = sizeof(u.options); i < sizeof(u) - 1; i++)
        assert_int_equal(u.bytes[i], 0);
    assert_int_equal(u.bytes[sizeof(u) - 1], 0xff);

    memset(&u, 0xff, sizeof(u));
    hyperderp_relay_options_init_sized(&u.options, sizeof(size_t) - 1);
    hyperderp_listener_options_init_sized((hyperderp_listener_options *)(void *)&u, 0);
    for (size_t i = 0; i < sizeof(u); i++)
        assert_int_equal(u.bytes[i], 0xff);
    hyperderp_relay_options_init_sized(NULL, sizeof(u));
    hyperderp_listener_options_init_sized(NULL, sizeof(u));
}

static void test_new_reads_other_sizes(void **state)
{
    union {
        hyperderp_relay_options options;
        uint8_t bytes[sizeof(hyperderp_relay_options) + 64];
    } u;
    hyperderp_counters counters = {.size = sizeof(counters)};
    hyperderp_relay *relay;
    (void)state;

    /* An older caller: what lies behind its struct is not looked at. */
    memset(&u, 0xff, sizeof(u));
    u.options = fixture_options(HYPERDERP_ENGINE_EPOLL, 2);
    u.options.size = offsetof(hyperderp_relay_options, max_connections);
    memset(u.bytes + u.options.size, 0xff, sizeof(u) - u.options.size);
    assert_int_equal(hyperderp_relay_new(&relay, &u.options), 0);
    assert_int_equal(hyperderp_relay_engine(relay), HYPERDERP_ENGINE_EPOLL);
    hyperderp_relay_counters(relay, &counters);
    assert_int_equal(counters.workers, 2);
    hyperderp_relay_free(relay);

    /* A newer one: it gets a relay as long as it does not ask for what is not known here. */
    memset(&u, 0, sizeof(u));
    u.options = fixture_options(HYPERDERP_ENGINE_EPOLL, 3);
    u.options.size = sizeof(u);
    u.bytes[sizeof(u) - 1] = 1;
    assert_int_equal(hyperderp_relay_new(&relay, &u.options), -E2BIG);
    assert_null(relay);
    u.bytes[sizeof(u) - 1] = 0;
    assert_int_equal(hyperderp_relay_new(&relay, &u.options), 0);
    hyperderp_relay_counters(relay, &counters);
    assert_int_equal(counters.workers, 3);
    hyperderp_relay_free(relay);

    /* None at all: uninitialised. */
    u.options.size = sizeof(size_t) - 1;
    assert_int_equal(hyperderp_relay_new(&relay, &u.options), -EINVAL);
    assert_null(relay);
    u.options.size = SIZE_MAX;
    assert_int_equal(hyperderp_relay_new(&relay, &u.options), -E2BIG);
}

static void test_new_without_options(void **state)
{
    hyperderp_counters counters = {.size = sizeof(counters)};
    hyperderp_relay *relay;
    cpu_set_t cores;
    (void)state;

    assert_int_equal(hyperderp_relay_new(NULL, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_new(&relay, NULL), 0);
    hyperderp_relay_counters(relay, &counters);
    assert_int_equal(sched_getaffinity(0, sizeof(cores), &cores), 0);
    assert_int_equal(counters.workers, CPU_COUNT(&cores) < 128 ? CPU_COUNT(&cores) : 128);
    assert_int_equal(counters.connections, 0);
    assert_int_not_equal(hyperderp_relay_engine(relay), HYPERDERP_ENGINE_AUTO);
    hyperderp_relay_free(relay);
}

/* Makes a relay with one field of the options set, and returns what was said. */
#define NEW_WITH(field, value)                                                                     \
    ({                                                                                             \
        hyperderp_relay_options with_ = fixture_options(HYPERDERP_ENGINE_EPOLL, 1);                \
        hyperderp_relay *relay_ = (hyperderp_relay *)&with_;                                       \
        with_.field = (value);                                                                     \
        int result_ = hyperderp_relay_new(&relay_, &with_);                                        \
        assert_true((result_ == 0) == (relay_ != NULL));                                           \
        hyperderp_relay_free(relay_);                                                              \
        result_;                                                                                   \
    })

static void test_options_out_of_range(void **state)
{
    (void)state;
    assert_int_equal(NEW_WITH(workers, 129), -EINVAL);
    assert_int_equal(NEW_WITH(workers, UINT32_MAX), -EINVAL);
    assert_int_equal(NEW_WITH(workers, 128), 0);
    assert_int_equal(NEW_WITH(engine, (hyperderp_engine)3), -EINVAL);
    assert_int_equal(NEW_WITH(log_level, (hyperderp_log_level)4), -EINVAL);
    assert_int_equal(NEW_WITH(log_level, HYPERDERP_LOG_DEBUG), 0);
    assert_int_equal(NEW_WITH(queue_bytes, 131071), -EINVAL);
    assert_int_equal(NEW_WITH(queue_bytes, 131072), 0);
    assert_int_equal(NEW_WITH(queue_bytes, (size_t)1 << 31), -EINVAL);
    assert_int_equal(NEW_WITH(queue_bytes, ((size_t)1 << 31) - 1), 0);
    assert_int_equal(NEW_WITH(memory_bytes, 131071), -EINVAL);
    assert_int_equal(NEW_WITH(memory_bytes, 131072), 0);
    assert_int_equal(NEW_WITH(handshake_timeout_ms, 86400001), -EINVAL);
    assert_int_equal(NEW_WITH(keepalive_ms, 86400001), -EINVAL);
    assert_int_equal(NEW_WITH(write_timeout_ms, 86400001), -EINVAL);
    assert_int_equal(NEW_WITH(write_timeout_ms, 86400000), 0);
    assert_int_equal(NEW_WITH(queue_time_ms, 86400001), -EINVAL);
    assert_int_equal(NEW_WITH(queue_time_ms, 86400000), 0);
    assert_int_equal(NEW_WITH(queue_time_ms, 0), 0);
    assert_int_equal(NEW_WITH(max_connections, 1), 0);
    assert_int_equal(NEW_WITH(home, "default"), 0);
    assert_int_equal(NEW_WITH(home, "blank"), 0);
    assert_int_equal(NEW_WITH(home, "https://derp.example/"), 0);
    assert_int_equal(NEW_WITH(home, "derp.example"), -EINVAL);
    assert_int_equal(NEW_WITH(home, "https://derp.example/\r\nX: y"), -EINVAL);
}

/* ---- Identity, names --------------------------------------------------------------------------
 */

#define ALICE_PRIVATE "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
#define ALICE_PUBLIC  "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"

static void test_identity(void **state)
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_EPOLL, 1);
    hyperderp_key expected, first, second;
    hyperderp_relay *relay;
    (void)state;

    /* Alice's key pair of RFC 7748, section 6.1. */
    assert_int_equal(hyperderp_private_key_parse(&options.private_key, ALICE_PRIVATE), 0);
    assert_int_equal(hyperderp_key_parse(&expected, ALICE_PUBLIC), 0);
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    hyperderp_relay_public_key(relay, &first);
    assert_true(hyperderp_key_equal(&first, &expected));
    hyperderp_relay_free(relay);

    relay = make(NULL);
    hyperderp_relay_public_key(relay, &first);
    hyperderp_relay_free(relay);
    relay = make(NULL);
    hyperderp_relay_public_key(relay, &second);
    hyperderp_relay_free(relay);
    assert_false(hyperderp_key_is_zero(&first));
    assert_false(hyperderp_key_equal(&first, &second));
}

static void test_names(void **state)
{
    static const char *const reasons[HYPERDERP_DROP_REASONS] = {
        "unknown_peer", "queue_full", "gone", "write_error", "memory", "duplicate_key", "expired"};
    (void)state;

    for (int i = 0; i < HYPERDERP_DROP_REASONS; i++)
        assert_string_equal(hyperderp_drop_reason_name((hyperderp_drop_reason)i), reasons[i]);
    assert_string_equal(hyperderp_drop_reason_name((hyperderp_drop_reason)HYPERDERP_DROP_REASONS),
                        "unknown");
    assert_string_equal(hyperderp_engine_name(HYPERDERP_ENGINE_AUTO), "auto");
    assert_string_equal(hyperderp_engine_name(HYPERDERP_ENGINE_IO_URING), "io_uring");
    assert_string_equal(hyperderp_engine_name(HYPERDERP_ENGINE_EPOLL), "epoll");
    assert_string_equal(hyperderp_engine_name((hyperderp_engine)3), "unknown");
    assert_string_equal(hyperderp_version(), HYPERDERP_VERSION);
}

/* ---- Engines ----------------------------------------------------------------------------------
 */

static void test_engine_forced(void **state)
{
    struct book book = {0};
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_IO_URING, 1);
    hyperderp_relay *relay = make(NULL);
    (void)state;

    assert_int_equal(hyperderp_relay_engine(relay), HYPERDERP_ENGINE_EPOLL);
    hyperderp_relay_free(relay);

    options.log = write_book;
    options.user = &book;
    int error = hyperderp_relay_new(&relay, &options);
    if (error == 0) {
        assert_int_equal(hyperderp_relay_engine(relay), HYPERDERP_ENGINE_IO_URING);
    } else {
        assert_int_equal(error, -ENOSYS);
        assert_int_equal(book.errors, 1);
    }
    hyperderp_relay_free(relay);
}

/* ---- Listeners --------------------------------------------------------------------------------
 */

static void test_listener_wrong(void **state)
{
    static const char *const wrong[] = {
        "",
        "127.0.0.1",
        ":",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "::1:80",
        "[::1]",
        "127.0.0.1:x",
        ":12x",
        "127.0.0.1:-1",
        ": 80",
        "[::1]:80 ",
        "::1]:3340",
        "[::1:3340",
        "a:b:3340",
        "127.0.0.1:999999",
    };
    struct book book = {0};
    hyperderp_relay *relay = make(&book);
    hyperderp_listener_options options;
    (void)state;

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        book = (struct book){0};
        assert_int_equal(listen_on(relay, wrong[i]), -EINVAL);
        assert_int_equal(book.errors, 1);
        assert_non_null(strstr(book.last_error, wrong[i]));
    }
    assert_int_equal(hyperderp_relay_add_listener(relay, NULL), -EINVAL);
    assert_int_equal(listen_on(NULL, "127.0.0.1:0"), -EINVAL);
    hyperderp_listener_options_init(&options);
    assert_int_equal(hyperderp_relay_add_listener(relay, &options), -EINVAL); /* neither */
    options.address = "127.0.0.1:0";
    options.fd = 0;
    assert_int_equal(hyperderp_relay_add_listener(relay, &options), -EINVAL); /* both */
    options.fd = -1;
    options.backlog = -1;
    assert_int_equal(hyperderp_relay_add_listener(relay, &options), -EINVAL);
    options.backlog = 0;
    options.size = sizeof(size_t) - 1;
    assert_int_equal(hyperderp_relay_add_listener(relay, &options), -EINVAL);
    /* An older caller, whose struct ended behind the address. */
    options.size = offsetof(hyperderp_listener_options, fd);
    options.fd = 12345;
    assert_int_equal(hyperderp_relay_add_listener(relay, &options), 0);
    hyperderp_relay_free(relay);
}

/* What the system refuses is told with its errno, and in the log with the address. */
static void test_listener_refused(void **state)
{
    /* A label of more than 63 letters: no resolver asks anybody for that. */
    static const char no_host[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid:3340";
    struct book book = {0};
    hyperderp_relay *relay = make(&book);
    char address[64];
    (void)state;

    assert_int_equal(listen_on(relay, "127.0.0.1:0"), 0);
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, address, sizeof(address)), 0);
    assert_int_equal(book.errors, 0);
    assert_int_equal(listen_on(relay, address), -EADDRINUSE);
    assert_int_equal(book.errors, 1);
    assert_non_null(strstr(book.last_error, address));
    assert_int_equal(listen_on(relay, "203.0.113.1:0"), -EADDRNOTAVAIL);
    assert_int_equal(book.errors, 2);
    assert_non_null(strstr(book.last_error, "203.0.113.1:0"));
    assert_int_equal(listen_on(relay, no_host), -ENOENT);
    assert_int_equal(book.errors, 3);
    assert_non_null(strstr(book.last_error, no_host));
    /* A failure takes no number. */
    assert_int_equal(listen_on(relay, "localhost:0"), 1);
    hyperderp_relay_free(relay);
}

static void test_listener_address(void **state)
{
    hyperderp_relay *relay = make(NULL);
    char text[64], small[64];
    (void)state;

    assert_int_equal(listen_on(relay, "127.0.0.1:0"), 0);
    memset(text, 'x', sizeof(text));
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, text, sizeof(text)), 0);
    assert_int_equal(strncmp(text, "127.0.0.1:", 10), 0);
    assert_string_not_equal(text, "127.0.0.1:0");

    memset(small, 'x', sizeof(small));
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, small, 0), -ENOSPC);
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, small, strlen(text)), -ENOSPC);
    assert_int_equal(small[0], 'x');
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, small, strlen(text) + 1), 0);
    assert_string_equal(small, text);
    assert_int_equal(small[strlen(text) + 1], 'x');

    assert_int_equal(hyperderp_relay_listener_address(relay, -1, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(relay, 1, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(NULL, 0, text, sizeof(text)), -EINVAL);

    /* Every address, by IPv6 where there is any. */
    assert_int_equal(listen_on(relay, ":0"), 1);
    assert_int_equal(hyperderp_relay_listener_address(relay, 1, text, sizeof(text)), 0);
    assert_true(strncmp(text, "[::]:", 5) == 0 || strncmp(text, "0.0.0.0:", 8) == 0);
    int six = listen_on(relay, "[::1]:0");
    if (six >= 0) {
        assert_int_equal(six, 2);
        assert_int_equal(hyperderp_relay_listener_address(relay, 2, text, sizeof(text)), 0);
        assert_int_equal(strncmp(text, "[::1]:", 6), 0);
    }
    hyperderp_relay_free(relay);
}

static void test_listener_limit(void **state)
{
    hyperderp_relay *relay = make(NULL);
    (void)state;

    for (int i = 0; i < 64; i++)
        assert_int_equal(listen_on(relay, "127.0.0.1:0"), i);
    assert_int_equal(listen_on(relay, "127.0.0.1:0"), -ENOSPC);
    /* The last of them takes clients like the first. */
    struct fixture fixture = {.relay = relay};
    assert_int_equal(
        hyperderp_relay_listener_address(relay, 63, fixture.address, sizeof(fixture.address)), 0);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    client_socket_close(fixture_join(&fixture, 0));
    assert_int_equal(listen_on(relay, "127.0.0.1:0"), -EBUSY);
    hyperderp_relay_stop(relay);
    assert_int_equal(listen_on(relay, "127.0.0.1:0"), -EBUSY);
    hyperderp_relay_free(relay);
}

static void test_listener_fd(void **state)
{
    struct book book = {0};
    hyperderp_relay *relay = make(&book);
    struct fixture fixture = {.relay = relay};
    int pipes[2], fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;

    assert_int_equal(pipe(pipes), 0);
    assert_true(fd >= 0);
    /* What is refused stays the caller's. */
    assert_int_equal(listen_fd(relay, pipes[0]), -EINVAL);
    assert_int_equal(listen_fd(relay, fd), -EINVAL);
    assert_int_equal(book.errors, 2);
    assert_true(is_open(pipes[0]) && is_open(fd));
    assert_int_equal(close(pipes[0]) + close(pipes[1]), 0);
    assert_int_equal(listen_fd(relay, pipes[0]), -EINVAL);

    assert_int_equal(listen(fd, 8), 0); /* unbound: the kernel chooses address and port */
    assert_int_equal(listen_fd(relay, fd), 0);
    assert_int_equal(
        hyperderp_relay_listener_address(relay, 0, fixture.address, sizeof(fixture.address)), 0);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    client_socket_close(fixture_join(&fixture, 0));
    assert_true(is_open(fd));
    hyperderp_relay_free(relay);
    assert_false(is_open(fd));
}

/* ---- Counters ---------------------------------------------------------------------------------
 */

static void test_counters_other_sizes(void **state)
{
    union {
        hyperderp_counters counters;
        uint8_t bytes[sizeof(hyperderp_counters) + 64];
    } u;
    const size_t sizes[] = {sizeof(size_t), offsetof(hyperderp_counters, packets_received),
                            offsetof(hyperderp_counters, workers), sizeof(hyperderp_counters),
                            sizeof(u) - 1};
    hyperderp_relay *relay = make(NULL);
    (void)state;

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t known = sizes[i] < sizeof(u.counters) ? sizes[i] : sizeof(u.counters);
        memset(&u, 0xee, sizeof(u));
        u.counters.size = sizes[i];
        hyperderp_relay_counters(relay, &u.counters);
        assert_int_equal(u.counters.size, sizes[i]);
        for (size_t at = sizeof(size_t); at < known; at++)
            assert_int_not_equal(u.bytes[at], 0xee);
        for (size_t at = known; at < sizeof(u); at++)
            assert_int_equal(u.bytes[at], 0xee);
    }
    assert_int_equal(u.counters.workers, 1);

    memset(&u, 0xee, sizeof(u));
    u.counters.size = sizeof(size_t) - 1;
    hyperderp_relay_counters(relay, &u.counters);
    for (size_t at = sizeof(size_t); at < sizeof(u); at++)
        assert_int_equal(u.bytes[at], 0xee);
    hyperderp_relay_counters(relay, NULL);
    hyperderp_relay_counters(NULL, &u.counters);
    hyperderp_relay_free(relay);
}

/* ---- Version and features ---------------------------------------------------------------------
 */

static void test_version_number(void **state)
{
    unsigned major, minor, patch;
    (void)state;

    assert_int_equal(sscanf(hyperderp_version(), "%u.%u.%u", &major, &minor, &patch), 3);
    assert_int_equal(hyperderp_version_number(), major * 10000 + minor * 100 + patch);
    assert_int_equal(hyperderp_version_number(), HYPERDERP_VERSION_NUMBER);
}

/* What is said is what happens. */
static void test_features(void **state)
{
    hyperderp_relay_options options;
    hyperderp_relay *relay;
    (void)state;

    hyperderp_relay_options_init(&options);
    options.workers = 1;
    options.engine = HYPERDERP_ENGINE_IO_URING;
    int error = hyperderp_relay_new(&relay, &options);
    hyperderp_relay_free(relay);
    assert_int_equal(hyperderp_has_feature(HYPERDERP_FEATURE_IO_URING), error == 0);

    struct ktls_support ktls;
    assert_int_equal(hyperderp_has_feature(HYPERDERP_FEATURE_KTLS), ktls_probe(&ktls) == 0);
    if (hyperderp_has_feature(HYPERDERP_FEATURE_KTLS_KEY_UPDATE))
        assert_true(hyperderp_has_feature(HYPERDERP_FEATURE_KTLS));
    /* As cipher contexts are made. */
    struct gcm *gcm = gcm_new(tls_suite_find(TLS_AES_128_GCM));
    assert_int_equal(hyperderp_has_feature(HYPERDERP_FEATURE_IPSEC_MB), gcm != NULL);
    gcm_free(gcm);

    assert_false(hyperderp_has_feature((hyperderp_feature)HYPERDERP_FEATURES));
    assert_false(hyperderp_has_feature((hyperderp_feature)77777));
    assert_false(hyperderp_has_feature((hyperderp_feature)-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_defaults),
        cmocka_unit_test(test_options_init_other_sizes),
        cmocka_unit_test(test_new_reads_other_sizes),
        cmocka_unit_test(test_new_without_options),
        cmocka_unit_test(test_options_out_of_range),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_engine_forced),
        cmocka_unit_test(test_listener_wrong),
        cmocka_unit_test(test_listener_refused),
        cmocka_unit_test(test_listener_address),
        cmocka_unit_test(test_listener_limit),
        cmocka_unit_test(test_listener_fd),
        cmocka_unit_test(test_counters_other_sizes),
        cmocka_unit_test(test_version_number),
        cmocka_unit_test(test_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
