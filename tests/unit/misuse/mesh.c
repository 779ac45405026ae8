/* SPDX-License-Identifier: BSD-3-Clause */
/* Of mesh.h. */
#include "misuse.h"

#include "../relay_fixture.h"

/* The relays of misuse_expect() have no mesh key, and say so at any moment. */
static int add(hyperderp_relay *relay)
{
    const hyperderp_mesh_peer_options options = {.size = sizeof(options), .address = "a.example"};

    return hyperderp_relay_add_mesh_peer(relay, &options);
}

static hyperderp_relay *relay_with_mesh_key(void)
{
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_AUTO, 1);
    hyperderp_relay *relay;

    options.mesh_key[0] = 1;
    options.log = NULL;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    return relay;
}

MISUSE(hyperderp_relay_add_mesh_peer)
{
    struct {
        hyperderp_mesh_peer_options options;
        char newer;
    } node = {.options = {.size = sizeof(node), .address = "a.example"}};
    static const char *const bad[] = {"",
                                      ":",
                                      ":443",
                                      "a b",
                                      "http://",
                                      "a.example:0",
                                      "a.example:99999",
                                      "[::1",
                                      "ftp://a.example"};
    hyperderp_relay *relay = relay_with_mesh_key();

    assert_int_equal(hyperderp_relay_add_mesh_peer(NULL, &node.options), -EINVAL);
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, NULL), -EINVAL);
    node.newer = 1;
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &node.options), -E2BIG);
    node.options.size = 0;
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &node.options), -EINVAL);
    node.options.size = sizeof(size_t); /* an address is missing */
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &node.options), -EINVAL);
    node.options.size = sizeof(node.options);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        node.options.address = bad[i];
        assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &node.options), -EINVAL);
    }
    node.options.address = "a.example";
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &node.options), 0);
    assert_int_equal(hyperderp_relay_add_mesh_peer(relay, &node.options), -EEXIST);
    hyperderp_relay_free(relay);
    misuse_expect(add, (struct misuse_answers){.fresh = -ENOKEY,
                                               .ready = -ENOKEY,
                                               .running = -ENOKEY,
                                               .drained = -ENOKEY,
                                               .stopped = -ENOKEY,
                                               .inside = -EBUSY});
}

static int remove_one(hyperderp_relay *relay)
{
    return hyperderp_relay_remove_mesh_peer(relay, "a.example");
}

MISUSE(hyperderp_relay_remove_mesh_peer)
{
    hyperderp_relay *relay = misuse_ready_relay();

    assert_int_equal(hyperderp_relay_remove_mesh_peer(NULL, "a.example"), -EINVAL);
    assert_int_equal(hyperderp_relay_remove_mesh_peer(relay, NULL), -EINVAL);
    hyperderp_relay_free(relay);
    misuse_expect(remove_one, (struct misuse_answers){.fresh = -ENOENT,
                                                      .ready = -ENOENT,
                                                      .running = -ENOENT,
                                                      .drained = -ENOENT,
                                                      .stopped = -ENOENT,
                                                      .inside = -EBUSY});
}

static int list_nodes(hyperderp_relay *relay)
{
    hyperderp_mesh_peer_info *nodes;
    size_t count;

    int error = hyperderp_relay_mesh_peers(relay, &nodes, &count);
    hyperderp_mesh_peers_free(nodes);
    return error;
}

MISUSE(hyperderp_relay_mesh_peers_sized)
{
    hyperderp_mesh_peer_info *nodes;
    hyperderp_relay *relay = misuse_ready_relay();
    size_t count;

    assert_int_equal(hyperderp_relay_mesh_peers(NULL, &nodes, &count), -EINVAL);
    assert_int_equal(hyperderp_relay_mesh_peers(relay, NULL, &count), -EINVAL);
    assert_int_equal(hyperderp_relay_mesh_peers(relay, &nodes, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_mesh_peers_sized(relay, &nodes, &count, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_mesh_peers_sized(relay, &nodes, &count, SIZE_MAX), -E2BIG);
    hyperderp_relay_free(relay);
    misuse_expect(list_nodes, (struct misuse_answers){.inside = -EBUSY});
}

MISUSE(hyperderp_mesh_peers_free)
{
    hyperderp_mesh_peers_free(NULL);
}

MISUSE(hyperderp_mesh_state_name)
{
    assert_string_equal(hyperderp_mesh_state_name(MISUSE_ENUM(hyperderp_mesh_state)), "unknown");
    assert_string_equal(hyperderp_mesh_state_name((hyperderp_mesh_state)-1), "unknown");
}
