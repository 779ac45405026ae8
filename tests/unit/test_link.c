/* SPDX-License-Identifier: BSD-3-Clause */
/* Links to other nodes: regions of two and three relays in this program, a node that goes and comes
 * back, one that is no node, and the public functions. On both engines, in the clear and over
 * TLS. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <hyperderp/mesh.h>

#include "relay_fixture.h"

static hyperderp_relay_options options_of(void **state, unsigned workers)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);

    memset(options.mesh_key, 9, sizeof(options.mesh_key));
    return options;
}

static void url_of(const char *address, char *out, size_t room)
{
    snprintf(out, room, "%s://%s", fixture_is_tls() ? "https" : "http", address);
}

static int add_address(const struct fixture *to, const char *address)
{
    hyperderp_mesh_peer_options options = {.size = sizeof(options)};
    char url[160], *chain, *key;

    url_of(address, url, sizeof(url));
    options.address = url;
    assert_int_equal(hyperderp_certificate_write(fixture_certificate(), &chain, &key), 0);
    options.ca_pem = chain;
    int error = hyperderp_relay_add_mesh_peer(to->relay, &options);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
    return error;
}

static void join(const struct fixture *one, const struct fixture *other)
{
    assert_int_equal(add_address(one, other->address), 0);
    assert_int_equal(add_address(other, one->address), 0);
}

static void part_from(const struct fixture *one, const char *address)
{
    char url[160];

    url_of(address, url, sizeof(url));
    assert_int_equal(hyperderp_relay_remove_mesh_peer(one->relay, url), 0);
}

static bool keys_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->mesh_keys == value;
}

static bool links_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->mesh_links == value;
}

/* The only link of a relay. */
static hyperderp_mesh_peer_info link_of(const struct fixture *fixture)
{
    hyperderp_mesh_peer_info *peers, first;
    size_t count;

    assert_int_equal(hyperderp_relay_mesh_peers(fixture->relay, &peers, &count), 0);
    assert_int_equal(count, 1);
    first = peers[0];
    hyperderp_mesh_peers_free(peers);
    return first;
}

/* Waits until a try has ended so; the state does not stay for long. */
static void await_fault(const struct fixture *fixture, const char *fault)
{
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
    hyperderp_mesh_peer_info info = link_of(fixture);

    while (info.failures == 0 || !strstr(info.error, fault)) {
        if (fixture_now_ms() > until)
            fail_msg("the link's fault is \"%s\" (%s), not \"%s\"", info.error,
                     hyperderp_mesh_state_name(info.state), fault);
        usleep(1000);
        info = link_of(fixture);
    }
}

/* Ends a region: links first, so that what each relay has open is its own. */
static void stop(struct fixture *nodes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < count; k++)
            if (k != i)
                part_from(&nodes[i], nodes[k].address);
    for (unsigned i = 0; i < count; i++)
        fixture_wait(&nodes[i], counters_connections_are, 0);
    for (unsigned i = count; i > 0; i--)
        fixture_stop(&nodes[i - 1]);
}

/* ---- Regions ---- */

