/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners behind a proxy: the address that a header tells is the client's everywhere, wherever
 * its bytes are split; whoever sends no good one is closed, and so is who may send none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay_fixture.h"

/* ---- Headers ----------------------------------------------------------------------------------
 */

struct header {
    const char *bytes;
    size_t len;
    const char *address; /* that it tells; NULL: none */
};

#define HEADER(text, address)                                                                      \
    {                                                                                              \
        text, sizeof(text) - 1, address                                                            \
    }
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const struct header v1 =
    HEADER("PROXY TCP4 192.0.2.1 198.51.100.2 4242 443\r\n", "192.0.2.1:4242");
static const struct header v2 = HEADER(
    SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x02\xc6\x33\x64\x02\x10\x92\x01\xbb", "192.0.2.2:4242");
static const struct header v1_ipv6 =
    HEADER("PROXY TCP6 2001:db8::1 2001:db8::2 4242 443\r\n", "[2001:db8::1]:4242");
static const struct header v2_ipv6 = HEADER(
    SIGNATURE "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x20\x01\x0d\xb8\0\0\0\0\0"
              "\0\0\0\0\0\0\x03\x10\x92\x01\xbb",
    "[2001:db8::2]:4242");
static const struct header v1_unknown = HEADER("PROXY UNKNOWN\r\n", NULL);
static const struct header v2_local = HEADER(SIGNATURE "\x20\0\0\0", NULL);
static const struct header v2_unspec = HEADER(SIGNATURE "\x21\0\0\0", NULL);

/* ---- The relay --------------------------------------------------------------------------------
 */

/* What admit() was told last. Written by a worker before the client has joined. */
static char asked_address[64];

static hyperderp_verdict keep_address(void *user, const hyperderp_client_info *client,
                                      hyperderp_admission *ticket)
{
    (void)user;
    (void)ticket;
    snprintf(asked_address, sizeof(asked_address), "%s", client->address);
    return HYPERDERP_ALLOW;
}

static void start_trusting(struct fixture *fixture, const hyperderp_relay_options *options,
                           const char *address, const char *const *trusted, unsigned count)
{
    hyperderp_listener_options listener;

    hyperderp_listener_options_init(&listener);
    listener.address = address;
    listener.proxy_protocol = true;
    listener.trusted_proxies = trusted;
    listener.trusted_proxy_count = count;
    fixture_start_listener(fixture, options, &listener);
}

static void start(struct fixture *fixture, const hyperderp_relay_options *options)
{
    static const char *const loopback[] = {"2001:db8::/32", "127.0.0.0/8"};

    start_trusting(fixture, options, "127.0.0.1:0", loopback, 2);
}

static hyperderp_relay_options options_for(void **state, unsigned workers)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);

    options.admit = keep_address;
    return options;
}

static void stop(struct fixture *fixture)
{
    fixture_wait(fixture, counters_connections_are, 0);
    fixture_stop(fixture);
}

/* ---- Clients behind the proxy -----------------------------------------------------------------
 */

/* Each send is a segment of its own, at once. */
static int connect_proxy(const struct fixture *fixture)
{
    const int on = 1;
    int fd = fixture_connect_bare(fixture);

    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    return fd;
}

static int connect_with(const struct fixture *fixture, const struct header *header)
{
    int fd = connect_proxy(fixture);

    fixture_send(fd, header->bytes, header->len);
    return fd;
}

static struct client_socket *join_with(const struct fixture *fixture, const struct header *header)
{
    return fixture_join_over(fixture, connect_with(fixture, header), NULL);
}

static bool received_is(const hyperderp_counters *counters, uint64_t value)
{
    return counters->recv_bytes >= value;
}

/* The address of a client in the list of peers. */
static void listed_address(const struct fixture *fixture, struct client_socket *client,
                           char out[64])
{
    hyperderp_peer_info *peers;
    size_t count;

    assert_int_equal(hyperderp_relay_peers(fixture->relay, &peers, &count), 0);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        if (hyperderp_key_equal(&peers[i].key, client_socket_key(client)))
            memcpy(out, peers[i].address, 64);
    hyperderp_peers_free(peers);
}

