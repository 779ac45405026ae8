/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets for keys at a mesh partner, and from there: what goes out by a link, what is never sent
 * on, and who is told that a sender elsewhere has gone. The link is a client's connection that the
 * test declares to be one. On both engines, in the clear and over TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "relay/relay.h"
#include "relay_fixture.h"

static const uint8_t mesh_key[HYPERDERP_MESH_KEY_SIZE] = {4, 5, 6};

struct region {
    struct fixture fixture;
    struct client_socket *link, *node, *a;
    struct sink *sink; /* of link; a reference */
};

static void start(struct region *region, void **state, unsigned workers)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);
    struct client_info info = {.version = DERP_PROTOCOL_VERSION, .has_mesh_key = true};
    hyperderp_private_key private_key;

    memcpy(options.mesh_key, mesh_key, sizeof(mesh_key));
    memcpy(info.mesh_key, mesh_key, sizeof(mesh_key));
    fixture_start(&region->fixture, &options, 0);
    region->link = fixture_join(&region->fixture, 0);
    region->a = fixture_join(&region->fixture, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    region->node = fixture_join_with(&region->fixture, &private_key, &info);
    region->sink =
        route_find_local(&region->fixture.relay->routes, client_socket_key(region->link));
    assert_non_null(region->sink);
    region->sink->kind = SINK_LINK; /* before anybody can find it by another key */
}

static void stop(struct region *region)
{
    sink_unref(region->sink);
    client_socket_close(region->link);
    client_socket_close(region->node);
    client_socket_close(region->a);
    fixture_wait(&region->fixture, counters_connections_are, 0);
    fixture_stop(&region->fixture);
}

static struct forwarder *announce(struct region *region, const hyperderp_key *key)
{
    struct forwarder *forwarder;

    assert_int_equal(route_forward(&region->fixture.relay->routes, key, region->sink, &forwarder),
                     0);
    return forwarder;
}

static void withdraw(struct region *region, struct forwarder *forwarder)
{
    struct peer *gone;

    (void)route_unforward(&region->fixture.relay->routes, forwarder, &gone);
    peer_unref(gone);
}

static void send_forward(struct region *region, const hyperderp_key *from, const hyperderp_key *to,
                         const void *packet, size_t len)
{
    uint8_t frame[FRAME_FORWARD_OVERHEAD + 200];

    assert_true(len <= 200);
    frame_encode_forward_header(frame, from, to->bytes, len);
    memcpy(frame + FRAME_FORWARD_OVERHEAD, packet, len);
    assert_int_equal(client_socket_send_raw(region->node, frame, FRAME_FORWARD_OVERHEAD + len,
                                            FIXTURE_PATIENCE_MS),
                     0);
}

static void expect_forward(struct region *region, const hyperderp_key *to, const void *packet,
                           size_t len)
{
    struct client_message message = fixture_expect(region->link, CLIENT_MESSAGE_OTHER);

    assert_int_equal(message.frame_type, FRAME_FORWARD_PACKET);
    assert_int_equal(message.len, 2 * HYPERDERP_KEY_SIZE + len);
    assert_memory_equal(message.payload, client_socket_key(region->a), HYPERDERP_KEY_SIZE);
    assert_memory_equal(message.payload + HYPERDERP_KEY_SIZE, to, HYPERDERP_KEY_SIZE);
    assert_memory_equal(message.payload + 2 * HYPERDERP_KEY_SIZE, packet, len);
}

/* A client's packets for a key elsewhere go out with both keys, of every size; a connection of that
 * key here comes first while it lasts. */
static void goes_out_by_the_link(void **state)
{
    static const size_t sizes[] = {0, 1, 31, 32, 1400, 16384, 20000, FRAME_MAX_PACKET};
    static uint8_t packet[FRAME_MAX_PACKET];
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);
    hyperderp_private_key private_key;
    hyperderp_key there;
    struct region region;

    start(&region, state, 3);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    hyperderp_private_key_public(&private_key, &there);
    struct forwarder *forwarder = announce(&region, &there);
    for (size_t i = 0; i < sizeof(packet); i++)
        packet[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(
            client_socket_send(region.a, &there, packet, sizes[i], FIXTURE_PATIENCE_MS), 0);
        expect_forward(&region, &there, packet, sizes[i]);
    }
    struct client_socket *here = fixture_join_as(&region.fixture, &private_key);
    fixture_pass(region.a, here, "here");
    client_socket_close(here);
    fixture_wait(&region.fixture, counters_peers_are, 3);
    fixture_expect_nothing(region.a); /* it had sent nothing, and is in the region still */
    assert_int_equal(client_socket_send(region.a, &there, "there", 5, FIXTURE_PATIENCE_MS), 0);
    expect_forward(&region, &there, "there", 5);

    withdraw(&region, forwarder);
    assert_int_equal(client_socket_send(region.a, &there, "lost", 4, FIXTURE_PATIENCE_MS), 0);
    fixture_expect_nothing(region.a);
    fixture_expect_nothing(region.link);
    hyperderp_counters counters = fixture_counters(&region.fixture);
    assert_int_equal(counters.packets_forwarded_out, count + 1);
    assert_int_equal(counters.drops[HYPERDERP_DROP_UNKNOWN_PEER][HYPERDERP_PACKET_DATA], 1);
    stop(&region);
}

