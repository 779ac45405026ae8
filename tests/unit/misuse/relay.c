/* SPDX-License-Identifier: BSD-3-Clause */
/* Of relay.h. */
#include "misuse.h"

#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../relay_fixture.h"

/* ---- Options, and making a relay ---- */

MISUSE(hyperderp_relay_options_init_sized)
{
    hyperderp_relay_options options = {.workers = 77};

    hyperderp_relay_options_init_sized(NULL, sizeof(options));
    hyperderp_relay_options_init_sized(&options, 0);
    hyperderp_relay_options_init_sized(&options, sizeof(size_t) - 1);
    assert_int_equal(options.workers, 77);
}

MISUSE(hyperderp_listener_options_init_sized)
{
    hyperderp_listener_options options = {.fd = 77};

    hyperderp_listener_options_init_sized(NULL, sizeof(options));
    hyperderp_listener_options_init_sized(&options, 0);
    hyperderp_listener_options_init_sized(&options, sizeof(size_t) - 1);
    assert_int_equal(options.fd, 77);
}

/* Each field is wrong in turn. */
static void set_wrong(hyperderp_relay_options *options, unsigned n)
{
    switch (n) {
    case 0:
        options->workers = 129;
        break;
    case 1:
        options->workers = UINT_MAX;
        break;
    case 2:
        options->engine = MISUSE_ENUM(hyperderp_engine);
        break;
    case 3:
        options->engine = (hyperderp_engine)-1;
        break;
    case 4:
        options->log_level = MISUSE_ENUM(hyperderp_log_level);
        break;
    case 5:
        options->queue_bytes = 1;
        break;
    case 6:
        options->queue_bytes = SIZE_MAX;
        break;
    case 7:
        options->memory_bytes = 1;
        break;
    case 8:
        options->handshake_timeout_ms = UINT_MAX;
        break;
    case 9:
        options->keepalive_ms = UINT_MAX;
        break;
    case 10:
        options->write_timeout_ms = UINT_MAX;
        break;
    case 11:
        options->queue_time_ms = UINT_MAX;
        break;
    case 12:
        options->socket_buffer = UINT_MAX;
        break;
    case 13:
        options->accept_rate = UINT_MAX;
        break;
    case 14:
        options->accept_burst = UINT_MAX;
        break;
    case 15:
        options->client_rate = UINT64_MAX;
        break;
    case 16:
        options->client_rate = 1;
        break;
    case 17:
        options->client_burst = UINT64_MAX;
        break;
    case 18:
        options->pin_workers = true;
        options->pin_core_count = 1;
        break;
    case 19:
        options->home = "neither a word nor a URL";
        break;
    }
}
#define WRONG_OPTIONS 20

MISUSE(hyperderp_relay_new)
{
    struct {
        hyperderp_relay_options options;
        char newer;
    } given;
    hyperderp_relay *relay = (void *)1;

    assert_int_equal(hyperderp_relay_new(NULL, NULL), -EINVAL);
    for (unsigned n = 0; n < WRONG_OPTIONS; n++) {
        given.options = fixture_options(HYPERDERP_ENGINE_AUTO, 1);
        set_wrong(&given.options, n);
        int error = hyperderp_relay_new(&relay, &given.options);
        if (error != -EINVAL || relay)
            fail_msg("wrong options %u: %d", n, error);
    }
    given.options = fixture_options(HYPERDERP_ENGINE_AUTO, 1);
    given.options.size = sizeof(given);
    given.newer = 1;
    assert_int_equal(hyperderp_relay_new(&relay, &given.options), -E2BIG);
    given.options.size = SIZE_MAX;
    assert_int_equal(hyperderp_relay_new(&relay, &given.options), -E2BIG);
    for (given.options.size = 0; given.options.size < sizeof(size_t); given.options.size++)
        assert_int_equal(hyperderp_relay_new(&relay, &given.options), -EINVAL);
    assert_null(relay);
}

MISUSE(hyperderp_relay_public_key)
{
    hyperderp_relay *relay = misuse_ready_relay();
    hyperderp_key key = {{7}};

    hyperderp_relay_public_key(relay, NULL);
    hyperderp_relay_public_key(NULL, NULL);
    hyperderp_relay_public_key(NULL, &key);
    assert_true(hyperderp_key_is_zero(&key));
    hyperderp_relay_free(relay);
}

