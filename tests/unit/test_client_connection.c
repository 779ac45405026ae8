/* SPDX-License-Identifier: BSD-3-Clause */
/* hyperderp_connection, the public client with its socket, against a relay in this process: waiting
 * and not waiting, in the clear and over TLS, what a relay can tell, and whom it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay_fixture.h"
#include "tls_relay.h"
#include "wire/frame.h"
#include "wire/hello.h"

#define PATIENCE FIXTURE_PATIENCE_MS

/* What a test lets run out, and what is enough for a relay all the same. */
#define A_WHILE_MS 3000

static const hyperderp_key nobody = {{9, 8, 7}};
static char fault[HYPERDERP_FAULT_SIZE];

/* ---- Connections ---- */

static hyperderp_client_options options_for(const struct fixture *fixture)
{
    hyperderp_client_options options = fixture_client_options(fixture);

    options.host = NULL;
    options.fault = fault;
    return options;
}

static hyperderp_key key_of(hyperderp_connection *connection)
{
    hyperderp_key key;

    assert_int_equal(hyperderp_client_key(hyperderp_connection_client(connection), &key), 0);
    return key;
}

static const hyperderp_message *expect(hyperderp_connection *connection,
                                       hyperderp_message_type type)
{
    const hyperderp_message *message;
    int err = hyperderp_connection_recv(connection, &message, PATIENCE);

    if (err < 0)
        fail_msg("%s: %s", strerror(-err), hyperderp_connection_fault(connection));
    assert_int_equal(message->type, type);
    return message;
}

/* Receives until the connection ends; returns how. */
static int read_to_the_end(hyperderp_connection *connection)
{
    const hyperderp_message *message;
    int err;

    while ((err = hyperderp_connection_recv(connection, &message, PATIENCE)) == 0)
        continue;
    return err;
}

static hyperderp_connection *open_with(const struct fixture *fixture,
                                       const hyperderp_client_options *options)
{
    hyperderp_connection *connection;
    int err = hyperderp_connection_open(&connection, fixture->address, options, PATIENCE);

    if (err < 0)
        fail_msg("not opened: %s, %s", strerror(-err), fault);
    assert_string_equal(fault, "");
    expect(connection, HYPERDERP_MESSAGE_SERVER_INFO);
    return connection;
}

static hyperderp_connection *open_one(const struct fixture *fixture)
{
    hyperderp_client_options options = options_for(fixture);

    return open_with(fixture, &options);
}

/* The relay's answer to a Ping: what was sent before has been dealt with. */
static void ping(hyperderp_connection *connection)
{
    static const uint8_t data[HYPERDERP_PING_SIZE] = "12345678";

    assert_int_equal(hyperderp_client_ping(hyperderp_connection_client(connection), data), 0);
    const hyperderp_message *message = expect(connection, HYPERDERP_MESSAGE_PONG);
    assert_int_equal(message->len, sizeof(data));
    assert_memory_equal(message->payload, data, sizeof(data));
}

static void close_and_stop(struct fixture *fixture, hyperderp_connection *a,
                           hyperderp_connection *b)
{
    hyperderp_connection_close(a);
    hyperderp_connection_close(b);
    fixture_wait(fixture, counters_connections_are, 0);
    fixture_stop(fixture);
}

/* ---- Waiting ---- */

static void packets_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 1400, 16384, 16385, 40000, HYPERDERP_MAX_PACKET};
    static uint8_t packet[HYPERDERP_MAX_PACKET];
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    hyperderp_connection *a = open_one(&fixture), *b = open_one(&fixture);
    hyperderp_key to = key_of(b), from = key_of(a), relay;
    assert_int_equal(hyperderp_client_relay_key(hyperderp_connection_client(a), &relay), 0);
    assert_true(hyperderp_key_equal(&relay, &fixture.key));
    ping(b); /* it has joined for all to see */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t k = 0; k < sizes[i]; k++)
            packet[k] = (uint8_t)(k * 31 + k / 251 + i);
        assert_int_equal(hyperderp_connection_send(a, &to, packet, sizes[i], PATIENCE), 0);
        const hyperderp_message *message = expect(b, HYPERDERP_MESSAGE_PACKET);
        assert_true(hyperderp_key_equal(&message->peer, &from));
        assert_int_equal(message->len, sizes[i]);
        assert_memory_equal(message->payload, packet, sizes[i]);
    }
    assert_int_equal(hyperderp_client_note_preferred(hyperderp_connection_client(a), true), 0);
    ping(a);
    close_and_stop(&fixture, a, b);
}