static void expect_address(const struct fixture *fixture, struct client_socket *client,
                           const char *address)
{
    char listed[64], own[64];
    struct sockaddr_in name;
    socklen_t size = sizeof(name);

    if (!address) {
        assert_int_equal(getsockname(client_socket_fd(client), (struct sockaddr *)&name, &size), 0);
        snprintf(own, sizeof(own), "127.0.0.1:%u", ntohs(name.sin_port));
        address = own;
    }
    listed_address(fixture, client, listed);
    assert_string_equal(listed, address);
    assert_string_equal(asked_address, address);
}

/* ---- Cases ------------------------------------------------------------------------------------
 */

static void the_address_is_the_clients(void **state)
{
    static const struct header *const headers[] = {&v1, &v2, &v1_ipv6, &v2_ipv6};
    hyperderp_relay_options options = options_for(state, 3);
    struct fixture fixture;
    struct client_socket *clients[4];

    start(&fixture, &options);
    for (unsigned i = 0; i < 4; i++) {
        clients[i] = join_with(&fixture, headers[i]);
        expect_address(&fixture, clients[i], headers[i]->address);
    }
    for (unsigned i = 0; i < 4; i++)
        fixture_pass(clients[i], clients[(i + 1) % 4], "from behind the proxy");
    for (unsigned i = 0; i < 4; i++)
        client_socket_close(clients[i]);
    assert_int_equal(fixture_counters(&fixture).proxy_headers_ok, 4);
    stop(&fixture);
}

/* The region's other nodes are told it, too: here one that comes through the same proxy. */
static void mesh_partners_are_told(void **state)
{
    struct client_info info = {.version = DERP_PROTOCOL_VERSION, .has_mesh_key = true};
    hyperderp_relay_options options = options_for(state, 1);
    uint8_t watch[FRAME_HEADER_SIZE];
    struct fixture fixture;

    memset(options.mesh_key, 7, sizeof(options.mesh_key));
    memset(info.mesh_key, 7, sizeof(info.mesh_key));
    start(&fixture, &options);
    struct client_socket *watcher =
        fixture_join_over(&fixture, connect_with(&fixture, &v2_ipv6), &info);
    frame_header_encode(watch, FRAME_WATCH_CONNS, 0);
    assert_int_equal(client_socket_send_raw(watcher, watch, sizeof(watch), FIXTURE_PATIENCE_MS), 0);
    /* First of itself. */
    struct client_message message = fixture_expect(watcher, CLIENT_MESSAGE_PEER_PRESENT);
    assert_memory_equal(message.payload + HYPERDERP_KEY_SIZE, v2_ipv6.bytes + 16, 16);
    struct client_socket *client = join_with(&fixture, &v2);
    message = fixture_expect(watcher, CLIENT_MESSAGE_PEER_PRESENT);
    assert_true(hyperderp_key_equal(&message.peer, client_socket_key(client)));
    const uint8_t *ip = message.payload + HYPERDERP_KEY_SIZE;
    assert_memory_equal(ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x02\x10\x92", 18);
    client_socket_close(client);
    client_socket_close(watcher);
    stop(&fixture);
}

static bool local_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->proxy_headers_local == value;
}

/* A proxy that tells no address, or speaks for itself, is the client. */
static void no_address_is_told(void **state)
{
    static const struct header *const headers[] = {&v1_unknown, &v2_local, &v2_unspec};
    hyperderp_relay_options options = options_for(state, 1);
    struct fixture fixture;

    start(&fixture, &options);
    for (unsigned i = 0; i < 3; i++) {
        struct client_socket *client = join_with(&fixture, headers[i]);
        expect_address(&fixture, client, NULL);
        client_socket_close(client);
    }
    /* A check that connects, says that it is one, and goes. */
    close(connect_with(&fixture, &v2_local));
    fixture_wait(&fixture, local_are, 4);
    fixture_wait(&fixture, counters_connections_are, 0);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.proxy_headers_bad, 0);
    assert_int_equal(counters.handshakes_failed, 0);
    stop(&fixture);
}

