/* SPDX-License-Identifier: BSD-3-Clause */
/* The library on an allocator of the program's: all that it takes it gives back, and whatever
 * allocation fails, it goes on or says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "memory/memory.h"
#include "relay_fixture.h"

/* Names a block that this allocator has made. */
#define MARK 0x6d61726b65646279

/* In front of each block; as long as malloc() aligns. */
struct head {
    uint64_t mark;
    size_t bytes;
};
_Static_assert(sizeof(struct head) % _Alignof(max_align_t) == 0, "blocks are aligned for any type");

static atomic_long live, made;
static atomic_int until_failure = INT32_MAX; /* allocations; below 0: it has failed */
static _Thread_local bool is_client;         /* the client's own allocations do not fail */

static bool fails(void)
{
    return !is_client && atomic_load(&until_failure) != INT32_MAX &&
           atomic_fetch_sub(&until_failure, 1) == 0;
}

static void *allocate(void *user, size_t bytes)
{
    if (user != &live || bytes == 0)
        abort();
    struct head *head = fails() ? NULL : malloc(sizeof(*head) + bytes);
    if (!head)
        return NULL;
    *head = (struct head){.mark = MARK, .bytes = bytes};
    memset(head + 1, 0xa5, bytes);
    atomic_fetch_add(&live, 1);
    atomic_fetch_add(&made, 1);
    return head + 1;
}

/* What the library gives back or has grown, it has from here. */
static struct head *head_of(void *user, void *block)
{
    struct head *head = (struct head *)block - 1;

    if (user != &live || !block || head->mark != MARK)
        abort();
    return head;
}

static void *reallocate(void *user, void *block, size_t bytes)
{
    const struct head *head = head_of(user, block);
    void *grown = allocate(user, bytes);

    if (!grown)
        return NULL;
    memcpy(grown, block, head->bytes < bytes ? head->bytes : bytes);
    memset(block, 0xdd, head->bytes);
    free(head_of(user, block));
    atomic_fetch_sub(&live, 1);
    return grown;
}

static void deallocate(void *user, void *block)
{
    struct head *head = head_of(user, block);

    head->mark = 0;
    memset(block, 0xdd, head->bytes);
    free(head);
    atomic_fetch_sub(&live, 1);
}

static const hyperderp_allocator counting = {.size = sizeof(counting),
                                             .user = &live,
                                             .allocate = allocate,
                                             .reallocate = reallocate,
                                             .deallocate = deallocate};

static int set_allocator(void **state)
{
    (void)state;
    hyperderp_peers_free(NULL); /* allocates nothing, and so decides nothing */
    return hyperderp_set_allocator(&counting);
}

/* ---- What passes through a relay ---- */

struct scene {
    hyperderp_engine engine;
    hyperderp_certificate *certificate;
    struct tls_client *trust;
    struct fixture fixture;
};

static int join(const struct scene *scene, bool over_tls, struct client_socket **client)
{
    struct client_options options = {.info = {.version = DERP_PROTOCOL_VERSION, .app_name = "a"}};
    const struct client_tls_options tls = {.client = scene->trust};

    is_client = true;
    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    int error = client_socket_connect_tls(client, scene->fixture.address, &options,
                                          over_tls ? &tls : NULL, FIXTURE_PATIENCE_MS);
    is_client = false;
    return error;
}

static void leave(struct client_socket *client)
{
    is_client = true;
    client_socket_close(client);
    is_client = false;
}

/* Opens a relay with a listener, returns what that said. */
static int open_relay(struct scene *scene, bool over_tls)
{
    static const char *const networks[] = {"127.0.0.0/8"};
    hyperderp_relay_options options = fixture_options(scene->engine, 2);
    hyperderp_listener_options listener;
    const hyperderp_mesh_peer_options node = {.size = sizeof(node),
                                              .address = "http://127.0.0.1:1"};

    options.log = NULL;
    options.pin_workers = true;
    options.home = "https://example.com/";
    options.mesh_key[0] = 1;
    int error = hyperderp_relay_new(&scene->fixture.relay, &options);
    if (error)
        return error;
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    listener.certificate = over_tls ? scene->certificate : NULL;
    int number = hyperderp_relay_add_listener(scene->fixture.relay, &listener);
    if (number < 0)
        return number;
    assert_int_equal(hyperderp_relay_listener_address(scene->fixture.relay, number,
                                                      scene->fixture.address,
                                                      sizeof(scene->fixture.address)),
                     0);
    hyperderp_relay_public_key(scene->fixture.relay, &scene->fixture.key);
    listener.proxy_protocol = true;
    listener.trusted_proxies = networks;
    listener.trusted_proxy_count = 1;
    number = hyperderp_relay_add_listener(scene->fixture.relay, &listener);
    if (number > 0)
        number = hyperderp_relay_add_stun(scene->fixture.relay, "127.0.0.1:0");
    if (number >= 0)
        number = hyperderp_relay_add_mesh_peer(scene->fixture.relay, &node);
    return number < 0 ? number : hyperderp_relay_start(scene->fixture.relay);
}