static void time_runs_out(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    const hyperderp_message *message = NULL;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    hyperderp_connection *connection = open_one(&fixture);
    assert_int_equal(hyperderp_connection_recv(connection, &message, 0), -EAGAIN);
    assert_int_equal(hyperderp_connection_recv(connection, &message, 20), -ETIMEDOUT);
    assert_null(message);
    ping(connection); /* nothing is lost by that */
    assert_string_equal(hyperderp_connection_fault(connection), "");
    close_and_stop(&fixture, connection, NULL);
}

/* ---- Not waiting ---- */

static void poll_for(hyperderp_connection *const *connections, unsigned count)
{
    struct pollfd items[2];

    for (unsigned i = 0; i < count; i++)
        items[i] = (struct pollfd){.fd = hyperderp_connection_fd(connections[i]),
                                   .events = (short)hyperderp_connection_events(connections[i])};
    assert_in_range(poll(items, count, PATIENCE), 1, count);
    for (unsigned i = 0; i < count; i++)
        if (items[i].revents)
            assert_int_equal(hyperderp_connection_process(connections[i]), 0);
}

#define NUMBERS 3000

/* One sends numbers, as many as there is room for, and the other one must receive them all in
 * order, while both are polled by one thread. */
static void a_loop_with_two(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_client_options client;
    hyperderp_connection *both[2];
    const hyperderp_message *message;
    struct fixture fixture;
    bool joined[2] = {false};
    uint32_t sent = 0, got = 0;
    int err;

    options.queue_frames = NUMBERS;
    options.queue_bytes = 64 << 20;
    options.queue_time_ms = 0;
    fixture_start(&fixture, &options, 0);
    client = options_for(&fixture);
    client.fast_start = fixture_is_tls(); /* by the key in the certificates */
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(hyperderp_connection_begin(&both[i], fixture.address, &client), 0);
    hyperderp_key to = key_of(both[1]);
    while (got < NUMBERS) {
        poll_for(both, 2);
        for (unsigned i = 0; i < 2; i++) {
            while ((err = hyperderp_connection_recv(both[i], &message, 0)) == 0) {
                if (message->type == HYPERDERP_MESSAGE_SERVER_INFO)
                    joined[i] = true;
                if (message->type != HYPERDERP_MESSAGE_PACKET)
                    continue;
                assert_int_equal(message->len, 1200);
                assert_memory_equal(message->payload, &got, sizeof(got));
                got++;
            }
            assert_int_equal(err, -EAGAIN);
        }
        for (uint8_t packet[1200] = {0}; joined[0] && joined[1] && sent < NUMBERS; sent++) {
            memcpy(packet, &sent, sizeof(sent));
            err = hyperderp_connection_send(both[0], &to, packet, sizeof(packet), 0);
            assert_true(err == 0 || err == -ENOBUFS);
            if (err)
                break;
        }
    }
    close_and_stop(&fixture, both[0], both[1]);
}

/* ---- What a relay tells ---- */

static void who_watches(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_client_options client;
    const hyperderp_message *message;
    struct fixture fixture;

    options.mesh_key[3] = 5;
    fixture_start(&fixture, &options, 0);
    client = options_for(&fixture);
    client.mesh_key[3] = 5;
    client.server_key = fixture.key;
    hyperderp_connection *watcher = open_with(&fixture, &client);
    assert_int_equal(hyperderp_client_watch(hyperderp_connection_client(watcher)), 0);
    hyperderp_key own = key_of(watcher);
    message = expect(watcher, HYPERDERP_MESSAGE_PEER_PRESENT);
    assert_true(hyperderp_key_equal(&message->peer, &own));
    assert_int_equal(message->flags & 2, 2);
    hyperderp_connection *peer = open_one(&fixture);
    hyperderp_key key = key_of(peer);
    message = expect(watcher, HYPERDERP_MESSAGE_PEER_PRESENT);
    assert_true(hyperderp_key_equal(&message->peer, &key));
    assert_int_equal(message->flags, 1);
    assert_memory_equal(message->ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
    assert_int_not_equal(message->port, 0);
    assert_int_equal(hyperderp_client_watch(hyperderp_connection_client(peer)), -EPERM);
    hyperderp_connection_close(peer);
    message = expect(watcher, HYPERDERP_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message->peer, &key));
    assert_int_equal(message->reason, HYPERDERP_GONE_LEFT);
    close_and_stop(&fixture, watcher, NULL);
}

