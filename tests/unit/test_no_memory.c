/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames for which the system has no memory: malloc() fails once for a worker, each time another
 * one, while a client joins. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "client/client_socket.h"
#include "relay_fixture.h"

/* No join takes so many frames. */
#define MOST 100

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static pthread_t tester;
static atomic_int until_failure = INT32_MAX; /* frames of workers; below 0: it has failed */

void *__wrap_malloc(size_t size)
{
    if (!pthread_equal(pthread_self(), tester) && atomic_fetch_sub(&until_failure, 1) == 0)
        return NULL;
    return __real_malloc(size);
}

/* Joins, over TLS where the case wants that. */
static int try_to_join(const struct fixture *fixture, struct tls_client *trust,
                       struct client_socket **client)
{
    struct client_options options = {.info = {.version = DERP_PROTOCOL_VERSION}};
    const struct client_tls_options tls = {.client = trust};

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    return client_socket_connect_tls(client, fixture->address, &options,
                                     fixture_is_tls() ? &tls : NULL, FIXTURE_PATIENCE_MS);
}

/* A client joins, or its connection ends. It never waits for what was lost, nor gets the rest of a
 * handshake without its beginning. */
static void join_or_end(void **state)
{
    const struct tls_client_options nothing = {.verification = TLS_VERIFY_NOTHING};
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    char fault[HYPERDERP_FAULT_SIZE];
    struct tls_client *trust;
    int failed = 0;

    tester = pthread_self();
    assert_int_equal(tls_client_new(&trust, &nothing, fault), 0);
    for (int n = 0; n < MOST && failed == n; n++) {
        struct fixture fixture;
        struct client_socket *client;
        atomic_store(&until_failure, INT32_MAX);
        fixture_start(&fixture, &options, 0);
        atomic_store(&until_failure, n);
        int error = try_to_join(&fixture, trust, &client);
        failed += atomic_load(&until_failure) < 0;
        if (error == 0)
            client_socket_close(client);
        else if (error != -EPIPE && error != -ECONNRESET && error != -ECONNABORTED)
            fail_msg("without frame %d joining fails with %d", n, error);
        fixture_wait(&fixture, counters_connections_are, 0);
        fixture_stop(&fixture);
    }
    assert_in_range(failed, 1, MOST - 1);
    tls_client_free(trust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FIXTURE_ON_ALL(join_or_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