static void clients_of_two_nodes_talk(void **state)
{
    hyperderp_relay_options options = options_of(state, 2);
    struct fixture nodes[2];
    static uint8_t large[FRAME_MAX_PACKET];

    fixture_start(&nodes[0], &options, 0);
    fixture_start(&nodes[1], &options, 0);
    struct client_socket *a = fixture_join(&nodes[0], 0);
    join(&nodes[0], &nodes[1]);
    struct client_socket *b = fixture_join(&nodes[1], 0);
    fixture_wait(&nodes[0], keys_are, 1);
    fixture_wait(&nodes[1], keys_are, 1);
    fixture_pass(a, b, "over there");
    fixture_pass(b, a, "and back");
    /* The largest that there is, which arrives in many pieces. */
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (uint8_t)(i * 7 + i / 251);
    assert_int_equal(
        client_socket_send(a, client_socket_key(b), large, sizeof(large), FIXTURE_PATIENCE_MS), 0);
    struct client_message message = fixture_expect(b, CLIENT_MESSAGE_PACKET);
    assert_int_equal(message.len, sizeof(large));
    assert_memory_equal(message.payload, large, sizeof(large));
    /* Who leaves one node is gone at the other, for those that heard of it. */
    hyperderp_key key = *client_socket_key(b);
    client_socket_close(b);
    message = fixture_expect(a, CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, &key));
    assert_int_equal(message.reason, PEER_GONE_DISCONNECTED);
    fixture_wait(&nodes[0], keys_are, 0);

    hyperderp_mesh_peer_info info = link_of(&nodes[0]);
    assert_int_equal(info.state, HYPERDERP_MESH_CONNECTED);
    assert_true(hyperderp_key_equal(&info.key, &nodes[1].key));
    assert_string_equal(info.remote, nodes[1].address);
    assert_string_equal(info.error, "");
    assert_int_equal(info.connects, 1);
    assert_int_equal(info.failures, 0);
    assert_int_equal(info.packets_forwarded, 2);
    hyperderp_counters counters = fixture_counters(&nodes[0]);
    assert_int_equal(counters.packets_forwarded_out, 2);
    assert_int_equal(counters.packets_forwarded_in, 1);
    client_socket_close(a);
    stop(nodes, 2);
}

/* A key that connects to another node of the region is found there, whatever the order. Each node
 * is a client of the two others, which tell the third of it. */
static void client_moves_between_three_nodes(void **state)
{
    enum { THE_THIRD = 2 }; /* told of by two */
    hyperderp_relay_options options = options_of(state, 2);
    hyperderp_private_key private_key;
    struct fixture nodes[3];

    for (unsigned i = 0; i < 3; i++)
        fixture_start(&nodes[i], &options, 0);
    join(&nodes[0], &nodes[1]);
    join(&nodes[1], &nodes[2]);
    join(&nodes[2], &nodes[0]);
    for (unsigned i = 0; i < 3; i++)
        fixture_wait(&nodes[i], keys_are, THE_THIRD);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *a = fixture_join(&nodes[0], 0);
    fixture_wait(&nodes[1], keys_are, THE_THIRD + 1);
    fixture_wait(&nodes[2], keys_are, THE_THIRD + 1);
    struct client_socket *before = fixture_join_as(&nodes[1], &private_key);
    fixture_wait(&nodes[0], keys_are, THE_THIRD + 1);
    fixture_pass(a, before, "at the second node");
    struct client_socket *after = fixture_join_as(&nodes[2], &private_key);
    fixture_wait(&nodes[0], keys_are, THE_THIRD + 2);
    client_socket_close(before);
    fixture_wait(&nodes[0], keys_are, THE_THIRD + 1);
    fixture_pass(a, after, "at the third one");
    fixture_pass(after, a, "from there");
    client_socket_close(after);
    client_socket_close(a);
    for (unsigned i = 0; i < 3; i++)
        fixture_wait(&nodes[i], keys_are, THE_THIRD);
    stop(nodes, 3);
}

/* ---- Nodes that go ---- */

/* A relay on an address that another may have had; 127.0.0.1:0 is any. */
static void start_at(struct fixture *node, const hyperderp_relay_options *options,
                     const char *address)
{
    hyperderp_listener_options listener;

    hyperderp_listener_options_init(&listener);
    listener.address = address;
    listener.certificate = fixture_is_tls() ? fixture_certificate() : NULL;
    assert_int_equal(hyperderp_relay_new(&node->relay, options), 0);
    assert_int_equal(hyperderp_relay_add_listener(node->relay, &listener), 0);
    assert_int_equal(
        hyperderp_relay_listener_address(node->relay, 0, node->address, sizeof(node->address)), 0);
    hyperderp_relay_public_key(node->relay, &node->key);
    assert_int_equal(hyperderp_relay_start(node->relay), 0);
}