static void split_anywhere(void **state)
{
    static const struct header *const headers[] = {&v1, &v2};
    hyperderp_relay_options options = options_for(state, 1);
    struct fixture fixture;

    start(&fixture, &options);
    for (unsigned i = 0; i < 2; i++) {
        for (size_t at = 1; at < headers[i]->len; at++) {
            uint64_t before = fixture_counters(&fixture).recv_bytes;
            int fd = connect_proxy(&fixture);
            fixture_send(fd, headers[i]->bytes, at);
            fixture_wait(&fixture, received_is, before + at);
            fixture_send(fd, headers[i]->bytes + at, headers[i]->len - at);
            struct client_socket *client = fixture_join_over(&fixture, fd, NULL);
            expect_address(&fixture, client, headers[i]->address);
            client_socket_close(client);
            fixture_wait(&fixture, counters_connections_are, 0);
        }
    }
    stop(&fixture);
}

static void byte_by_byte(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    struct fixture fixture;

    start(&fixture, &options);
    int fd = connect_proxy(&fixture);
    for (size_t at = 0; at < v2_ipv6.len; at++) {
        fixture_send(fd, v2_ipv6.bytes + at, 1);
        fixture_wait(&fixture, received_is, at + 1);
    }
    struct client_socket *client = fixture_join_over(&fixture, fd, NULL);
    expect_address(&fixture, client, v2_ipv6.address);
    client_socket_close(client);
    stop(&fixture);
}

/* The kernel holds the header back until the ClientHello, or the request, comes behind it. */
static void with_what_follows_it(void **state)
{
    static const struct header *const headers[] = {&v1, &v2, &v2_local};
    hyperderp_relay_options options = options_for(state, 1);
    struct fixture fixture;

    start(&fixture, &options);
    for (unsigned i = 0; i < 3; i++) {
        int fd = connect_proxy(&fixture);
        assert_int_equal(send(fd, headers[i]->bytes, headers[i]->len, MSG_MORE), headers[i]->len);
        struct client_socket *client = fixture_join_over(&fixture, fd, NULL);
        expect_address(&fixture, client, headers[i]->address);
        client_socket_close(client);
    }
    stop(&fixture);
}

/* The end of a split header comes with what follows it, and that is split as well. */
static void split_and_with_what_follows_it(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    struct fixture fixture;

    start(&fixture, &options);
    int fd = connect_proxy(&fixture);
    fixture_send(fd, v2.bytes, 5);
    fixture_wait(&fixture, received_is, 5);
    assert_int_equal(send(fd, v2.bytes + 5, v2.len - 5, MSG_MORE), v2.len - 5);
    struct client_socket *client = fixture_join_over(&fixture, fd, NULL);
    expect_address(&fixture, client, v2.address);
    client_socket_close(client);
    stop(&fixture);
}

static bool bad_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->proxy_headers_bad == value;
}

static void bad_headers(void **state)
{
    static const char endless[] =
        "PROXY UNKNOWN "
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    static const struct header bad[] = {
        HEADER(FIXTURE_REQUEST, NULL),
        HEADER("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", NULL), /* a ClientHello */
        HEADER("PROXY TCP4 192.0.2.1 198.51.100.2 4242 65536\r\n", NULL),
        HEADER("PROXY TCP4 192.0.2.1 198.51.100.2 4242 443\n\n\r\n", NULL),
        HEADER(endless, NULL),
        HEADER(SIGNATURE "\x21\x11\xff\xff", NULL),
        HEADER(SIGNATURE "\x22\x11\0\x0c", NULL),
        HEADER(SIGNATURE "\x21\x11\0\x04\xc0\0\x02\x02", NULL),
        HEADER(SIGNATURE "\x21\x11\0\x0d\xc0\0\x02\x02\xc6\x33\x64\x02\x10\x92\x01\xbb\x04", NULL),
    };
    enum { COUNT = sizeof(bad) / sizeof(bad[0]) };
    hyperderp_relay_options options = options_for(state, 2);
    struct fixture fixture;

    start(&fixture, &options);
    for (unsigned i = 0; i < COUNT; i++) {
        int fd = connect_with(&fixture, &bad[i]);
        (void)fixture_read_end(fd);
        close(fd);
        fixture_wait(&fixture, bad_are, i + 1);
    }
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.handshakes_failed, COUNT);
    assert_int_equal(counters.proxy_headers_ok + counters.proxy_headers_local, 0);
    assert_int_equal(counters.http_requests, 0);
    for (unsigned i = 0; i < HYPERDERP_TLS_OUTCOMES; i++)
        assert_int_equal(counters.tls_handshakes[i], 0);
    /* Who comes properly is served. */
    struct client_socket *client = join_with(&fixture, &v2);
    fixture_expect_nothing(client);
    client_socket_close(client);
    stop(&fixture);
}