static void a_wrong_mesh_key(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_client_options client;
    struct fixture fixture;

    options.mesh_key[3] = 5;
    fixture_start(&fixture, &options, 0);
    client = options_for(&fixture);
    client.mesh_key[3] = 6;
    client.server_key = fixture.key;
    hyperderp_connection *connection = open_with(&fixture, &client);
    assert_int_equal(hyperderp_client_watch(hyperderp_connection_client(connection)), 0);
    int err = read_to_the_end(connection);
    assert_true(err == -EPIPE || err == -ECONNRESET || err == -ECONNABORTED);
    assert_string_not_equal(hyperderp_connection_fault(connection), "");
    close_and_stop(&fixture, connection, NULL);
}

static void peers_that_are_gone(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    const hyperderp_message *message;
    struct fixture fixture;
    uint8_t disco[100];

    fixture_start(&fixture, &options, 0);
    hyperderp_connection *connection = open_one(&fixture), *other = open_one(&fixture);
    ping(other);
    assert_int_equal(hyperderp_connection_send(connection, &nobody, fixture_disco(disco),
                                               sizeof(disco), PATIENCE),
                     0);
    message = expect(connection, HYPERDERP_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message->peer, &nobody));
    assert_int_equal(message->reason, HYPERDERP_GONE_NOT_HERE);
    /* Who has sent something is missed. */
    hyperderp_key key = key_of(other), to = key_of(connection);
    assert_int_equal(hyperderp_connection_send(other, &to, "x", 1, PATIENCE), 0);
    expect(connection, HYPERDERP_MESSAGE_PACKET);
    hyperderp_connection_close(other);
    message = expect(connection, HYPERDERP_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message->peer, &key));
    assert_int_equal(message->reason, HYPERDERP_GONE_LEFT);
    close_and_stop(&fixture, connection, NULL);
}

static void a_relay_that_restarts(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    const hyperderp_message *message;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    hyperderp_connection *connection = open_one(&fixture);
    (void)hyperderp_relay_drain(fixture.relay, 0);
    message = expect(connection, HYPERDERP_MESSAGE_RESTARTING);
    assert_int_not_equal(message->try_for_ms, 0);
    assert_int_equal(read_to_the_end(connection), -EPIPE);
    assert_string_equal(hyperderp_connection_fault(connection),
                        "the relay restarts, and has closed the connection");
    assert_int_equal(hyperderp_connection_process(connection), -EPIPE);
    assert_int_equal(hyperderp_connection_events(connection), 0);
    assert_int_equal(hyperderp_connection_send(connection, &nobody, "x", 1, PATIENCE), -EPIPE);
    close_and_stop(&fixture, connection, NULL);
}

static hyperderp_verdict deny(void *user, const hyperderp_client_info *client,
                              hyperderp_admission *ticket)
{
    (void)user, (void)client, (void)ticket;
    return HYPERDERP_DENY;
}

static hyperderp_verdict deny_with_words(void *user, const hyperderp_client_info *client,
                                         hyperderp_admission *ticket)
{
    (void)user, (void)client;
    hyperderp_admission_deny(ticket, "not on \033the list");
    return HYPERDERP_LATER;
}

