/* SPDX-License-Identifier: BSD-3-Clause */
/* Of counters.h, whose functions may be called at any moment, and from callbacks, where it is not
 * said otherwise. */
#include "misuse.h"

#include <string.h>

static int read_counters(hyperderp_relay *relay)
{
    hyperderp_counters counters = {.size = sizeof(counters)};

    hyperderp_relay_counters(relay, &counters);
    return counters.workers == 1 ? 0 : -1;
}

MISUSE(hyperderp_relay_counters)
{
    hyperderp_counters counters = {.size = sizeof(counters), .workers = 77};
    hyperderp_relay *relay = misuse_ready_relay();

    hyperderp_relay_counters(NULL, &counters);
    hyperderp_relay_counters(relay, NULL);
    for (counters.size = 0; counters.size < sizeof(size_t); counters.size++)
        hyperderp_relay_counters(relay, &counters);
    assert_int_equal(counters.workers, 77);
    counters.size = SIZE_MAX; /* uninitialised: no more than this library knows is written */
    hyperderp_relay_counters(relay, &counters);
    assert_int_equal(counters.workers, 1);
    hyperderp_relay_free(relay);
    misuse_expect(read_counters, (struct misuse_answers){0});
}

static int read_worker(hyperderp_relay *relay)
{
    hyperderp_worker_info info = {.size = sizeof(info)};

    return hyperderp_relay_worker(relay, 0, &info);
}

MISUSE(hyperderp_relay_worker)
{
    hyperderp_worker_info info = {.size = sizeof(info)};
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_worker(NULL, 0, &info), -EINVAL);
    assert_int_equal(hyperderp_relay_worker(relay, 0, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_worker(relay, 1, &info), -EINVAL);
    assert_int_equal(hyperderp_relay_worker(relay, UINT32_MAX, &info), -EINVAL);
    info.size = 0;
    assert_int_equal(hyperderp_relay_worker(relay, 0, &info), -EINVAL);
    info.size = SIZE_MAX;
    assert_int_equal(hyperderp_relay_worker(relay, 0, &info), 0);
    hyperderp_relay_free(relay);
    misuse_expect(read_worker, (struct misuse_answers){0});
}

static int list_peers(hyperderp_relay *relay)
{
    hyperderp_peer_info *peers;
    size_t count;

    int error = hyperderp_relay_peers(relay, &peers, &count);
    hyperderp_peers_free(peers);
    return error;
}

MISUSE(hyperderp_relay_peers_sized)
{
    hyperderp_peer_info *peers;
    hyperderp_relay *relay = misuse_ready_relay();
    size_t count;

    assert_int_equal(hyperderp_relay_peers(NULL, &peers, &count), -EINVAL);
    assert_int_equal(hyperderp_relay_peers(relay, NULL, &count), -EINVAL);
    assert_int_equal(hyperderp_relay_peers(relay, &peers, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_peers_sized(relay, &peers, &count, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_peers_sized(relay, &peers, &count, SIZE_MAX), -E2BIG);
    hyperderp_relay_free(relay);
    misuse_expect(list_peers, (struct misuse_answers){.inside = -EBUSY});
}

MISUSE(hyperderp_peers_free)
{
    hyperderp_peers_free(NULL);
}

MISUSE(hyperderp_drop_reason_name)
{
    assert_string_equal(hyperderp_drop_reason_name(MISUSE_ENUM(hyperderp_drop_reason)), "unknown");
    assert_string_equal(hyperderp_drop_reason_name((hyperderp_drop_reason)-1), "unknown");
}

MISUSE(hyperderp_connection_state_name)
{
    assert_string_equal(hyperderp_connection_state_name(MISUSE_ENUM(hyperderp_connection_state)),
                        "unknown");
    assert_string_equal(hyperderp_connection_state_name((hyperderp_connection_state)-1), "unknown");
}

MISUSE(hyperderp_tls_outcome_name)
{
    assert_string_equal(hyperderp_tls_outcome_name(MISUSE_ENUM(hyperderp_tls_outcome)), "unknown");
    assert_string_equal(hyperderp_tls_outcome_name((hyperderp_tls_outcome)-1), "unknown");
}

MISUSE(hyperderp_refusal_name)
{
    assert_string_equal(hyperderp_refusal_name(MISUSE_ENUM(hyperderp_refusal)), "unknown");
    assert_string_equal(hyperderp_refusal_name((hyperderp_refusal)-1), "unknown");
}

static int look_up(hyperderp_relay *relay)
{
    const hyperderp_key nobody = {{1}};
    hyperderp_peer_info info;

    return hyperderp_relay_peer(relay, &nobody, &info);
}

MISUSE(hyperderp_relay_peer_sized)
{
    const hyperderp_key key = {{1}};
    hyperderp_peer_info info;
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_peer(NULL, &key, &info), -EINVAL);
    assert_int_equal(hyperderp_relay_peer(relay, NULL, &info), -EINVAL);
    assert_int_equal(hyperderp_relay_peer(relay, &key, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_peer_sized(relay, &key, &info, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_peer_sized(relay, &key, &info, SIZE_MAX), -E2BIG);
    hyperderp_relay_free(relay);
    misuse_expect(look_up, (struct misuse_answers){.fresh = -ENOENT,
                                                   .ready = -ENOENT,
                                                   .running = -ENOENT,
                                                   .drained = -ENOENT,
                                                   .stopped = -ENOENT,
                                                   .inside = -EBUSY});
}
