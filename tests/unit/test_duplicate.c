/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys that are connected more than once: who receives, when nobody does, and what they are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "relay/duplicate.h"
#include "relay/route.h"
#include "relay/worker.h"
#include "relay_fixture.h"

/* ---- The rules, by the route table alone ----------------------------------------------------- */

#define SEVERAL 6

static struct route_table table;
static struct worker no_worker;
static const hyperderp_key key = {{7}};

/* Connections of one key. */
struct several {
    struct sink *sink[SEVERAL];
    struct peer *peer;
};

static void join(struct several *all, unsigned i)
{
    all->sink[i] = sink_new(&no_worker, -1);
    assert_non_null(all->sink[i]);
    assert_true(route_join(&table, &key, all->sink[i], &all->peer) >= 0);
}

static bool leave(struct several *all, unsigned i)
{
    bool last = route_leave(&table, all->peer, all->sink[i]);

    sink_unref(all->sink[i]);
    all->sink[i] = NULL;
    peer_unref(all->peer); /* the one that joining gave */
    return last;
}

static void speaks(struct several *all, unsigned i)
{
    if (duplicate_is_news(all->peer, all->sink[i]))
        route_activate(&table, all->peer, all->sink[i]);
}

/* The number of the connection that receives; -1: none, though the key is here. */
static int receiver(const struct several *all)
{
    struct sink *found = NULL;
    struct peer *peer = route_find(&table, &key, &found);
    int number = -1;

    assert_ptr_equal(peer, all->peer);
    assert_ptr_equal(atomic_load(&peer->active), found);
    for (int i = 0; i < SEVERAL && found; i++)
        if (all->sink[i] == found)
            number = i;
    assert_true(!found || number >= 0);
    sink_unref(found);
    peer_unref(peer);
    return number;
}

static bool muted(const struct several *all, unsigned i)
{
    return atomic_load(&all->sink[i]->share) == SINK_SHARE_MUTED;
}

static int begin(void **state)
{
    (void)state;
    route_init(&table, &(struct peer_callbacks){0});
    return 0;
}

static int end(void **state)
{
    (void)state;
    route_destroy(&table);
    return 0;
}

/* A client that changes its network: the old connection is dead, or has some last words. */
static void replaced(void **state)
{
    struct several all = {0};

    (void)state;
    join(&all, 0);
    for (int i = 0; i < 3; i++)
        speaks(&all, 0);
    assert_int_equal(receiver(&all), 0);
    join(&all, 1);
    assert_int_equal(receiver(&all), 1);
    for (int i = 0; i < 3; i++)
        speaks(&all, 0);
    assert_int_equal(receiver(&all), 0);
    for (int i = 0; i < 3; i++)
        speaks(&all, 1);
    assert_int_equal(receiver(&all), 1);
    assert_false(leave(&all, 0));
    assert_int_equal(receiver(&all), 1);
    speaks(&all, 1);
    assert_false(muted(&all, 1));
    assert_true(leave(&all, 1));
}

/* The first, the second and the first again: nobody receives until one of them has left. */
static void two_take_turns(void **state)
{
    (void)state;
    for (unsigned left = 0; left < 2; left++) {
        struct several all = {0};

        join(&all, 0);
        join(&all, 1);
        speaks(&all, 1);
        assert_int_equal(receiver(&all), 1);
        speaks(&all, 0);
        assert_true(muted(&all, 0) && muted(&all, 1));
        for (unsigned i = 0; i < 6; i++) {
            assert_int_equal(receiver(&all), -1);
            speaks(&all, i % 2);
        }
        assert_false(leave(&all, left));
        assert_int_equal(receiver(&all), !left);
        assert_false(muted(&all, !left));
        assert_true(leave(&all, !left));
    }
}

/* The one that is left begins anew: another fight takes as many turns as the first one. */
static void peace_is_whole(void **state)
{
    struct several all = {0};

    (void)state;
    join(&all, 0);
    join(&all, 1);
    speaks(&all, 1);
    speaks(&all, 0);
    leave(&all, 1);
    join(&all, 2);
    assert_int_equal(receiver(&all), 2);
    speaks(&all, 0);
    assert_int_equal(receiver(&all), 0);
    speaks(&all, 2);
    assert_int_equal(receiver(&all), 2);
    speaks(&all, 0);
    assert_int_equal(receiver(&all), -1);
    leave(&all, 2);
    leave(&all, 0);
}