static void expect_denied(hyperderp_engine engine,
                          hyperderp_verdict (*admit)(void *, const hyperderp_client_info *,
                                                     hyperderp_admission *),
                          int expected, const char *words)
{
    hyperderp_relay_options options = fixture_options(engine, 1);
    hyperderp_client_options client;
    hyperderp_connection *connection;
    struct fixture fixture;

    options.admit = admit;
    fixture_start(&fixture, &options, 0);
    client = options_for(&fixture);
    /* The relay keeps who has been told why: the time runs out before it closes. */
    assert_int_equal(hyperderp_connection_open(&connection, fixture.address, &client,
                                               expected == -ETIMEDOUT ? A_WHILE_MS : PATIENCE),
                     expected);
    assert_null(connection);
    assert_string_equal(fault, words);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void who_is_not_let_in(void **state)
{
    expect_denied(fixture_engine(state), deny, -EPIPE,
                  "the relay has closed the connection before it let the client in");
}

static void who_is_told_why(void **state)
{
    expect_denied(fixture_engine(state), deny_with_words, -ETIMEDOUT,
                  "the relay has not let the client in in time; it says: not on ?the list");
}

/* ---- Whom the client refuses ---- */

static void expect_refused(const struct fixture *fixture, const hyperderp_client_options *options,
                           int error, const char *words)
{
    hyperderp_connection *connection;
    int err = hyperderp_connection_open(&connection, fixture->address, options, PATIENCE);

    assert_null(connection);
    if (err != error || !strstr(fault, words))
        fail_msg("%s: \"%s\", not \"%s\"", strerror(-err), fault, words);
}

static void certificates(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_client_options client;
    struct fixture fixture;
    char *pem, *key;

    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_certificate_write(fixture_certificate(), &pem, &key), 0);
    client = options_for(&fixture);
    client.security = HYPERDERP_CLIENT_TLS;
    client.pin = NULL;
    client.ca_pem = pem;
    hyperderp_connection *connection = open_with(&fixture, &client);
    ping(connection);
    hyperderp_connection_close(connection);
    client.server_name = "derp.example.com";
    expect_refused(&fixture, &client, -EPROTO, "hostname mismatch");
    client.server_name = "127.0.0.2";
    expect_refused(&fixture, &client, -EPROTO, "IP address mismatch");
    client.server_name = NULL;
    client.ca_pem = NULL; /* the system does not know this one */
    expect_refused(&fixture, &client, -EPROTO, "the certificate is not accepted: self-signed");

    client = options_for(&fixture);
    client.server_name = "derp.example.com";
    expect_refused(&fixture, &client, -EPROTO, "hostname mismatch");
    client.server_name = NULL;
    client.pin = "sha256-raw:"
                 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    expect_refused(&fixture, &client, -EPROTO, "it is another than the pinned one");
    hyperderp_pem_free(pem);
    hyperderp_pem_free(key);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void keys_of_relays(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_client_options client;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    client = options_for(&fixture);
    for (int fast = 0; fast < 2; fast++) {
        client.fast_start = fast;
        client.server_key = fixture.key;
        hyperderp_connection *connection = open_with(&fixture, &client);
        ping(connection);
        hyperderp_connection_close(connection);
        client.server_key = nobody;
        /* In the clear a relay closes when it cannot open what fast start brings. */
        if (fast && !fixture_is_tls())
            expect_refused(&fixture, &client, -EPIPE, "before it let the client in");
        else
            expect_refused(&fixture, &client, -EPROTO, "another key than was expected");
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* TLS to who speaks none, and the other way round. */
static void who_speaks_something_else(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    hyperderp_client_options client;
    hyperderp_connection *connection;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    client = options_for(&fixture);
    client.security = fixture_is_tls() ? HYPERDERP_CLIENT_PLAIN : HYPERDERP_CLIENT_TLS;
    client.pin = NULL;
    assert_true(hyperderp_connection_open(&connection, fixture.address, &client, PATIENCE) < 0);
    assert_null(connection);
    assert_string_not_equal(fault, "");
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- Where nobody is ---- */

/* A socket of the loopback that listens or not; its address. */
static int somewhere(bool listens, char address[32])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    if (listens)
        assert_int_equal(listen(fd, 8), 0);
    snprintf(address, 32, "127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}

static void plain_options(hyperderp_client_options *options)
{
    hyperderp_client_options_init(options);
    options->security = HYPERDERP_CLIENT_PLAIN;
    options->fault = fault;
}

static void nobody_listens(void **state)
{
    hyperderp_client_options options;
    hyperderp_connection *connection;
    const hyperderp_message *message;
    char address[32], words[128];
    int fd = somewhere(false, address);

    (void)state;
    plain_options(&options);
    snprintf(words, sizeof(words), "connecting to %s: Connection refused", address);
    assert_int_equal(hyperderp_connection_open(&connection, address, &options, PATIENCE),
                     -ECONNREFUSED);
    assert_null(connection);
    assert_string_equal(fault, words);

    /* Without waiting the socket tells. */
    int err = hyperderp_connection_begin(&connection, address, &options);
    if (err == 0) {
        while (hyperderp_connection_process(connection) == 0)
            assert_in_range(
                poll(&(struct pollfd){.fd = hyperderp_connection_fd(connection), .events = POLLOUT},
                     1, PATIENCE),
                1, 1);
        assert_int_equal(hyperderp_connection_recv(connection, &message, 0), -ECONNREFUSED);
        assert_int_equal(hyperderp_connection_recv(connection, &message, -1), -ECONNREFUSED);
        assert_int_equal(hyperderp_connection_send(connection, &nobody, "x", 1, -1), -ECONNREFUSED);
        assert_string_equal(hyperderp_connection_fault(connection), words);
        assert_int_equal(hyperderp_connection_fd(connection), -ENOTCONN);
        assert_int_equal(hyperderp_connection_events(connection), 0);
        hyperderp_connection_close(connection);
    } else {
        assert_int_equal(err, -ECONNREFUSED);
    }
    close(fd);
}

static void nobody_answers(void **state)
{
    hyperderp_client_options options;
    hyperderp_connection *connection;
    char address[32];
    int fd = somewhere(true, address);

    (void)state;
    plain_options(&options);
    assert_int_equal(hyperderp_connection_open(&connection, address, &options, 30), -ETIMEDOUT);
    assert_null(connection);
    assert_string_equal(fault, "the relay has not let the client in in time");
    options.security = HYPERDERP_CLIENT_TLS;
    assert_int_equal(hyperderp_connection_open(&connection, address, &options, 30), -ETIMEDOUT);
    close(fd);
}

static void addresses_that_are_none(void **state)
{
    static const char *const addresses[] = {"", "relay", ":1", "relay:", "::1:80", "[::1]"};
    hyperderp_client_options options;
    hyperderp_connection *connection;

    (void)state;
    plain_options(&options);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        connection = (hyperderp_connection *)&options;
        assert_int_equal(hyperderp_connection_begin(&connection, addresses[i], &options), -EINVAL);
        assert_null(connection);
        assert_non_null(strstr(fault, "is expected"));
    }
    assert_int_equal(hyperderp_connection_begin(&connection, "127.0.0.1:no-port", &options),
                     -ENOENT);
    assert_non_null(strstr(fault, "no such host or port"));
    options.fast_start = true;
    assert_int_equal(hyperderp_connection_begin(&connection, "127.0.0.1:1", &options), -EINVAL);
    assert_non_null(strstr(fault, "server_key"));
}

/* ---- A relay by hand ---- */

/* What is asked for comes true at once; receiving then tells. */
static hyperderp_connection *begin_fast(const char *address, const hyperderp_key *relay)
{
    hyperderp_client_options options;
    hyperderp_connection *connection;

    plain_options(&options);
    options.fast_start = true;
    options.server_key = *relay;
    assert_int_equal(hyperderp_connection_begin(&connection, address, &options), 0);
    return connection;
}

static const hyperderp_key relay_key = {{9, 1}};

/* Fast start introduces the client before it is connected; sending says so, however long it may
 * take, and does not turn in circles. */
static void sending_before_it_is_connected(void **state)
{
    static const int timeouts[] = {0, 30, -1};
    char address[32];
    int fd = somewhere(true, address);

    (void)state;
    hyperderp_connection *connection = begin_fast(address, &relay_key);
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++)
        assert_int_equal(hyperderp_connection_send(connection, &nobody, "x", 1, timeouts[i]),
                         -EAGAIN);
    assert_int_equal(hyperderp_connection_process(connection), 0);
    assert_int_equal(hyperderp_connection_send(connection, &nobody, "x", 1, PATIENCE), 0);
    hyperderp_connection_close(connection);
    close(fd);
}

static void tell_health(int fd)
{
    uint8_t frame[FRAME_HEADER_SIZE + 8];
    size_t len = frame_encode_health(frame, "ill");

    assert_int_equal(send(fd, frame, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Takes messages, for each of which the relay sends one more. Returns their number. */
static unsigned take_from_a_spring(hyperderp_connection *connection, int fd)
{
    const hyperderp_message *message;
    unsigned got = 0;
    int err;

    while (got < 1000 && (err = hyperderp_connection_recv(connection, &message, 0)) == 0) {
        assert_int_equal(message->type, HYPERDERP_MESSAGE_HEALTH);
        tell_health(fd);
        got++;
    }
    if (got < 1000)
        assert_int_equal(err, -EAGAIN);
    return got;
}

/* A relay that sends as fast as the program reads leaves it the time for all else. */
static void messages_without_end(void **state)
{
    uint8_t hello[HELLO_SERVER_KEY_SIZE];
    char address[32];
    int listener = somewhere(true, address);

    (void)state;
    hyperderp_connection *connection = begin_fast(address, &relay_key);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    /* What is sent is there: nothing waits for an acknowledgement. */
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    size_t len = hello_server_key_encode(hello, &relay_key);
    assert_int_equal(send(fd, hello, len, MSG_NOSIGNAL), (ssize_t)len);
    tell_health(fd);
    tell_health(fd);
    poll_for(&connection, 1);
    assert_int_equal(take_from_a_spring(connection, fd), 2);
    /* Whoever never calls process() gets on as well, by one reading at a time. */
    assert_int_equal(take_from_a_spring(connection, fd), 2);
    assert_int_equal(take_from_a_spring(connection, fd), 2);
    hyperderp_connection_close(connection);
    close(fd);
    close(listener);
}

/* Who only waits to receive must be told by the system that the path is dead. */
static void a_path_is_watched(void **state)
{
    static const struct {
        int level, option, value;
    } expected[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},          {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10},       {IPPROTO_TCP, TCP_KEEPCNT, 3},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 30000},
    };
    char address[32];
    int listener = somewhere(true, address);

    (void)state;
    hyperderp_connection *connection = begin_fast(address, &relay_key);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        int value = -1;
        socklen_t len = sizeof(value);

        assert_int_equal(getsockopt(hyperderp_connection_fd(connection), expected[i].level,
                                    expected[i].option, &value, &len),
                         0);
        assert_int_equal(value, expected[i].value);
    }
    hyperderp_connection_close(connection);
    close(listener);
}

/* ---- A name with two addresses ---- */

static char both_addresses[2][32];

/* The resolver, that knows one name more: "both:0" is both_addresses. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    memcpy(&real, &symbol, sizeof(real));
    if (!name || strcmp(name, "both") != 0)
        return real(name, service, hints, out);
    /* The C library frees a list one by one, wherever they come from. */
    int err = real("127.0.0.1", strchr(both_addresses[0], ':') + 1, hints, out);
    return err ? err
               : real("127.0.0.1", strchr(both_addresses[1], ':') + 1, hints, &(*out)->ai_next);
}

static int connect_to(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* Leaves a listener no room for one more connection, so that it swallows what comes. Returns the
 * one that it has. */
static int fill_up(int listener, const char *address)
{
    assert_int_equal(listen(listener, 0), 0);
    return connect_to(address);
}

/* The socket for the second address has another number than that for the first, or nobody would
 * know that it is to be added to an epoll set. */
static void another_socket(void **state)
{
    hyperderp_client_options options;
    hyperderp_connection *connection;
    int listeners[2], filler;

    (void)state;
    for (int i = 0; i < 2; i++)
        listeners[i] = somewhere(true, both_addresses[i]);
    /* One that has no room for one more connection, so that connecting takes its time... */
    filler = fill_up(listeners[0], both_addresses[0]);
    plain_options(&options);
    assert_int_equal(hyperderp_connection_begin(&connection, "both:0", &options), 0);
    int before = hyperderp_connection_fd(connection);
    assert_int_equal(hyperderp_connection_process(connection), 0);
    assert_int_equal(hyperderp_connection_fd(connection), before);
    /* ... and then nobody is there, as the system's next try finds. */
    assert_int_equal(shutdown(listeners[0], SHUT_RDWR), 0);
    poll_for(&connection, 1);
    assert_true(hyperderp_connection_fd(connection) >= 0);
    assert_int_not_equal(hyperderp_connection_fd(connection), before);
    poll_for(&connection, 1);
    int accepted = accept(listeners[1], NULL, NULL);
    assert_true(accepted >= 0);
    hyperderp_connection_close(connection);
    close(accepted);
    close(filler);
    close(listeners[0]);
    close(listeners[1]);
}

/* The first address swallows what comes, and the relay at the second is found in time. */
static void a_silent_address(void **state)
{
    hyperderp_relay_options relay = fixture_options(fixture_engine(state), 1);
    hyperderp_client_options options;
    hyperderp_connection *connection;
    struct fixture fixture;

    fixture_start(&fixture, &relay, 0);
    int listener = somewhere(true, both_addresses[0]);
    int filler = fill_up(listener, both_addresses[0]);
    snprintf(both_addresses[1], sizeof(both_addresses[1]), "%.31s", fixture.address);
    plain_options(&options);
    assert_int_equal(hyperderp_connection_open(&connection, "both:0", &options, A_WHILE_MS), 0);
    hyperderp_connection_close(connection);
    close(filler);
    close(listener);
    fixture_stop(&fixture);
}

/* Of little time the first address has all: a part of it would be too short for a far one. */
static void little_time(void **state)
{
    hyperderp_client_options options;
    hyperderp_connection *connection;
    int listeners[] = {somewhere(true, both_addresses[0]), somewhere(true, both_addresses[1])};

    (void)state;
    int filler = fill_up(listeners[0], both_addresses[0]);
    plain_options(&options);
    assert_int_equal(hyperderp_connection_open(&connection, "both:0", &options, 300), -ETIMEDOUT);
    assert_null(connection);
    struct pollfd second = {.fd = listeners[1], .events = POLLIN};
    assert_int_equal(poll(&second, 1, 0), 0);
    close(filler);
    close(listeners[0]);
    close(listeners[1]);
}

/* ---- A relay that does not read ---- */

static int may_go_on[2]; /* a pipe */

static const char *read_nothing(struct tls_relay *relay)
{
    char byte;

    (void)relay;
    return read(may_go_on[0], &byte, 1) == 1 ? NULL : "nobody said when to end";
}

/* What waits is bounded, and so is waiting for it; nothing of it makes the client lose its footing.
 */
static void output_that_nobody_takes(void **state)
{
    static const uint8_t packet[HYPERDERP_MAX_PACKET];
    hyperderp_client_options options;
    hyperderp_connection *connection;
    const hyperderp_message *message;
    struct tls_relay relay;
    char *pem, *key;
    unsigned sent = 0;
    int err;

    (void)state;
    assert_int_equal(pipe(may_go_on), 0);
    tls_relay_start(&relay, read_nothing, NULL);
    assert_int_equal(hyperderp_certificate_write(relay.certificate, &pem, &key), 0);
    hyperderp_client_options_init(&options);
    options.ca_pem = pem;
    options.server_name = TLS_RELAY_NAME;
    options.fault = fault;
    options.max_output = 131072;
    if (hyperderp_connection_open(&connection, relay.address, &options, PATIENCE) < 0)
        fail_msg("%s", fault);
    while ((err = hyperderp_connection_send(connection, &nobody, packet, sizeof(packet), 0)) == 0)
        sent++;
    assert_int_equal(err, -ENOBUFS);
    assert_true(sent > 0);
    assert_int_equal(hyperderp_connection_events(connection), POLLIN | POLLOUT);
    assert_int_equal(hyperderp_connection_send(connection, &nobody, packet, sizeof(packet), 30),
                     -ETIMEDOUT);
    assert_int_equal(hyperderp_connection_recv(connection, &message, 0), 0); /* ServerInfo */
    assert_int_equal(hyperderp_connection_recv(connection, &message, 0), -EAGAIN);
    assert_int_equal(write(may_go_on[1], "x", 1), 1);
    err = read_to_the_end(connection);
    assert_true(err == -EPIPE || err == -ECONNRESET);
    err = hyperderp_connection_send(connection, &nobody, "x", 1, PATIENCE);
    assert_true(err == -EPIPE || err == -ECONNRESET);
    hyperderp_connection_close(connection);
    tls_relay_end(&relay);
    hyperderp_pem_free(pem);
    hyperderp_pem_free(key);
    close(may_go_on[0]);
    close(may_go_on[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(packets_of_every_size),
        FIXTURE_ON_ALL(time_runs_out),
        FIXTURE_ON_ALL(a_loop_with_two),
        FIXTURE_ON_ALL(who_watches),
        FIXTURE_ON_ALL(a_wrong_mesh_key),
        FIXTURE_ON_ALL(peers_that_are_gone),
        FIXTURE_ON_ALL(a_relay_that_restarts),
        FIXTURE_ON_ALL(who_is_not_let_in),
        FIXTURE_ON_BOTH(who_is_told_why),
        FIXTURE_ON_TLS(certificates),
        FIXTURE_ON_ALL(keys_of_relays),
        FIXTURE_ON_ALL(who_speaks_something_else),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(addresses_that_are_none),
        cmocka_unit_test(sending_before_it_is_connected),
        cmocka_unit_test(messages_without_end),
        cmocka_unit_test(a_path_is_watched),
        cmocka_unit_test(another_socket),
        FIXTURE_ON_BOTH(a_silent_address),
        cmocka_unit_test(little_time),
        cmocka_unit_test(output_that_nobody_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
