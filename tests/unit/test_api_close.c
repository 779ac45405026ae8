/* SPDX-License-Identifier: BSD-3-Clause */
/* Closing the connections of a key from a thread of the embedder. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <hyperderp/hyperderp.h>

#include "relay_fixture.h"

static void expect_end(struct client_socket *client)
{
    struct client_message message;
    int error = 0;

    while (error == 0)
        error = client_socket_recv(client, &message, FIXTURE_PATIENCE_MS);
    assert_true(error == -EPIPE || error == -ECONNRESET);
    client_socket_close(client);
}

static void each_connection_of_the_key_ends(void **state)
{
    enum { SAME = 5 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_private_key private_key;
    struct client_socket *client[SAME];
    struct fixture fixture;
    hyperderp_key key;

    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    hyperderp_private_key_public(&private_key, &key);
    assert_int_equal(hyperderp_relay_close_peer(fixture.relay, &key), -ENOENT);
    struct client_socket *other = fixture_join(&fixture, 0), *third = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < SAME; i++) {
        client[i] = fixture_join_as(&fixture, &private_key);
        fixture_wait(&fixture, counters_connections_are, i + 3);
    }
    fixture_pass(client[SAME - 1], other, "it is known");

    assert_int_equal(hyperderp_relay_close_peer(fixture.relay, &key), 0);
    for (unsigned i = 0; i < SAME; i++)
        expect_end(client[i]);
    fixture_wait(&fixture, counters_connections_are, 2);
    assert_int_equal(hyperderp_relay_close_peer(fixture.relay, &key), -ENOENT);
    /* To whom it has sent is told, and nobody else notices. */
    struct client_message gone = fixture_expect(other, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&gone.peer, &key));
    fixture_pass(other, third, "these stay");
    /* It may come back. */
    struct client_socket *again = fixture_join_as(&fixture, &private_key);
    fixture_pass(again, other, "back");

    client_socket_close(again);
    client_socket_close(other);
    client_socket_close(third);
    fixture_stop(&fixture);
}

static void wrong_arguments_are_refused(void **state)
{
    hyperderp_key key = {{1}};
    hyperderp_relay *relay;

    (void)state;
    assert_int_equal(hyperderp_relay_new(&relay, NULL), 0);
    assert_int_equal(hyperderp_relay_close_peer(NULL, &key), -EINVAL);
    assert_int_equal(hyperderp_relay_close_peer(relay, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_close_peer(relay, &key), -ENOENT); /* not started */
    hyperderp_relay_free(relay);
}

static void partners_are_marked(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    struct client_info info = {.version = DERP_PROTOCOL_VERSION, .has_mesh_key = true};
    hyperderp_private_key private_key;
    hyperderp_peer_info *peers;
    struct fixture fixture;
    size_t count;

    options.mesh_key[0] = info.mesh_key[0] = 7;
    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *partner = fixture_join_with(&fixture, &private_key, &info);
    struct client_socket *client = fixture_join(&fixture, 0);
    assert_int_equal(hyperderp_relay_peers(fixture.relay, &peers, &count), 0);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(peers[i].mesh,
                         hyperderp_key_equal(&peers[i].key, client_socket_key(partner)));
    hyperderp_peers_free(peers);
    client_socket_close(partner);
    client_socket_close(client);
    fixture_stop(&fixture);
}

/* Threads that close everyone whom they find, while clients join and send. */
struct closer {
    hyperderp_relay *relay;
    atomic_bool stop;
    atomic_uint closed;
};

static void *close_all(void *user)
{
    struct closer *closer = user;
    hyperderp_peer_info *peers;
    size_t count;

    while (!closer->stop) {
        if (hyperderp_relay_peers(closer->relay, &peers, &count) != 0)
            continue;
        for (size_t i = 0; i < count; i++)
            if (hyperderp_relay_close_peer(closer->relay, &peers[i].key) == 0)
                closer->closed++;
        hyperderp_peers_free(peers);
    }
    return NULL;
}

static void disturb(const struct fixture *fixture, const hyperderp_key *to)
{
    hyperderp_private_key private_key;
    struct client_socket *client;

    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_options options = {.private_key = private_key,
                                     .info = {.version = DERP_PROTOCOL_VERSION}};
    if (client_socket_connect(&client, fixture->address, &options, FIXTURE_PATIENCE_MS) != 0)
        return; /* closed before it knew that it had joined */
    while (client_socket_send(client, to, "more", 4, FIXTURE_PATIENCE_MS) == 0)
        ;
    client_socket_close(client);
}

static void closing_meets_joining_and_sending(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_private_key private_key;
    struct fixture fixture;
    pthread_t thread[2];
    hyperderp_key key;

    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    hyperderp_private_key_public(&private_key, &key);
    fixture_start(&fixture, &options, 0);
    struct closer closer = {.relay = fixture.relay};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, close_all, &closer), 0);
    for (unsigned i = 0; i < 60; i++)
        disturb(&fixture, &key);
    closer.stop = true;
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_true(closer.closed > 0);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(each_connection_of_the_key_ends),
        cmocka_unit_test(wrong_arguments_are_refused),
        FIXTURE_ON_BOTH(partners_are_marked),
        FIXTURE_ON_BOTH(closing_meets_joining_and_sending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