/* From the third on a connection counts as if it had sent: with it an earlier one that sends is in
 * a fight, unless it was the second and had not sent yet. */
static void third(void **state)
{
    struct several all = {0};

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        join(&all, i);
    assert_int_equal(receiver(&all), 2);
    speaks(&all, 2);
    speaks(&all, 1);
    assert_int_equal(receiver(&all), 1);
    speaks(&all, 1);
    assert_int_equal(receiver(&all), 1);
    speaks(&all, 2);
    assert_int_equal(receiver(&all), -1);
    for (unsigned i = 0; i < 3; i++)
        assert_true(muted(&all, i));
    leave(&all, 2); /* two are as bad as three */
    assert_int_equal(receiver(&all), -1);
    leave(&all, 0);
    assert_int_equal(receiver(&all), 1);

    join(&all, 2);
    join(&all, 3);
    speaks(&all, 1);
    assert_int_equal(receiver(&all), -1);
    for (unsigned i = 1; i < 4; i++)
        leave(&all, i);
}

/* Who takes over from the one that received: the one that sent last, or counts so; the second only
 * if it has sent. */
static void takes_over(void **state)
{
    struct several all = {0};

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        join(&all, i);
    leave(&all, 3);
    assert_int_equal(receiver(&all), 2);
    leave(&all, 2);
    assert_int_equal(receiver(&all), 0);
    speaks(&all, 1);
    assert_int_equal(receiver(&all), 1);
    join(&all, 4);
    leave(&all, 4);
    assert_int_equal(receiver(&all), 1);
    leave(&all, 0);
    assert_int_equal(receiver(&all), 1);
    leave(&all, 1);
}

/* One that joins a fight receives, and is no part of it, until another one joins. */
static void joins_a_fight(void **state)
{
    struct several all = {0};

    (void)state;
    join(&all, 0);
    join(&all, 1);
    speaks(&all, 1);
    speaks(&all, 0);
    join(&all, 2);
    assert_int_equal(receiver(&all), 2);
    for (unsigned i = 0; i < 6; i++)
        speaks(&all, i % 3);
    assert_int_equal(receiver(&all), 2);
    assert_false(muted(&all, 2));
    leave(&all, 0);
    assert_int_equal(receiver(&all), 2);
    assert_true(muted(&all, 1));

    join(&all, 3);
    assert_int_equal(receiver(&all), 3);
    leave(&all, 3);
    assert_int_equal(receiver(&all), 2);
    join(&all, 4);
    speaks(&all, 2);
    assert_int_equal(receiver(&all), -1);
    assert_true(muted(&all, 2) && muted(&all, 4));
    leave(&all, 4);
    leave(&all, 2);
    assert_int_equal(receiver(&all), 1);
    leave(&all, 1);
}

/* A key in a fight is not at a mesh partner's, though the partner has it, too. */
static void not_at_a_partner(void **state)
{
    struct sink *link = sink_new(&no_worker, -1);
    struct sink *other = sink_new(&no_worker, -1);
    struct forwarder *forwarder, *second;
    struct several all = {0};
    struct peer *gone;

    (void)state;
    assert_int_equal(route_forward(&table, &key, link, &forwarder), 0);
    join(&all, 0);
    join(&all, 1);
    speaks(&all, 1);
    speaks(&all, 0);
    assert_int_equal(receiver(&all), -1);
    assert_int_equal(route_forward(&table, &key, other, &second), 0);
    assert_int_equal(receiver(&all), -1);
    assert_false(route_unforward(&table, second, &gone));
    assert_int_equal(receiver(&all), -1);
    leave(&all, 0);
    assert_int_equal(receiver(&all), 1);
    assert_true(leave(&all, 1));
    struct sink *found = NULL;
    struct peer *peer = route_find(&table, &key, &found);
    assert_ptr_equal(found, link);
    sink_unref(found);
    peer_unref(peer);
    assert_true(route_unforward(&table, forwarder, &gone));
    peer_unref(gone);
    sink_unref(link);
    sink_unref(other);
}