/* What a partner has forwarded is never forwarded again, wherever its destination is. */
static void never_forwards_again(void **state)
{
    const hyperderp_key there = {{7, 7}}, sender = {{8, 8}};
    struct region region;
    uint8_t disco[100];

    start(&region, state, 1);
    struct forwarder *forwarder = announce(&region, &there);
    send_forward(&region, &sender, &there, "around", 6);
    fixture_disco(disco);
    send_forward(&region, &sender, &there, disco, sizeof(disco));
    struct client_message message = fixture_expect(region.node, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, &there));
    assert_int_equal(message.reason, PEER_GONE_NOT_HERE);
    fixture_expect_nothing(region.link);
    hyperderp_counters counters = fixture_counters(&region.fixture);
    assert_int_equal(counters.packets_forwarded_in, 2);
    assert_int_equal(counters.packets_forwarded_out, 0);
    assert_int_equal(fixture_dropped(&counters), 2);
    withdraw(&region, forwarder);
    stop(&region);
}

/* A client here that got packets from one elsewhere is noted as its recipient, once; of a sender
 * that nobody has told of, nothing is noted. */
static void remembers_who_got_packets(void **state)
{
    const hyperderp_key sender = {{8, 8}}, unknown = {{9, 9}};
    struct region region;

    start(&region, state, 1);
    struct forwarder *forwarder = announce(&region, &sender);
    const hyperderp_key *a = client_socket_key(region.a);
    for (unsigned i = 0; i < 3; i++) {
        send_forward(&region, &sender, a, "known", 5);
        struct client_message message = fixture_expect(region.a, CLIENT_MESSAGE_PACKET);
        assert_true(hyperderp_key_equal(&message.peer, &sender));
        assert_int_equal(message.len, 5);
        assert_memory_equal(message.payload, "known", 5);
    }
    send_forward(&region, &unknown, a, "unknown", 7);
    struct client_message message = fixture_expect(region.a, CLIENT_MESSAGE_PACKET);
    assert_true(hyperderp_key_equal(&message.peer, &unknown));
    struct sink *sink = NULL;
    struct peer *peer = route_find(&region.fixture.relay->routes, &sender, &sink);
    assert_ptr_equal(sink, region.sink);
    struct recipients told = peer_take_recipients(peer);
    assert_int_equal(told.count, 1);
    for (uint32_t i = 0; i < told.capacity; i++)
        if (told.entries[i].serial != 0)
            assert_true(hyperderp_key_equal(&told.entries[i].key, a));
    recipients_destroy(&told);
    peer_unref(peer);
    sink_unref(sink);
    withdraw(&region, forwarder);
    stop(&region);
}

/* While clients fight about a key, packets for it go nowhere: not from a partner, who is not told
 * that the key is not here, and not to one that has it, too. */
static void not_to_those_who_fight(void **state)
{
    const hyperderp_key sender = {{8, 8}};
    hyperderp_private_key private_key;
    struct region region;
    uint8_t disco[100];
    hyperderp_key key;

    start(&region, state, 3);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    hyperderp_private_key_public(&private_key, &key);
    struct forwarder *forwarder = announce(&region, &key);
    struct client_socket *first = fixture_join_as(&region.fixture, &private_key);
    struct client_socket *second = fixture_join_as(&region.fixture, &private_key);
    send_forward(&region, &sender, &key, "to the second", 13);
    struct client_message message = fixture_expect(second, CLIENT_MESSAGE_PACKET);
    assert_memory_equal(message.payload, "to the second", 13);
    fixture_pass(second, region.a, "the second");
    fixture_pass(first, region.a, "the first");
    fixture_expect(first, CLIENT_MESSAGE_HEALTH);
    fixture_expect(second, CLIENT_MESSAGE_HEALTH);

    fixture_disco(disco);
    send_forward(&region, &sender, &key, disco, sizeof(disco));
    send_forward(&region, &sender, &key, "data", 4);
    fixture_expect_nothing(region.node);
    assert_int_equal(client_socket_send(region.a, &key, disco, sizeof(disco), FIXTURE_PATIENCE_MS),
                     0);
    fixture_expect_nothing(region.a);
    fixture_expect_nothing(region.link);
    fixture_expect_nothing(first);
    fixture_expect_nothing(second);
    hyperderp_counters counters = fixture_counters(&region.fixture);
    assert_int_equal(counters.packets_forwarded_out, 0);
    assert_int_equal(counters.drops[HYPERDERP_DROP_DUPLICATE_KEY][HYPERDERP_PACKET_DATA], 1);
    assert_int_equal(counters.drops[HYPERDERP_DROP_DUPLICATE_KEY][HYPERDERP_PACKET_DISCO], 2);
    assert_int_equal(fixture_dropped(&counters), 3);

    client_socket_close(second);
    fixture_expect(first, CLIENT_MESSAGE_HEALTH);
    send_forward(&region, &sender, &key, "to the first", 12);
    message = fixture_expect(first, CLIENT_MESSAGE_PACKET);
    assert_memory_equal(message.payload, "to the first", 12);
    client_socket_close(first);
    fixture_wait(&region.fixture, counters_connections_are, 3);
    assert_int_equal(client_socket_send(region.a, &key, "away", 4, FIXTURE_PATIENCE_MS), 0);
    expect_forward(&region, &key, "away", 4);
    withdraw(&region, forwarder);
    stop(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(goes_out_by_the_link),
        FIXTURE_ON_ALL(never_forwards_again),
        FIXTURE_ON_ALL(remembers_who_got_packets),
        FIXTURE_ON_ALL(not_to_those_who_fight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
