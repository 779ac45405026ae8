/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that come back. */
#include "crowd.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "traffic.h"

/* How often each sends. */
#define INTERVAL_US 5000

struct member {
    /* Fixed before the thread starts. */
    struct crowd *crowd;
    hyperderp_private_key key;
    hyperderp_key partner;
    pthread_t thread;

    atomic_uint joins, told;
    atomic_uint heard_in; /* the number of joins when it last heard its partner */

    /* The thread's, until it is joined. */
    int64_t heard_at, gap_us;
    unsigned failures;
    int fault; /* the last failure's */
};

struct crowd {
    char address[64];
    struct member *members;
    unsigned count;
    atomic_bool stop;

    /* Who connects without an end. */
    pthread_t visitor;
    atomic_uint visits;
    unsigned refusals;
    int refusal; /* the last one's */
    int64_t longest_us;
};

static bool is_over(const struct crowd *crowd)
{
    return atomic_load(&crowd->stop);
}

static void hear(struct member *member)
{
    int64_t now = now_us();

    if (member->heard_at > 0 && now - member->heard_at > member->gap_us)
        member->gap_us = now - member->heard_at;
    member->heard_at = now;
    atomic_store(&member->heard_in, atomic_load(&member->joins));
}

/* One connection, until its end. */
static void stay(struct member *member, struct client_socket *client)
{
    int64_t next = now_us();
    struct client_message message;
    int error = 0;

    while (!is_over(member->crowd) && (error == 0 || error == -ETIMEDOUT)) {
        if (now_us() >= next) {
            error = client_socket_send(client, &member->partner, "are you there?", 14, PATIENCE_MS);
            next = now_us() + INTERVAL_US;
        }
        int left = (int)((next - now_us() + 999) / 1000);
        error = client_socket_recv(client, &message, left > 0 ? left : 0);
        if (error != 0)
            continue;
        if (message.type == CLIENT_MESSAGE_PACKET)
            hear(member);
        else if (message.type == CLIENT_MESSAGE_RESTARTING)
            atomic_fetch_add(&member->told, 1);
    }
}

static void *take_part(void *arg)
{
    struct member *member = arg;
    struct client_socket *client;

    while (!is_over(member->crowd)) {
        int error = client_try(&client, member->crowd->address, &member->key);
        if (error) {
            member->failures++;
            member->fault = error;
            continue;
        }
        atomic_fetch_add(&member->joins, 1);
        stay(member, client);
        client_socket_close(client);
    }
    return NULL;
}

static void *visit(void *arg)
{
    struct crowd *crowd = arg;
    struct client_socket *client;
    hyperderp_private_key key;

    while (!is_over(crowd)) {
        int64_t begun = now_us();
        int error = hyperderp_private_key_generate(&key);
        if (error == 0)
            error = client_try(&client, crowd->address, &key);
        if (now_us() - begun > crowd->longest_us)
            crowd->longest_us = now_us() - begun;
        if (error == 0) {
            client_socket_close(client);
            atomic_fetch_add(&crowd->visits, 1);
        } else {
            crowd->refusals++;
            crowd->refusal = error;
        }
    }
    return NULL;
}

struct crowd *crowd_start(const char *address, unsigned pairs)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));

    assert_non_null(crowd);
    snprintf(crowd->address, sizeof(crowd->address), "%s", address);
    crowd->count = 2 * pairs;
    crowd->members = calloc(crowd->count, sizeof(*crowd->members));
    assert_non_null(crowd->members);
    client_socket_close(client_join(address, NULL)); /* see client_try() */
    for (unsigned i = 0; i < crowd->count; i++) {
        crowd->members[i].crowd = crowd;
        assert_int_equal(hyperderp_private_key_generate(&crowd->members[i].key), 0);
        hyperderp_private_key_public(&crowd->members[i].key, &crowd->members[i ^ 1].partner);
    }
    for (unsigned i = 0; i < crowd->count; i++)
        assert_int_equal(
            pthread_create(&crowd->members[i].thread, NULL, take_part, &crowd->members[i]), 0);
    assert_int_equal(pthread_create(&crowd->visitor, NULL, visit, crowd), 0);
    crowd_await(crowd, 1);
    return crowd;
}

static bool all_are_back(struct crowd *crowd, unsigned joins)
{
    for (unsigned i = 0; i < crowd->count; i++)
        if (atomic_load(&crowd->members[i].heard_in) < joins)
            return false;
    return true;
}

void crowd_await(struct crowd *crowd, unsigned joins)
{
    const struct timespec step = {.tv_nsec = 1000000};
    int64_t until = now_us() + PATIENCE_MS * INT64_C(1000);
    unsigned visits = atomic_load(&crowd->visits);

    while (!all_are_back(crowd, joins) || atomic_load(&crowd->visits) == visits) {
        if (now_us() > until)
            fail_msg("not all clients have joined %u times and hear their partners", joins);
        nanosleep(&step, NULL);
    }
}

void crowd_stop(struct crowd *crowd, const char *beside_what, unsigned joins, int64_t gap_us)
{
    unsigned failures = 0, wrong = 0;
    int64_t gap = 0, sum = 0;
    int fault = 0;

    atomic_store(&crowd->stop, true);
    pthread_join(crowd->visitor, NULL);
    for (unsigned i = 0; i < crowd->count; i++) {
        struct member *member = &crowd->members[i];
        pthread_join(member->thread, NULL);
        failures += member->failures;
        fault = member->fault ? member->fault : fault;
        wrong += atomic_load(&member->joins) != joins || atomic_load(&member->told) != joins - 1;
        gap = member->gap_us > gap ? member->gap_us : gap;
        sum += member->gap_us;
    }
    print_message(
        "%u clients beside %s: without their partners for %.1f ms on the average, at most "
        "%.1f ms; %u others connected, %u refused, waiting at most %.1f ms\n",
        crowd->count, beside_what, (double)sum / crowd->count / 1000, (double)gap / 1000,
        atomic_load(&crowd->visits), crowd->refusals, (double)crowd->longest_us / 1000);
    if (crowd->refusals > 0)
        fail_msg("%u connections were refused: %s", crowd->refusals, strerror(-crowd->refusal));
    if (failures > 0)
        fail_msg("clients needed %u more tries: %s", failures, strerror(-fault));
    if (wrong > 0)
        fail_msg("%u clients did not join %u times, told of each end", wrong, joins);
    assert_in_range(gap, 1, gap_us);
    free(crowd->members);
    free(crowd);
}