static int look_at(const struct scene *scene)
{
    hyperderp_peer_info *peers = NULL;
    hyperderp_mesh_peer_info *nodes = NULL;
    char *chain = NULL, *key = NULL;
    size_t count;

    int error = hyperderp_relay_peers(scene->fixture.relay, &peers, &count);
    if (error == 0)
        error = hyperderp_relay_mesh_peers(scene->fixture.relay, &nodes, &count);
    if (error == 0)
        error = hyperderp_certificate_write(scene->certificate, &chain, &key);
    hyperderp_peers_free(peers);
    hyperderp_mesh_peers_free(nodes);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
    return error;
}

/* Packets from one to another, and to one whose queue must hold them; the connections may end. */
static void pass_packets(struct client_socket *from, struct client_socket *to)
{
    static const char packet[1200];
    struct client_message message;

    is_client = true;
    for (unsigned i = 0; i < 40; i++)
        if (client_socket_send(from, client_socket_key(to), packet, sizeof(packet),
                               FIXTURE_PATIENCE_MS) != 0)
            break;
    /* It comes back behind all others, or is dropped, or the connection has ended. */
    (void)client_socket_send(from, client_socket_key(from), packet, 1, FIXTURE_PATIENCE_MS);
    (void)client_socket_recv(from, &message, 200);
    is_client = false;
}

/* All of it, as far as it comes. Returns the first error. */
static int play(struct scene *scene, bool over_tls)
{
    struct client_socket *from = NULL, *to = NULL;

    int error = open_relay(scene, over_tls);
    if (error == 0)
        error = join(scene, over_tls, &from);
    if (error == 0)
        error = join(scene, over_tls, &to);
    if (error == 0)
        pass_packets(from, to);
    if (error == 0)
        error = look_at(scene);
    leave(from);
    leave(to);
    hyperderp_relay_free(scene->fixture.relay);
    scene->fixture = (struct fixture){0};
    return error;
}

static struct scene begin(void **state)
{
    struct tls_client_options options = {.verification = TLS_VERIFY_NOTHING};
    struct scene scene = {.engine = fixture_engine(state)};
    char fault[HYPERDERP_FAULT_SIZE];

    assert_int_equal(hyperderp_certificate_make(&scene.certificate, "127.0.0.1", 10), 0);
    assert_int_equal(tls_client_new(&scene.trust, &options, fault), 0);
    return scene;
}

static void end(struct scene *scene)
{
    tls_client_free(scene->trust);
    hyperderp_certificate_free(scene->certificate);
}

/* A resolver's thread, or what the kernel still does with a ring, may end a moment later. */
static void expect_live(long expected)
{
    for (int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
         atomic_load(&live) != expected && fixture_now_ms() < until;)
        usleep(1000);
    assert_int_equal(atomic_load(&live), expected);
}

/* ---- Cases ---- */

static void all_is_given_back(void **state)
{
    expect_live(0);
    struct scene scene = begin(state);
    long before = atomic_load(&made);

    assert_int_equal(play(&scene, fixture_is_tls()), 0);
    print_message("%ld allocations\n", atomic_load(&made) - before);
    assert_true(atomic_load(&made) - before > 30);
    end(&scene);
    expect_live(0);
}

static void each_may_fail(void **state)
{
    struct scene scene = begin(state);
    long kept = atomic_load(&live);
    unsigned n = 0, errors = 0;

    for (bool failed = true; failed; n++) {
        atomic_store(&until_failure, (int)n);
        errors += play(&scene, fixture_is_tls()) != 0;
        failed = atomic_exchange(&until_failure, INT32_MAX) < 0;
        expect_live(kept);
    }
    print_message("%u times, %u of them with an error\n", n, errors);
    assert_true(errors > 10 && errors < n);
    end(&scene);
    expect_live(0);
}

