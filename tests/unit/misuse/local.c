/* SPDX-License-Identifier: BSD-3-Clause */
/* Of local.h. */
#include "misuse.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "../relay_fixture.h"

static void ignore(void *user, const hyperderp_key *from, const void *packet, size_t len)
{
    (void)user, (void)from, (void)packet, (void)len;
}

static hyperderp_local_peer_options good_options(void)
{
    hyperderp_local_peer_options options = {.size = sizeof(options), .received = ignore};

    memset(options.key.bytes, 7, sizeof(options.key.bytes));
    return options;
}

/* Added and removed again; what adding said. */
static int add_one(hyperderp_relay *relay)
{
    hyperderp_local_peer_options options = good_options();
    hyperderp_local_peer *local = NULL;
    int error = hyperderp_relay_add_local_peer(relay, &options, &local);

    hyperderp_local_peer_remove(local);
    return error;
}

MISUSE(hyperderp_relay_add_local_peer)
{
    struct {
        hyperderp_local_peer_options known;
        uint64_t newer;
    } later = {.known = good_options(), .newer = 1};
    hyperderp_local_peer_options options = good_options();
    hyperderp_relay *relay = misuse_ready_relay();
    hyperderp_local_peer *local = (hyperderp_local_peer *)relay;

    assert_int_equal(hyperderp_relay_add_local_peer(NULL, &options, &local), -EINVAL);
    assert_null(local);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, NULL, &local), -EINVAL);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, NULL), -EINVAL);
    options.received = NULL;
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, &local), -EINVAL);
    options = good_options();
    options.size = 0;
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, &local), -EINVAL);
    options.size = SIZE_MAX;
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, &local), -E2BIG);
    later.known.size = sizeof(later);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &later.known, &local), -E2BIG);
    options = good_options();
    memset(&options.key, 0, sizeof(options.key));
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, &local), -EINVAL);
    hyperderp_relay_public_key(relay, &options.key);
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, &local), -EINVAL);
    options = good_options();
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, &local), 0);
    hyperderp_local_peer *second = local;
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, &second), -EEXIST);
    assert_null(second);
    hyperderp_relay_free(relay);
    misuse_expect(add_one,
                  (struct misuse_answers){.drained = -EBUSY, .stopped = -EBUSY, .inside = -EBUSY});
}

MISUSE(hyperderp_local_peer_send)
{
    hyperderp_local_peer_options options = good_options();
    hyperderp_relay *relay = misuse_ready_relay();
    hyperderp_local_peer *local;
    static const char packet[HYPERDERP_MAX_PACKET + 1];

    assert_int_equal(hyperderp_relay_add_local_peer(relay, &options, &local), 0);
    assert_int_equal(hyperderp_local_peer_send(NULL, &options.key, packet, 1), -EINVAL);
    assert_int_equal(hyperderp_local_peer_send(local, NULL, packet, 1), -EINVAL);
    assert_int_equal(hyperderp_local_peer_send(local, &options.key, NULL, 1), -EINVAL);
    assert_int_equal(hyperderp_local_peer_send(local, &options.key, packet, sizeof(packet)),
                     -EMSGSIZE);
    assert_int_equal(hyperderp_local_peer_send(local, &options.key, packet, 1), -EBUSY);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    assert_int_equal(hyperderp_local_peer_send(local, &(hyperderp_key){0}, packet, 1), -ENOENT);
    hyperderp_relay_stop(relay);
    assert_int_equal(hyperderp_local_peer_send(local, &options.key, packet, 1), -ESHUTDOWN);
    hyperderp_relay_free(relay);
}

/* A local peer that would remove itself when something comes. */
struct remover {
    hyperderp_local_peer *local;
    sem_t called;
    atomic_uint refusals;
};

static void remove_itself(void *user, const hyperderp_key *from, const void *packet, size_t len)
{
    struct remover *remover = user;

    (void)from, (void)packet, (void)len;
    hyperderp_local_peer_remove(remover->local);
    sem_post(&remover->called);
}

static void count_refusal(void *user, hyperderp_log_level level, const char *line)
{
    struct remover *remover = user;

    if (level == HYPERDERP_LOG_ERROR && strstr(line, "hyperderp_local_peer_remove()"))
        atomic_fetch_add(&remover->refusals, 1);
}

MISUSE(hyperderp_local_peer_remove)
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_AUTO, 1);
    hyperderp_local_peer_options peer = good_options();
    hyperderp_listener_options listener;
    struct remover remover = {0};
    hyperderp_relay *relay;

    hyperderp_local_peer_remove(NULL);
    assert_int_equal(sem_init(&remover.called, 0, 0), 0);
    options.log = count_refusal;
    options.user = &remover;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), 0);
    peer.received = remove_itself;
    peer.user = &remover;
    assert_int_equal(hyperderp_relay_add_local_peer(relay, &peer, &remover.local), 0);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    /* Twice: it is there still. */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(hyperderp_local_peer_send(remover.local, &peer.key, "x", 1), 0);
        assert_int_equal(sem_wait(&remover.called), 0);
    }
    assert_int_equal(atomic_load(&remover.refusals), 2);
    hyperderp_local_peer_remove(remover.local);
    hyperderp_relay_free(relay);
    sem_destroy(&remover.called);
}