static bool waiting_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->connections_by_state[HYPERDERP_CONNECTION_PROXY] == value;
}

static void silent_proxies_time_out(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    struct fixture fixture;

    options.handshake_timeout_ms = 300;
    start(&fixture, &options);
    int64_t began = fixture_now_ms();
    int silent = connect_proxy(&fixture), half = connect_proxy(&fixture);
    fixture_send(half, v1.bytes, v1.len - 1);
    fixture_wait(&fixture, waiting_are, 2);
    (void)fixture_read_end(silent);
    (void)fixture_read_end(half);
    assert_true(fixture_now_ms() - began >= 300);
    close(silent);
    close(half);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_timed_out, 2);
    assert_int_equal(fixture_counters(&fixture).proxy_headers_bad, 0);
    stop(&fixture);
}

/* Who hangs up before his header is whole is nobody's fault; a drain waits for none. */
static void ends_before_the_header(void **state)
{
    hyperderp_relay_options options = options_for(state, 2);
    struct fixture fixture;
    int fds[6];

    start(&fixture, &options);
    for (unsigned i = 0; i < 6; i++) {
        fds[i] = connect_proxy(&fixture);
        fixture_send(fds[i], v2.bytes, 4 * i + 1);
    }
    fixture_wait(&fixture, waiting_are, 6);
    for (unsigned i = 0; i < 3; i++)
        close(fds[i]);
    fixture_wait(&fixture, waiting_are, 3);
    assert_int_equal(fixture_counters(&fixture).handshakes_failed, 0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    for (unsigned i = 3; i < 6; i++) {
        (void)fixture_read_end(fds[i]);
        close(fds[i]);
    }
    stop(&fixture);
}

/* ---- Trust ------------------------------------------------------------------------------------
 */

static bool strangers_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->refused[HYPERDERP_REFUSED_UNTRUSTED_PROXY] == value;
}

/* A header from elsewhere is not believed, nor is who sends none let in. On a listener of both
 * families the kernel tells addresses of IPv4 as IPv6 maps them. */
static void strangers_are_refused(void **state)
{
    static const char *const trusted[] = {"::1", "127.0.0.2", "127.0.3.0/24"};
    static const char *const listeners[] = {"127.0.0.1:0", ":0"};

    for (unsigned i = 0; i < 2; i++) {
        hyperderp_relay_options options = options_for(state, 2);
        struct fixture fixture;
        start_trusting(&fixture, &options, listeners[i], trusted, 3);
        int fd = fixture_connect_from(&fixture, "127.0.0.1");
        (void)fixture_read_end(fd);
        close(fd);
        fixture_wait(&fixture, strangers_are, 1);
        fd = fixture_connect_from(&fixture, "127.0.4.1");
        (void)send(fd, v1.bytes, v1.len, MSG_NOSIGNAL);
        (void)fixture_read_end(fd);
        close(fd);
        fixture_wait(&fixture, strangers_are, 2);
        assert_int_equal(fixture_counters(&fixture).slab_exhausts, 0);
        assert_int_equal(fixture_counters(&fixture).recv_bytes, 0);
        static const char *const friends[] = {"127.0.0.2", "127.0.3.255"};
        for (unsigned j = 0; j < 2; j++) {
            fd = fixture_connect_from(&fixture, friends[j]);
            fixture_send(fd, v1.bytes, v1.len);
            struct client_socket *client = fixture_join_over(&fixture, fd, NULL);
            expect_address(&fixture, client, v1.address);
            client_socket_close(client);
        }
        stop(&fixture);
    }
}