/* ---- derper's rules, written down once more, against the same events ------------------------- */

/* Its state: of the set, who receives and sent last (-1: none); the history of those that sent. */
struct model {
    bool here[SEVERAL], dup[SEVERAL], disabled[SEVERAL];
    int active, last, history[SEVERAL], length;
    bool is_set; /* of several */
};

static int model_find(const struct model *model, int i)
{
    for (int at = 0; at < model->length; at++)
        if (model->history[at] == i)
            return at;
    return -1;
}

static void model_forget(struct model *model, int i)
{
    int at = model_find(model, i);

    if (at < 0)
        return;
    model->length--;
    memmove(model->history + at, model->history + at + 1,
            (size_t)(model->length - at) * sizeof(*model->history));
}

static void model_join(struct model *model, int i)
{
    int was = model->active;

    model->here[i] = true;
    model->dup[i] = model->disabled[i] = false;
    if (was >= 0)
        model->dup[was] = model->dup[i] = true;
    if (model->is_set) {
        model->history[model->length++] = i;
    } else if (was >= 0) {
        model->is_set = true;
        model->history[0] = was;
        model->length = 1;
    }
    model->active = model->last = i;
}

static void model_leave(struct model *model, int i)
{
    int count = 0, remains = -1;

    model->here[i] = false;
    model_forget(model, i);
    for (int k = 0; k < SEVERAL; k++)
        if (model->here[k]) {
            count++;
            remains = k;
        }
    if (count <= 1) {
        model->is_set = false;
        model->length = 0;
        model->active = remains;
        if (remains >= 0)
            model->disabled[remains] = model->dup[remains] = false;
        return;
    }
    if (model->last == i)
        model->last = model->length > 0 ? model->history[model->length - 1] : -1;
    model->active = model->last >= 0 && !model->disabled[model->last] ? model->last : -1;
}

static void model_speaks(struct model *model, int i)
{
    if (!model->dup[i] || model->disabled[i])
        return;
    model->active = model->last = i;
    if (model->length > 0 && model->history[model->length - 1] == i)
        return;
    if (model_find(model, i) >= 0) {
        for (int k = 0; k < SEVERAL; k++)
            model->disabled[k] = model->here[k];
        model->active = -1;
    }
    model_forget(model, i);
    model->history[model->length++] = i;
}

static void as_the_model(void **state)
{
    struct several all = {0};
    struct model model = {.active = -1, .last = -1};
    uint32_t random = 1;

    (void)state;
    for (unsigned step = 0; step < 300000; step++) {
        random = random * 1664525 + 1013904223;
        int i = (int)(random >> 8) % SEVERAL, what = (int)(random >> 20) % 8;
        if (!model.here[i] && what < 4) {
            join(&all, (unsigned)i);
            model_join(&model, i);
        } else if (model.here[i] && what == 4) {
            leave(&all, (unsigned)i);
            model_leave(&model, i);
        } else if (model.here[i]) {
            speaks(&all, (unsigned)i);
            model_speaks(&model, i);
        }
        bool any = false;
        for (int k = 0; k < SEVERAL; k++) {
            any = any || model.here[k];
            if (model.here[k])
                assert_int_equal(muted(&all, (unsigned)k), model.disabled[k]);
        }
        if (any)
            assert_int_equal(receiver(&all), model.active);
    }
    for (int i = 0; i < SEVERAL; i++)
        if (model.here[i])
            leave(&all, (unsigned)i);
}

/* ---- What clients see ------------------------------------------------------------------------ */

static void expect_health(struct client_socket *client, bool problem)
{
    struct client_message message = fixture_expect(client, CLIENT_MESSAGE_HEALTH);

    if (!problem)
        assert_int_equal(message.len, 0);
    else
        assert_in_range(message.len, 20, FRAME_MAX_HEALTH - FRAME_HEADER_SIZE);
}

static bool drops_are(const hyperderp_counters *counters, uint64_t value)
{
    const uint64_t *drops = counters->drops[HYPERDERP_DROP_DUPLICATE_KEY];

    return drops[HYPERDERP_PACKET_DATA] + drops[HYPERDERP_PACKET_DISCO] == value;
}