MISUSE(hyperderp_relay_engine)
{
    assert_int_equal(hyperderp_relay_engine(NULL), HYPERDERP_ENGINE_AUTO);
}

MISUSE(hyperderp_engine_name)
{
    assert_string_equal(hyperderp_engine_name(MISUSE_ENUM(hyperderp_engine)), "unknown");
    assert_string_equal(hyperderp_engine_name((hyperderp_engine)-1), "unknown");
}

/* ---- Listeners ---- */

static int add_listener(hyperderp_relay *relay)
{
    hyperderp_listener_options options;

    hyperderp_listener_options_init(&options);
    options.address = "127.0.0.1:0";
    int number = hyperderp_relay_add_listener(relay, &options);
    return number < 0 ? number : 0;
}

/* Fields that are wrong for a listener in the clear. */
static void set_wrong_listener(hyperderp_listener_options *options, unsigned n)
{
    static const char *const no_network[] = {"no network"}, *const null[] = {NULL};

    options->address = "127.0.0.1:0";
    switch (n) {
    case 0:
        options->address = NULL;
        break;
    case 1:
        options->address = "";
        break;
    case 2:
        options->address = "127.0.0.1:65536";
        break;
    case 3:
        options->address = "unix:";
        break;
    case 4:
        options->fd = 1000000; /* not open */
        break;
    case 5:
        options->backlog = -1;
        break;
    case 6:
        options->offload = MISUSE_ENUM(hyperderp_offload);
        break;
    case 7:
        options->offload = HYPERDERP_OFFLOAD_KERNEL;
        break;
    case 8:
        options->proxy_protocol = true;
        break;
    case 9:
        options->trusted_proxy_count = 1;
        break;
    case 10:
        options->proxy_protocol = true;
        options->trusted_proxy_count = 1;
        break;
    case 11:
        options->proxy_protocol = true;
        options->trusted_proxies = no_network;
        options->trusted_proxy_count = 1;
        break;
    case 12:
        options->proxy_protocol = true;
        options->trusted_proxies = null;
        options->trusted_proxy_count = 1;
        break;
    }
}
#define WRONG_LISTENERS 13

MISUSE(hyperderp_relay_add_listener)
{
    struct {
        hyperderp_listener_options options;
        char newer;
    } given;
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_add_listener(relay, NULL), -EINVAL);
    for (unsigned n = 0; n < WRONG_LISTENERS; n++) {
        hyperderp_listener_options_init(&given.options);
        set_wrong_listener(&given.options, n);
        int error = hyperderp_relay_add_listener(relay, &given.options);
        if (error != -EINVAL)
            fail_msg("wrong listener %u: %d", n, error);
    }
    hyperderp_listener_options_init(&given.options);
    given.options.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_add_listener(NULL, &given.options), -EINVAL);
    given.options.size = sizeof(given);
    given.newer = 1;
    assert_int_equal(hyperderp_relay_add_listener(relay, &given.options), -E2BIG);
    given.options.size = SIZE_MAX;
    assert_int_equal(hyperderp_relay_add_listener(relay, &given.options), -E2BIG);
    given.options.size = 0;
    assert_int_equal(hyperderp_relay_add_listener(relay, &given.options), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(add_listener,
                  (struct misuse_answers){
                      .running = -EBUSY, .drained = -EBUSY, .stopped = -EBUSY, .inside = -EBUSY});
}

/* The relays of misuse_expect() have a listener without TLS: theirs cannot be changed. */
static int set_certificate(hyperderp_relay *relay)
{
    return hyperderp_relay_set_certificate(relay, -1, fixture_certificate());
}