static bool accepts_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->accepts == value;
}

/* HAProxy's checks reset their connections, many before these are accepted: the kernel then tells
 * no address, and that is no reason to take them for strangers. */
static void resets_are_nobodys(void **state)
{
    enum { MANY = 200 };
    const struct linger reset = {.l_onoff = 1};
    hyperderp_relay_options options = options_for(state, 2);
    struct fixture fixture;

    start(&fixture, &options);
    for (unsigned i = 0; i < MANY; i++) {
        int fd = connect_proxy(&fixture);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
        close(fd);
    }
    fixture_wait(&fixture, accepts_are, MANY);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).refused[HYPERDERP_REFUSED_UNTRUSTED_PROXY], 0);
    assert_int_equal(fixture_counters(&fixture).proxy_headers_bad, 0);
    struct client_socket *client = join_with(&fixture, &v2);
    client_socket_close(client);
    stop(&fixture);
}

static void options_that_make_no_sense(void **state)
{
    static const char *const wrong[] = {"127.0.0.1", "10.0.0.0/33"}, *const none[] = {NULL};
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_EPOLL, 1);
    hyperderp_listener_options listener;
    hyperderp_relay *relay;

    (void)state;
    options.log = NULL;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    listener.trusted_proxies = wrong;
    listener.trusted_proxy_count = 1;
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -EINVAL);
    listener.proxy_protocol = true;
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), 0);
    listener.trusted_proxy_count = 2;
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -EINVAL);
    listener.trusted_proxy_count = 0;
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -EINVAL);
    listener.trusted_proxy_count = 1;
    listener.trusted_proxies = none;
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -EINVAL);
    listener.trusted_proxies = NULL;
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -EINVAL);
    hyperderp_relay_free(relay);
}

/* ---- Limits by address ------------------------------------------------------------------------
 */

static bool per_ip_refused_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->refused[HYPERDERP_REFUSED_PER_IP] == value;
}

static bool told_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->proxy_headers_ok == value;
}

/* It is the clients that are counted, not the proxy that all of them come through. */
static void clients_are_counted_by_their_address(void **state)
{
    enum { MOST = 2 };
    hyperderp_relay_options options = options_for(state, 3);
    struct fixture fixture;
    int first[MOST], second[MOST];

    options.connections_per_ip = MOST;
    start(&fixture, &options);
    for (unsigned i = 0; i < MOST; i++) {
        first[i] = connect_with(&fixture, &v1);
        second[i] = connect_with(&fixture, &v2_ipv6);
    }
    fixture_wait(&fixture, told_are, 2 * MOST);
    assert_int_equal(fixture_counters(&fixture).connections, 2 * MOST);
    int third = connect_with(&fixture, &v1);
    (void)fixture_read_end(third);
    close(third);
    fixture_wait(&fixture, per_ip_refused_are, 1);
    /* Of the same network as v2_ipv6. */
    third = connect_with(&fixture, &v1_ipv6);
    (void)fixture_read_end(third);
    close(third);
    fixture_wait(&fixture, per_ip_refused_are, 2);
    /* One that goes makes room. */
    close(first[0]);
    fixture_wait(&fixture, counters_connections_are, 2 * MOST - 1);
    struct client_socket *client = join_with(&fixture, &v1);
    client_socket_close(client);
    for (unsigned i = 0; i < MOST; i++) {
        if (i > 0)
            close(first[i]);
        close(second[i]);
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).refused[HYPERDERP_REFUSED_PER_IP], 2);
    assert_int_equal(fixture_counters(&fixture).slab_exhausts, 0);
    stop(&fixture);
}