static void check_list(const struct fixture *fixture, const hyperderp_key *fought)
{
    hyperderp_peer_info *peers;
    size_t count;

    assert_int_equal(hyperderp_relay_peers(fixture->relay, &peers, &count), 0);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        bool fights = hyperderp_key_equal(&peers[i].key, fought);
        assert_int_equal(peers[i].muted, fights);
        assert_int_equal(peers[i].active, !fights);
    }
    hyperderp_peers_free(peers);
}

/* Both are told; packets for them are dropped without a PeerGone, their own are not; the one that
 * stays is told that it is over. */
static void told(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    hyperderp_private_key private_key;
    struct fixture fixture;
    uint8_t disco[100];

    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *sender = fixture_join(&fixture, 0);
    struct client_socket *first = fixture_join_as(&fixture, &private_key);
    struct client_socket *second = fixture_join_as(&fixture, &private_key);
    const hyperderp_key *both = client_socket_key(first);
    fixture_pass(second, sender, "the second");
    fixture_pass(first, sender, "the first");
    expect_health(first, true);
    expect_health(second, true);
    fixture_pass(second, sender, "the second again");

    fixture_disco(disco);
    assert_int_equal(client_socket_send(sender, both, disco, sizeof(disco), FIXTURE_PATIENCE_MS),
                     0);
    assert_int_equal(client_socket_send(sender, both, "data", 4, FIXTURE_PATIENCE_MS), 0);
    fixture_expect_nothing(sender);
    fixture_wait(&fixture, drops_are, 2);
    fixture_expect_nothing(first);
    fixture_expect_nothing(second);
    check_list(&fixture, both);
    assert_int_equal(fixture_counters(&fixture).muted_connections, 2);

    client_socket_close(first);
    expect_health(second, false);
    fixture_pass(sender, second, "alone again");
    assert_int_equal(fixture_counters(&fixture).health_frames, 3);
    assert_int_equal(fixture_counters(&fixture).muted_connections, 0);
    client_socket_close(second);
    fixture_expect(sender, CLIENT_MESSAGE_PEER_GONE);
    client_socket_close(sender);
    fixture_stop(&fixture);
}

/* The gauge forgets those that leave muted, and a drain in a fight leaves nothing behind. */
static void all_leave(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    hyperderp_private_key private_key;
    struct client_socket *same[4];
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    for (unsigned i = 0; i < 4; i++)
        same[i] = fixture_join_as(&fixture, &private_key);
    fixture_expect_nothing(same[3]);
    /* That begins the fight, and so the packet comes too late. */
    assert_int_equal(client_socket_send(same[2], client_socket_key(same[2]), "to all of us", 12,
                                        FIXTURE_PATIENCE_MS),
                     0);
    for (unsigned i = 0; i < 4; i++)
        expect_health(same[i], true);
    assert_int_equal(fixture_counters(&fixture).muted_connections, 4);
    fixture_wait(&fixture, drops_are, 1);
    client_socket_close(same[1]);
    client_socket_close(same[2]);
    fixture_wait(&fixture, counters_connections_are, 2);
    assert_int_equal(fixture_counters(&fixture).muted_connections, 2);
    assert_int_equal(fixture_counters(&fixture).health_frames, 4);
    client_socket_close(same[0]);
    expect_health(same[3], false);
    client_socket_close(same[3]);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).muted_connections, 0);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaced, begin, end),
        cmocka_unit_test_setup_teardown(two_take_turns, begin, end),
        cmocka_unit_test_setup_teardown(peace_is_whole, begin, end),
        cmocka_unit_test_setup_teardown(third, begin, end),
        cmocka_unit_test_setup_teardown(takes_over, begin, end),
        cmocka_unit_test_setup_teardown(joins_a_fight, begin, end),
        cmocka_unit_test_setup_teardown(not_at_a_partner, begin, end),
        cmocka_unit_test_setup_teardown(as_the_model, begin, end),
        FIXTURE_ON_ALL(told),
        FIXTURE_ON_ALL(all_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