static void certificates_without_memory(void **state)
{
    hyperderp_certificate *certificate = NULL;
    (void)state;

    for (int n = 0; !certificate; n++) {
        atomic_store(&until_failure, n);
        int error = hyperderp_certificate_make(&certificate, "a.example", 1);
        atomic_store(&until_failure, INT32_MAX);
        assert_true(error == 0 || (error == -ENOMEM && !certificate));
        assert_true(n < 10);
    }
    hyperderp_certificate_free(certificate);
    expect_live(0);
}

/* Opens a connection to a port at which nobody listens, whichever allocation fails. */
static void connections_without_memory(void **state)
{
    char fault[HYPERDERP_FAULT_SIZE];
    hyperderp_client_options options;
    hyperderp_connection *connection;
    int error = -ENOMEM, n = 0;

    (void)state;
    hyperderp_client_options_init(&options);
    options.security = HYPERDERP_CLIENT_PLAIN;
    options.fault = fault;
    for (; error == -ENOMEM; n++) {
        atomic_store(&until_failure, n);
        error =
            hyperderp_connection_open(&connection, "127.0.0.1:1", &options, FIXTURE_PATIENCE_MS);
        atomic_store(&until_failure, INT32_MAX);
        assert_null(connection);
        assert_true(strlen(fault) > 0);
        expect_live(0);
    }
    assert_int_equal(error, -ECONNREFUSED);
    assert_true(n > 3);
}

static void blocks_are_as_asked_for(void **state)
{
    volatile size_t huge = SIZE_MAX / 2; /* which the compiler does not see */
    (void)state;

    char *block = memory_alloc(0);
    assert_non_null(block);
    block = memory_realloc(block, 10);
    assert_non_null(block);
    memcpy(block, "123456789", 10);
    block = memory_reallocarray(block, 100, 7);
    assert_string_equal(block, "123456789");
    assert_null(memory_reallocarray(block, huge, 3));
    memory_free(block);
    assert_null(memory_calloc(huge, 3));
    block = memory_calloc(3, 100);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(block[i], 0); /* though allocate() gave others */
    memory_free(block);
    block = memory_strdup("text");
    assert_string_equal(block, "text");
    memory_free(block);
    block = memory_strndup("longer text", 6);
    assert_string_equal(block, "longer");
    memory_free(block);
    for (size_t alignment = 16; alignment <= 4096; alignment *= 2) {
        block = memory_aligned_alloc(alignment, 100);
        assert_int_equal((uintptr_t)block % alignment, 0);
        memset(block, 1, 100);
        memory_aligned_free(block);
    }
    assert_null(memory_aligned_alloc(64, 2 * huge));
    memory_aligned_free(NULL);
    memory_free(NULL);
    expect_live(0);
}

static void there_is_no_second_one(void **state)
{
    (void)state;
    assert_int_equal(hyperderp_set_allocator(&counting), -EBUSY);
}

/* ---- In processes of their own, as it can be set once ---- */

static atomic_uint zeroed;

static void *allocate_zeroed(void *user, size_t bytes)
{
    void *block = allocate(user, bytes);

    atomic_fetch_add(&zeroed, 1);
    return block ? memset(block, 0, bytes) : NULL;
}

static int with_zeroes(void)
{
    hyperderp_allocator allocator = counting;

    allocator.allocate_zeroed = allocate_zeroed;
    if (hyperderp_set_allocator(&allocator) != 0)
        return 1;
    char *block = memory_calloc(10, 10);
    for (unsigned i = 0; block && i < 100; i++)
        if (block[i] != 0)
            return 2;
    memory_free(block);
    return zeroed == 1 && live == 0 ? 0 : 3;
}

static int too_late(void)
{
    memory_free(memory_alloc(1));
    return hyperderp_set_allocator(&counting) == -EBUSY && made == 0 ? 0 : 1;
}

static int expect_child(int (*act)(void))
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(act());
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(all_is_given_back),
        FIXTURE_ON_ALL(each_may_fail),
        cmocka_unit_test(certificates_without_memory),
        cmocka_unit_test(connections_without_memory),
        cmocka_unit_test(blocks_are_as_asked_for),
        cmocka_unit_test(there_is_no_second_one),
    };

    if (expect_child(with_zeroes) != 0 || expect_child(too_late) != 0) {
        print_message("allocators in processes of their own\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, set_allocator, NULL);
}