static void node_goes_and_comes_back(void **state)
{
    hyperderp_relay_options options = options_of(state, 1);
    struct fixture nodes[2];
    char address[64];

    fixture_start(&nodes[0], &options, 0);
    start_at(&nodes[1], &options, "127.0.0.1:0");
    assert_int_equal(add_address(&nodes[0], nodes[1].address), 0);
    struct client_socket *a = fixture_join(&nodes[0], 0), *b = fixture_join(&nodes[1], 0);
    hyperderp_key key = *client_socket_key(b);
    fixture_wait(&nodes[0], keys_are, 1);
    hyperderp_relay_free(nodes[1].relay);
    client_socket_close(b);
    fixture_wait(&nodes[0], links_are, 0);
    fixture_wait(&nodes[0], keys_are, 0);
    assert_int_equal(client_socket_send(a, &key, "lost", 4, FIXTURE_PATIENCE_MS), 0);
    fixture_wait(&nodes[0], counters_at_rest, 1);
    await_fault(&nodes[0], "refused");
    memcpy(address, nodes[1].address, sizeof(address));
    start_at(&nodes[1], &options, address);
    fixture_wait(&nodes[0], links_are, 1);
    b = fixture_join(&nodes[1], 0);
    fixture_wait(&nodes[0], keys_are, 1);
    fixture_pass(a, b, "back");
    assert_int_equal(link_of(&nodes[0]).connects, 2);
    client_socket_close(a);
    client_socket_close(b);
    part_from(&nodes[0], address);
    fixture_wait(&nodes[0], counters_connections_are, 0);
    hyperderp_relay_free(nodes[1].relay);
    fixture_stop(&nodes[0]);
}

/* The relay is stopped, or freed, while links are there and others try. */
static void relay_ends_with_its_links(void **state)
{
    hyperderp_relay_options options = options_of(state, 2);
    struct fixture nodes[2];

    fixture_start(&nodes[0], &options, 0);
    fixture_start(&nodes[1], &options, 0);
    struct client_socket *b[3];
    for (unsigned i = 0; i < 3; i++)
        b[i] = fixture_join(&nodes[1], 0);
    assert_int_equal(add_address(&nodes[0], nodes[1].address), 0);
    assert_int_equal(add_address(&nodes[0], "127.0.0.1:1"), 0); /* nobody */
    assert_int_equal(add_address(&nodes[0], "name.invalid:1"), 0);
    fixture_wait(&nodes[0], keys_are, 3);
    hyperderp_relay_stop(nodes[0].relay);
    hyperderp_counters counters = fixture_counters(&nodes[0]);
    assert_int_equal(counters.mesh_keys, 0);
    assert_int_equal(counters.mesh_links, 0);
    assert_int_equal(add_address(&nodes[0], "127.0.0.1:2"), -EBUSY);
    part_from(&nodes[0], "127.0.0.1:1");
    hyperderp_relay_free(nodes[0].relay);
    for (unsigned i = 0; i < 3; i++)
        client_socket_close(b[i]);
    fixture_wait(&nodes[1], counters_connections_are, 0);
    hyperderp_relay_stop(nodes[1].relay);
    hyperderp_relay_free(nodes[1].relay);
}

/* A drain ends the links with all else, and tells nobody that its peers have gone. */
static void drain_ends_links(void **state)
{
    hyperderp_relay_options options = options_of(state, 1);
    struct fixture nodes[2];

    fixture_start(&nodes[0], &options, 0);
    fixture_start(&nodes[1], &options, 0);
    join(&nodes[0], &nodes[1]);
    struct client_socket *a = fixture_join(&nodes[0], 0), *b = fixture_join(&nodes[1], 0);
    fixture_wait(&nodes[0], keys_are, 1);
    fixture_wait(&nodes[1], keys_are, 1);
    fixture_pass(b, a, "before");
    (void)hyperderp_relay_drain(nodes[0].relay, 0);
    (void)fixture_expect(a, CLIENT_MESSAGE_RESTARTING);
    client_socket_close(a);
    assert_int_equal(hyperderp_relay_drain(nodes[0].relay, FIXTURE_PATIENCE_MS), 0);
    fixture_wait(&nodes[1], keys_are, 0);
    await_fault(&nodes[1], "");
    part_from(&nodes[0], nodes[1].address);
    part_from(&nodes[1], nodes[0].address);
    client_socket_close(b);
    fixture_wait(&nodes[1], counters_connections_are, 0);
    hyperderp_relay_free(nodes[1].relay);
    fixture_stop(&nodes[0]);
}