/* ---- In the file system -----------------------------------------------------------------------
 */

static char folder[] = "/tmp/hyper-derp-test-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int connect_unix(const struct fixture *fixture)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_memory_equal(fixture->address, "unix:/", 6);
    snprintf(to.sun_path, sizeof(to.sun_path), "%.100s", fixture->address + 5);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void start_unix(struct fixture *fixture, const hyperderp_relay_options *options,
                       bool proxied)
{
    hyperderp_listener_options listener;
    char address[128];

    snprintf(address, sizeof(address), "unix:%.40s/relay.sock", folder);
    hyperderp_listener_options_init(&listener);
    listener.address = address;
    listener.proxy_protocol = proxied;
    fixture_start_listener(fixture, options, &listener);
    assert_string_equal(fixture->address, address);
}

static void over_a_unix_socket(void **state)
{
    hyperderp_relay_options options = options_for(state, 3);
    struct fixture fixture;
    struct stat info;
    char listed[64], path[256];

    /* Who comes over it has no address of IP, and is not counted by one. */
    options.connections_per_ip = 1;
    start_unix(&fixture, &options, false);
    snprintf(path, sizeof(path), "%s", fixture.address + 5);
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISSOCK(info.st_mode));
    assert_int_equal(info.st_mode & 07777, 0660);
    struct client_socket *a = fixture_join_over(&fixture, connect_unix(&fixture), NULL);
    struct client_socket *b = fixture_join_over(&fixture, connect_unix(&fixture), NULL);
    fixture_pass(a, b, "over the file system");
    fixture_pass(b, a, "and back");
    listed_address(&fixture, a, listed);
    assert_string_equal(listed, "unix");
    assert_string_equal(asked_address, "unix");
    client_socket_close(a);
    client_socket_close(b);
    stop(&fixture);
    assert_int_equal(lstat(path, &info), -1);
}

static void proxied_over_a_unix_socket(void **state)
{
    hyperderp_relay_options options = options_for(state, 2);
    struct fixture fixture;
    char listed[64];

    options.connections_per_ip = 1;
    start_unix(&fixture, &options, true);
    int fd = connect_unix(&fixture), again = connect_unix(&fixture);
    fixture_send(fd, v1.bytes, v1.len);
    struct client_socket *client = fixture_join_over(&fixture, fd, NULL);
    expect_address(&fixture, client, v1.address);
    fixture_send(again, v1.bytes, v1.len);
    (void)fixture_read_end(again);
    close(again);
    fixture_wait(&fixture, per_ip_refused_are, 1);
    fd = connect_unix(&fixture);
    fixture_send(fd, v2_local.bytes, v2_local.len);
    struct client_socket *local = fixture_join_over(&fixture, fd, NULL);
    listed_address(&fixture, local, listed);
    assert_string_equal(listed, "unix");
    fixture_pass(client, local, "over the file system");
    client_socket_close(local);
    client_socket_close(client);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    /* A drain ends the listener. */
    assert_int_equal(access(fixture.address + 5, F_OK), -1);
    stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(the_address_is_the_clients),
        FIXTURE_ON_ALL(mesh_partners_are_told),
        FIXTURE_ON_ALL(no_address_is_told),
        FIXTURE_ON_ALL(split_anywhere),
        FIXTURE_ON_ALL(byte_by_byte),
        FIXTURE_ON_ALL(with_what_follows_it),
        FIXTURE_ON_ALL(split_and_with_what_follows_it),
        FIXTURE_ON_ALL(bad_headers),
        FIXTURE_ON_ALL(silent_proxies_time_out),
        FIXTURE_ON_ALL(ends_before_the_header),
        FIXTURE_ON_ALL(strangers_are_refused),
        FIXTURE_ON_ALL(resets_are_nobodys),
        FIXTURE_ON_ALL(clients_are_counted_by_their_address),
        FIXTURE_ON_ALL(over_a_unix_socket),
        FIXTURE_ON_ALL(proxied_over_a_unix_socket),
        cmocka_unit_test(options_that_make_no_sense),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