MISUSE(hyperderp_relay_set_certificate)
{
    hyperderp_relay *relay = misuse_ready_relay();
    hyperderp_certificate *certificate = fixture_certificate();

    assert_int_equal(hyperderp_relay_set_certificate(NULL, -1, certificate), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(relay, -1, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(relay, -2, certificate), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(relay, 0, certificate), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(relay, 1, certificate), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(relay, INT_MAX, certificate), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(set_certificate, (struct misuse_answers){.inside = -EBUSY});
}

static int tell_address(hyperderp_relay *relay)
{
    char text[128];

    return hyperderp_relay_listener_address(relay, 0, text, sizeof(text));
}

MISUSE(hyperderp_relay_listener_address)
{
    hyperderp_relay *relay = misuse_ready_relay();
    char text[128] = "before";

    assert_int_equal(hyperderp_relay_listener_address(NULL, 0, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, NULL, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(relay, -1, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(relay, 1, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(relay, INT_MAX, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, text, 0), -ENOSPC);
    assert_string_equal(text, "before");
    hyperderp_relay_free(relay);
    misuse_expect(tell_address, (struct misuse_answers){.fresh = -EINVAL});
}

static int take_fd(hyperderp_relay *relay)
{
    int fd = hyperderp_relay_listener_fd(relay, 0);

    return fd < 0 ? fd : close(fd);
}

MISUSE(hyperderp_relay_listener_fd)
{
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_listener_fd(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_fd(relay, -1), -EINVAL);
    assert_int_equal(hyperderp_relay_listener_fd(relay, 1), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(take_fd, (struct misuse_answers){.fresh = -EINVAL,
                                                   .running = -EBUSY,
                                                   .drained = -EBUSY,
                                                   .stopped = -EBUSY,
                                                   .inside = -EBUSY});
}

/* ---- STUN ---- */

static int add_stun(hyperderp_relay *relay)
{
    int number = hyperderp_relay_add_stun(relay, "127.0.0.1:0");

    return number < 0 ? number : 0;
}

MISUSE(hyperderp_relay_add_stun)
{
    static const char *const bad[] = {"", ":", "127.0.0.1", "127.0.0.1:65536", "unix:/x"};
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_add_stun(NULL, "127.0.0.1:0"), -EINVAL);
    assert_int_equal(hyperderp_relay_add_stun(relay, NULL), -EINVAL);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hyperderp_relay_add_stun(relay, bad[i]), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(add_stun,
                  (struct misuse_answers){
                      .running = -EBUSY, .drained = -EBUSY, .stopped = -EBUSY, .inside = -EBUSY});
}

static int add_stun_fd(hyperderp_relay *relay)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int number = hyperderp_relay_add_stun_fd(relay, fd);

    if (number >= 0)
        return 0;
    close(fd); /* still the caller's */
    return number;
}

MISUSE(hyperderp_relay_add_stun_fd)
{
    hyperderp_relay *relay = misuse_ready_relay();
    int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(hyperderp_relay_add_stun_fd(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_add_stun_fd(relay, -1), -EINVAL);
    assert_int_equal(hyperderp_relay_add_stun_fd(relay, INT_MAX), -EINVAL);
    assert_int_equal(hyperderp_relay_add_stun_fd(relay, stream), -EINVAL);
    close(stream);
    hyperderp_relay_free(relay);
    misuse_expect(add_stun_fd,
                  (struct misuse_answers){
                      .running = -EBUSY, .drained = -EBUSY, .stopped = -EBUSY, .inside = -EBUSY});
}

MISUSE(hyperderp_relay_stun_address)
{
    hyperderp_relay *relay = misuse_ready_relay();
    char text[64] = "before";

    assert_int_equal(add_stun(relay), 0);
    assert_int_equal(hyperderp_relay_stun_address(NULL, 0, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_stun_address(relay, 0, NULL, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_stun_address(relay, -1, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_stun_address(relay, 1, text, sizeof(text)), -EINVAL);
    assert_int_equal(hyperderp_relay_stun_address(relay, 0, text, 1), -ENOSPC);
    assert_string_equal(text, "before");
    hyperderp_relay_free(relay);
}

MISUSE(hyperderp_relay_stun_fd)
{
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(add_stun(relay), 0);
    assert_int_equal(hyperderp_relay_stun_fd(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_stun_fd(relay, -1), -EINVAL);
    assert_int_equal(hyperderp_relay_stun_fd(relay, 1), -EINVAL);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    assert_int_equal(hyperderp_relay_stun_fd(relay, 0), -EBUSY);
    hyperderp_relay_free(relay);
}

/* ---- Life ---- */

MISUSE(hyperderp_relay_start)
{
    assert_int_equal(hyperderp_relay_start(NULL), -EINVAL);
    misuse_expect(hyperderp_relay_start, (struct misuse_answers){.fresh = -EINVAL,
                                                                 .running = -EBUSY,
                                                                 .drained = -EBUSY,
                                                                 .stopped = -EBUSY,
                                                                 .inside = -EBUSY});
}

MISUSE(hyperderp_relay_run)
{
    assert_int_equal(hyperderp_relay_run(NULL), -EINVAL);
    misuse_expect(hyperderp_relay_run, (struct misuse_answers){.fresh = -EINVAL,
                                                               .ready = MISUSE_RIGHT,
                                                               .running = -EBUSY,
                                                               .drained = -EBUSY,
                                                               .stopped = -EBUSY,
                                                               .inside = -EBUSY});
}

static int drain_and_wait(hyperderp_relay *relay)
{
    return hyperderp_relay_drain(relay, UINT_MAX);
}

MISUSE(hyperderp_relay_drain)
{
    assert_int_equal(hyperderp_relay_drain(NULL, 0), -EINVAL);
    misuse_expect(drain_and_wait,
                  (struct misuse_answers){.fresh = -EINVAL, .ready = -EINVAL, .inside = -EBUSY});
}

static int hand_over(hyperderp_relay *relay)
{
    return hyperderp_relay_hand_over(relay, 0);
}

MISUSE(hyperderp_relay_hand_over)
{
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_hand_over(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_hand_over(relay, 60001), -EINVAL);
    assert_int_equal(hyperderp_relay_hand_over(relay, UINT_MAX), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(hand_over, (struct misuse_answers){.inside = -EBUSY});
}

static int stop(hyperderp_relay *relay)
{
    hyperderp_relay_stop(relay);
    return 0;
}

MISUSE(hyperderp_relay_stop)
{
    hyperderp_relay_stop(NULL);
    misuse_expect(stop, (struct misuse_answers){.inside = MISUSE_RIGHT});
    misuse_expect_refusal(stop, "hyperderp_relay_stop");
}

static int free_it(hyperderp_relay *relay)
{
    hyperderp_relay_free(relay);
    return 0;
}

MISUSE(hyperderp_relay_free)
{
    hyperderp_relay_free(NULL);
    misuse_expect_refusal(free_it, "hyperderp_relay_free");
}

/* ---- Driven ---- */

static int start_driven(hyperderp_relay *relay)
{
    return hyperderp_relay_start_driven(relay);
}

MISUSE(hyperderp_relay_start_driven)
{
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_start_driven(NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_start_driven(relay), 0);
    assert_int_equal(hyperderp_relay_start_driven(relay), -EBUSY);
    assert_int_equal(hyperderp_relay_start(relay), -EBUSY);
    assert_int_equal(hyperderp_relay_run(relay), -EBUSY);
    hyperderp_relay_free(relay);
    misuse_expect(start_driven, (struct misuse_answers){.fresh = -EINVAL,
                                                        .ready = MISUSE_RIGHT,
                                                        .running = -EBUSY,
                                                        .drained = -EBUSY,
                                                        .stopped = -EBUSY,
                                                        .inside = -EBUSY});
}

static int worker_fd(hyperderp_relay *relay)
{
    return hyperderp_relay_worker_fd(relay, 0);
}

static int dispatch(hyperderp_relay *relay)
{
    return hyperderp_relay_dispatch(relay, 0);
}

/* Of relays that are not driven. */
static const struct misuse_answers not_driven = {.fresh = -EINVAL,
                                                 .ready = -EINVAL,
                                                 .running = -EINVAL,
                                                 .drained = -EINVAL,
                                                 .stopped = -EINVAL,
                                                 .inside = -EINVAL};

MISUSE(hyperderp_relay_worker_fd)
{
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_worker_fd(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_start_driven(relay), 0);
    assert_int_equal(hyperderp_relay_worker_fd(relay, 1), -EINVAL);
    assert_int_equal(hyperderp_relay_worker_fd(relay, UINT_MAX), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(worker_fd, not_driven);
}

MISUSE(hyperderp_relay_dispatch)
{
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_dispatch(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_start_driven(relay), 0);
    assert_int_equal(hyperderp_relay_dispatch(relay, 1), -EINVAL);
    assert_int_equal(hyperderp_relay_dispatch(relay, UINT_MAX), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(dispatch, not_driven);
}

/* ---- While it runs ---- */

MISUSE(hyperderp_admission_answer)
{
    hyperderp_admission_answer(NULL, HYPERDERP_ALLOW);
    hyperderp_admission_answer(NULL, MISUSE_ENUM(hyperderp_verdict));
}

MISUSE(hyperderp_admission_deny)
{
    hyperderp_admission_deny(NULL, "why");
    hyperderp_admission_deny(NULL, NULL);
}

static int tell_limits(hyperderp_relay *relay)
{
    hyperderp_limits limits = {.size = sizeof(limits)};

    return hyperderp_relay_limits(relay, &limits);
}

MISUSE(hyperderp_relay_limits)
{
    hyperderp_limits limits = {.size = sizeof(limits)};
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_limits(NULL, &limits), -EINVAL);
    assert_int_equal(hyperderp_relay_limits(relay, NULL), -EINVAL);
    limits.size = 0;
    assert_int_equal(hyperderp_relay_limits(relay, &limits), -EINVAL);
    assert_int_equal(limits.max_connections, 0);
    hyperderp_relay_free(relay);
    misuse_expect(tell_limits, (struct misuse_answers){0});
}

MISUSE(hyperderp_peer_event_name)
{
    assert_string_equal(hyperderp_peer_event_name(MISUSE_ENUM(hyperderp_peer_event_type)),
                        "unknown");
    assert_string_equal(hyperderp_peer_event_name((hyperderp_peer_event_type)-1), "unknown");
}

static int close_peer(hyperderp_relay *relay)
{
    const hyperderp_key nobody = {{1}};

    return hyperderp_relay_close_peer(relay, &nobody);
}

MISUSE(hyperderp_relay_close_peer)
{
    const hyperderp_key key = {{1}};
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_close_peer(NULL, &key), -EINVAL);
    assert_int_equal(hyperderp_relay_close_peer(relay, NULL), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(close_peer, (struct misuse_answers){.fresh = -ENOENT,
                                                      .ready = -ENOENT,
                                                      .running = -ENOENT,
                                                      .drained = -ENOENT,
                                                      .stopped = -ENOENT,
                                                      .inside = -EBUSY});
}

static int set_limits(hyperderp_relay *relay)
{
    const hyperderp_limits limits = {.size = sizeof(limits)};

    return hyperderp_relay_set_limits(relay, &limits);
}

MISUSE(hyperderp_relay_set_limits)
{
    struct {
        hyperderp_limits limits;
        char newer;
    } given = {.limits = {.size = sizeof(given)}};
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_set_limits(NULL, &given.limits), -EINVAL);
    assert_int_equal(hyperderp_relay_set_limits(relay, NULL), -EINVAL);
    given.newer = 1;
    assert_int_equal(hyperderp_relay_set_limits(relay, &given.limits), -E2BIG);
    given.limits.size = SIZE_MAX;
    assert_int_equal(hyperderp_relay_set_limits(relay, &given.limits), -E2BIG);
    given.limits.size = 0;
    assert_int_equal(hyperderp_relay_set_limits(relay, &given.limits), -EINVAL);
    given.limits = (hyperderp_limits){.size = sizeof(given.limits), .queue_bytes = 1};
    assert_int_equal(hyperderp_relay_set_limits(relay, &given.limits), -EINVAL);
    given.limits = (hyperderp_limits){.size = sizeof(given.limits), .keepalive_ms = UINT_MAX};
    assert_int_equal(hyperderp_relay_set_limits(relay, &given.limits), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(set_limits, (struct misuse_answers){.inside = -EBUSY});
}

static int set_log_level(hyperderp_relay *relay)
{
    hyperderp_relay_set_log_level(relay, HYPERDERP_LOG_DEBUG);
    return 0;
}

MISUSE(hyperderp_relay_set_log_level)
{
    hyperderp_relay *relay = misuse_ready_relay();

    hyperderp_relay_set_log_level(NULL, HYPERDERP_LOG_INFO);
    hyperderp_relay_set_log_level(relay, MISUSE_ENUM(hyperderp_log_level));
    hyperderp_relay_set_log_level(relay, (hyperderp_log_level)-1);
    hyperderp_relay_free(relay);
    misuse_expect(set_log_level, (struct misuse_answers){0});
}

static int wake(hyperderp_relay *relay)
{
    hyperderp_relay_wake(relay);
    return 0;
}

MISUSE(hyperderp_relay_wake)
{
    hyperderp_relay_wake(NULL);
    misuse_expect(wake, (struct misuse_answers){0});
}