/* ---- Others than nodes ---- */

static void relay_does_not_mesh_with_itself(void **state)
{
    hyperderp_relay_options options = options_of(state, 1);
    struct fixture node;

    fixture_start(&node, &options, 0);
    assert_int_equal(add_address(&node, node.address), 0);
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
    while (link_of(&node).state != HYPERDERP_MESH_SELF) {
        assert_true(fixture_now_ms() < until);
        usleep(1000);
    }
    assert_string_equal(link_of(&node).error, "it is this relay itself");
    assert_int_equal(link_of(&node).failures, 0);
    assert_int_equal(fixture_counters(&node).peers_active, 0);
    part_from(&node, node.address);
    fixture_stop(&node);
}

static void other_certificate_is_refused(void **state)
{
    hyperderp_relay_options options = options_of(state, 1);
    hyperderp_mesh_peer_options peer = {.size = sizeof(peer)};
    struct fixture nodes[2];
    char url[160];

    options.log_level = HYPERDERP_LOG_ERROR;
    fixture_start(&nodes[0], &options, 0);
    fixture_start(&nodes[1], &options, 0);
    url_of(nodes[1].address, url, sizeof(url));
    peer.address = url; /* and nothing to trust but the system's authorities */
    assert_int_equal(hyperderp_relay_add_mesh_peer(nodes[0].relay, &peer), 0);
    await_fault(&nodes[0], "certificate");
    assert_int_equal(fixture_counters(&nodes[0]).mesh_links, 0);
    assert_int_equal(hyperderp_relay_remove_mesh_peer(nodes[0].relay, url), 0);
    fixture_wait(&nodes[0], counters_connections_are, 0);
    fixture_wait(&nodes[1], counters_connections_are, 0);
    fixture_stop(&nodes[1]);
    fixture_stop(&nodes[0]);
}

/* A server that says the same to everybody. */
static int listen_anywhere(char *address, size_t room)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
    snprintf(address, room, "127.0.0.1:%u", ntohs(any.sin_port));
    return fd;
}

static void say(int listener, const void *bytes, size_t len, bool close_it)
{
    struct pollfd item = {.fd = listener, .events = POLLIN};
    uint8_t request[4096];

    assert_int_equal(poll(&item, 1, FIXTURE_PATIENCE_MS), 1);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    item.fd = fd;
    assert_int_equal(poll(&item, 1, FIXTURE_PATIENCE_MS), 1);
    assert_true(recv(fd, request, sizeof(request), 0) > 0);
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
    if (!close_it) /* until the relay has had enough */
        while (recv(fd, request, sizeof(request), 0) > 0)
            ;
    close(fd);
}

static void others_are_no_nodes(void **state)
{
    static const char not_found[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    static const char upgraded[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n";
    hyperderp_relay_options options = options_of(state, 1);
    uint8_t answer[512] = {0};
    struct fixture node;
    char address[64];

    fixture_start(&node, &options, 0);
    int listener = listen_anywhere(address, sizeof(address));
    assert_int_equal(add_address(&node, address), 0);
    /* It closes. */
    say(listener, "", 0, true);
    await_fault(&node, "closed the connection");
    /* It is some web server. */
    say(listener, not_found, sizeof(not_found) - 1, false);
    await_fault(&node, "answers the request for DERP with an error");
    /* It sends a frame that cannot be there. */
    memcpy(answer, upgraded, sizeof(upgraded) - 1);
    answer[sizeof(upgraded) - 1] = FRAME_RECV_PACKET;
    say(listener, answer, sizeof(answer), false);
    await_fault(&node, "does not keep to the protocol");
    /* It sends no end of a frame. */
    memset(answer + sizeof(upgraded) - 1, 0xff, 5);
    answer[sizeof(upgraded) - 1] = FRAME_SERVER_KEY;
    say(listener, answer, sizeof(answer), false);
    await_fault(&node, "does not keep to the protocol");
    close(listener);
    part_from(&node, address);
    fixture_wait(&node, counters_connections_are, 0);
    fixture_stop(&node);
}

/* ---- The public functions ---- */

static void misuse_is_refused(void **state)
{
    hyperderp_relay_options options = options_of(state, 1);
    hyperderp_mesh_peer_options peer = {.size = sizeof(peer)};
    hyperderp_mesh_peer_info *peers;
    hyperderp_relay *relay;
    size_t count;
    char text[64];

    options.log = NULL;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    assert_int_equal(hyperderp_relay_add_mesh_peer(NULL, &peer), -EINVAL);
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &peer), -EINVAL);
    peer.address = "a b";
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &peer), -EINVAL);
    peer.address = "example.com";
    peer.ca_file = "/nowhere/at/all";
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &peer), -EINVAL);
    peer.ca_file = NULL;
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &peer), 0);
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &peer), -EEXIST);
    assert_int_equal(hyperderp_relay_mesh_peers(NULL, &peers, &count), -EINVAL);
    assert_int_equal(hyperderp_relay_mesh_peers(relay, NULL, &count), -EINVAL);
    assert_int_equal(hyperderp_relay_mesh_peers(relay, &peers, &count), 0);
    assert_int_equal(count, 1);
    assert_string_equal(peers[0].address, "example.com");
    assert_int_equal(peers[0].state, HYPERDERP_MESH_WAITING);
    hyperderp_mesh_peers_free(peers);
    assert_int_equal(hyperderp_relay_remove_mesh_peer(relay, "example.org"), -ENOENT);
    assert_int_equal(hyperderp_relay_remove_mesh_peer(relay, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_remove_mesh_peer(relay, "example.com"), 0);
    assert_int_equal(hyperderp_relay_remove_mesh_peer(relay, "example.com"), -ENOENT);
    peer.address = text;
    for (unsigned i = 0; i < 64; i++) {
        snprintf(text, sizeof(text), "http://node%u", i);
        assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &peer), 0);
    }
    peer.address = "http://one-too-many";
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &peer), -ENOSPC);
    hyperderp_relay_free(relay);

    memset(options.mesh_key, 0, sizeof(options.mesh_key));
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &peer), -ENOKEY);
    hyperderp_relay_free(relay);
    assert_string_equal(hyperderp_mesh_state_name(HYPERDERP_MESH_CONNECTED), "connected");
    assert_string_equal(hyperderp_mesh_state_name((hyperderp_mesh_state)99), "unknown");
}

/* Its worker waits for a client and has stopped its links. That the node is freed is for
 * LeakSanitizer to say. */
static void node_is_removed_from_a_drain(void **state)
{
    hyperderp_relay_options options = options_of(state, 1);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    assert_int_equal(add_address(&fixture, fixture.address), 0);
    struct client_socket *client = fixture_join(&fixture, 0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), -ETIMEDOUT);
    (void)fixture_expect(client, CLIENT_MESSAGE_RESTARTING);
    part_from(&fixture, fixture.address);
    client_socket_close(client);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(clients_of_two_nodes_talk),
        FIXTURE_ON_ALL(client_moves_between_three_nodes),
        FIXTURE_ON_ALL(node_goes_and_comes_back),
        FIXTURE_ON_ALL(relay_ends_with_its_links),
        FIXTURE_ON_ALL(drain_ends_links),
        FIXTURE_ON_BOTH(node_is_removed_from_a_drain),
        FIXTURE_ON_ALL(relay_does_not_mesh_with_itself),
        FIXTURE_ON_TLS(other_certificate_is_refused),
        FIXTURE_ON_BOTH(others_are_no_nodes),
        FIXTURE_ON_BOTH(misuse_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
