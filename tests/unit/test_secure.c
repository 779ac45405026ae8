/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS of a relay's connections: strangers, hostile records, keys that change, certificates that
 * change, handshakes that do not go on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/relay.h"
#include "relay/tls_queue.h"
#include "relay_fixture.h"

static hyperderp_relay_options options_for(void **state, unsigned workers)
{
    return fixture_options(fixture_engine(state), workers);
}

static bool tls_failed_is(const hyperderp_counters *counters, uint64_t value)
{
    return counters->tls_handshakes[HYPERDERP_TLS_FAILED] == value;
}

static bool not_tls_is(const hyperderp_counters *counters, uint64_t value)
{
    return counters->tls_handshakes[HYPERDERP_TLS_NOT_TLS] == value;
}

static bool timed_out_is(const hyperderp_counters *counters, uint64_t value)
{
    return counters->tls_handshakes[HYPERDERP_TLS_TIMED_OUT] == value;
}

static bool shaking_is(const hyperderp_counters *counters, uint64_t value)
{
    return counters->tls_handshakes_active == value;
}

static bool gave_way_is(const hyperderp_counters *counters, uint64_t value)
{
    return counters->tls_handshakes[HYPERDERP_TLS_GAVE_WAY] == value;
}

static void strangers_are_sorted_out(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    struct fixture fixture;
    char text[32];

    fixture_start(&fixture, &options, 0);
    int fd = fixture_connect_bare(&fixture);
    fixture_send_text(fd, "GET /derp HTTP/1.1\r\n\r\n");
    fixture_receive(fd, text, 12);
    assert_memory_equal(text, "HTTP/1.1 400", 12);
    assert_int_equal(fixture_read_end(fd), 0);
    fixture_hang_up(fd);
    static const char *const junk[] = {"SSH-2.0-OpenSSH\r\n", "\x16\2\0\0\1\1",
                                       "\x16\3\1\x7f\xff\1", "\x16\3\1\2\2\2", "\x17\3\3\1\1\1"};
    for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
        fd = fixture_connect_bare(&fixture);
        fixture_send(fd, junk[i], 6);
        (void)fixture_read_end(fd);
        fixture_hang_up(fd);
    }
    fixture_wait(&fixture, not_tls_is, 6);
    /* It begins like a ClientHello, and is none: OpenSSL says so. */
    fd = fixture_connect_bare(&fixture);
    fixture_send(fd, "\x16\3\1\0\x04\1\0\0\0", 9);
    uint8_t alert[7];
    fixture_receive(fd, alert, sizeof(alert));
    assert_memory_equal(alert, "\x15\3", 2);
    (void)fixture_read_end(fd);
    fixture_hang_up(fd);
    fixture_wait(&fixture, tls_failed_is, 1);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.handshakes_failed, 7);
    assert_int_equal(counters.tls_connections, 0);
    fixture_stop(&fixture);
}

/* The relay ends a connection with one alert, which is counted; a pair beside it notices nothing.
 */
static void expect_alert(struct client_socket *hostile, const char *alert)
{
    struct client_message message;

    assert_int_equal(client_socket_recv(hostile, &message, FIXTURE_PATIENCE_MS), -ECONNABORTED);
    assert_string_equal(client_socket_alert(hostile), alert);
    client_socket_close(hostile);
}

static void send_unsealed(struct client_socket *client, const void *bytes, size_t len)
{
    assert_int_equal(client_socket_send_unsealed(client, bytes, len, FIXTURE_PATIENCE_MS), 0);
}

static void send_record(struct client_socket *client, int type, const void *bytes, size_t len)
{
    assert_int_equal(client_socket_send_record(client, (enum tls_content)type, bytes, len, 0,
                                               FIXTURE_PATIENCE_MS),
                     0);
}

static void hostile_records_get_their_alert(void **state)
{
    static const uint8_t forged[40] = {23, 3, 3, 0, 35};
    static const struct {
        const char *alert;
        int type; /* of a record that is sealed, or -1 */
        const void *bytes;
        size_t len;
    } cases[] = {
        {"bad_record_mac", -1, forged, sizeof(forged)},
        {"bad_record_mac", -1, "\x17\3\3\0\x10", 5},                  /* no room for a tag */
        {"record_overflow", -1, "\x17\3\3\x41\x01", 5},               /* 2^14 + 257 */
        {"unexpected_message", -1, "\x16\3\3\0\x20", 5},              /* a handshake in the clear */
        {"unexpected_message", TLS_CONTENT_HANDSHAKE, "", 0},         /* none may be empty */
        {"unexpected_message", TLS_CONTENT_HANDSHAKE, "\1\0\0\0", 4}, /* a ClientHello: no more */
        {"illegal_parameter", TLS_CONTENT_HANDSHAKE, "\x18\0\0\1\2", 5},
        {"decode_error", TLS_CONTENT_ALERT, "\1", 1},
        {"unexpected_message", 20, "\1", 1}, /* ChangeCipherSpec is over */
    };
    enum { CASES = sizeof(cases) / sizeof(cases[0]) };
    hyperderp_relay_options options = options_for(state, 3);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    for (size_t i = 0; i < CASES; i++) {
        struct client_socket *hostile = fixture_join(&fixture, 0);
        fixture_pass(hostile, a, "before");
        if (cases[i].type < 0)
            send_unsealed(hostile, cases[i].bytes, cases[i].len);
        else
            send_record(hostile, cases[i].type, cases[i].bytes, cases[i].len);
        expect_alert(hostile, cases[i].alert);
        fixture_expect(a, CLIENT_MESSAGE_PEER_GONE);
        fixture_pass(a, b, "undisturbed");
        assert_int_equal(fixture_counters(&fixture).tls_alerts_sent, i + 1);
        assert_int_equal(fixture_counters(&fixture).protocol_errors, i + 1);
    }
    client_socket_close(a);
    client_socket_close(b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void records_that_bring_nothing_are_bounded(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < TLS_MAX_IDLE_RECORDS; i++)
            send_record(a, TLS_CONTENT_DATA, "", 0);
        fixture_pass(a, b, "and then something");
    }
    for (unsigned i = 0; i <= TLS_MAX_IDLE_RECORDS; i++)
        send_record(a, TLS_CONTENT_DATA, "", 0);
    expect_alert(a, "unexpected_message");
    fixture_expect(b, CLIENT_MESSAGE_PEER_GONE);
    client_socket_close(b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void keys_change_while_packets_flow(void **state)
{
    hyperderp_relay_options options = options_for(state, 3);
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(client_socket_send_key_update(a, false, FIXTURE_PATIENCE_MS), 0);
        fixture_pass(a, b, "under the client's new key");
        assert_int_equal(client_socket_send_key_update(a, true, FIXTURE_PATIENCE_MS), 0);
        fixture_expect_nothing(a); /* a Pong, under the relay's new key */
        fixture_pass(b, a, "to the one with a new key");
    }
    /* Five of the client alone, five that ask, and five answers. */
    assert_int_equal(fixture_counters(&fixture).tls_key_updates, 15);
    client_socket_close(a);
    client_socket_close(b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Waits until nobody drains, and keeps it so: who will has to take the lock first. */
static void lock_when_idle(struct sink *sink)
{
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;

    for (;;) {
        pthread_mutex_lock(&sink->lock);
        if (atomic_load(&sink->draining) == 0)
            return;
        pthread_mutex_unlock(&sink->lock);
        assert_true(fixture_now_ms() < until);
        usleep(1000);
    }
}

/* The relay changes its own key before the limit of RFC 8446 section 5.5. Sixteen million records
 * are too many for a test: this connection's suite gets a lower limit. */
static void keys_that_are_used_up_are_changed(void **state)
{
    static struct tls_suite short_lived;
    hyperderp_relay_options options = options_for(state, 3);
    struct fixture fixture;
    struct sink *sink;

    fixture_start(&fixture, &options, 0);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    struct peer *peer = route_find(&fixture.relay->routes, client_socket_key(b), &sink);
    assert_non_null(peer);
    lock_when_idle(sink);
    short_lived = *sink->tls->tx.half.suite;
    short_lived.record_limit = 3;
    sink->tls->tx.half.suite = &short_lived;
    pthread_mutex_unlock(&sink->lock);
    for (unsigned i = 0; i < 20; i++)
        fixture_pass(a, b, "under one key or the next");
    /* A KeyUpdate is a record under the old key: three packets and it make a life. */
    assert_in_range(fixture_counters(&fixture).tls_key_updates, 5, 8);
    sink_unref(sink);
    peer_unref(peer);
    client_socket_close(a);
    client_socket_close(b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static void each_side_says_goodbye(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    struct client_message message;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    /* The client first: what waits for it still comes, then the relay's own close_notify. */
    assert_int_equal(client_socket_send_alert(a, TLS_ALERT_CLOSE_NOTIFY, FIXTURE_PATIENCE_MS), 0);
    while (client_socket_recv(a, &message, FIXTURE_PATIENCE_MS) == 0)
        ;
    assert_string_equal(client_socket_alert(a), "close_notify");
    client_socket_close(a);
    /* A client that gives up is no fault of ours. */
    assert_int_equal(client_socket_send_alert(b, TLS_ALERT_INTERNAL_ERROR, FIXTURE_PATIENCE_MS), 0);
    while (client_socket_recv(b, &message, FIXTURE_PATIENCE_MS) == 0)
        ;
    client_socket_close(b);
    fixture_wait(&fixture, counters_connections_are, 0);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.tls_alerts_received, 1);
    assert_int_equal(counters.tls_alerts_sent, 0);
    assert_int_equal(counters.send_errors, 0);
    /* The relay first: an answered request, and a relay that stops. */
    int fd = fixture_connect(&fixture);
    fixture_send_text(fd, "GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(fixture_read_end(fd), 0);
    fixture_hang_up(fd);
    struct client_socket *c = fixture_join(&fixture, 0);
    hyperderp_relay_stop(fixture.relay);
    assert_int_equal(client_socket_recv(c, &message, FIXTURE_PATIENCE_MS), -EPIPE);
    assert_string_equal(client_socket_alert(c), "close_notify");
    client_socket_close(c);
    fixture_stop(&fixture);
}

static void half_a_record_is_not_waited_for_forever(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    struct client_message message;
    struct fixture fixture;

    options.write_timeout_ms = 50;
    fixture_start(&fixture, &options, 0);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    send_unsealed(a, "\x17\3\3\x20\0 not much of it", 21);
    assert_int_equal(client_socket_recv(a, &message, FIXTURE_PATIENCE_MS), -EPIPE);
    assert_string_equal(client_socket_alert(a), "close_notify");
    send_unsealed(b, "\x17\3", 2);
    assert_int_equal(client_socket_recv(b, &message, FIXTURE_PATIENCE_MS), -EPIPE);
    client_socket_close(a);
    client_socket_close(b);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- Handshakes that do not go on ---- */

/* A ClientHello as a client of ours sends it. */
static size_t make_hello(uint8_t *out, size_t room)
{
    static struct tls_client *client;
    const struct tls_client_options anybody = {.verification = TLS_VERIFY_NOTHING};
    char fault[HYPERDERP_FAULT_SIZE];
    const uint8_t *bytes;

    if (!client)
        assert_int_equal(tls_client_new(&client, &anybody, fault), 0);
    struct tls_handshake *handshake = tls_client_handshake_new(client, "127.0.0.1");
    assert_non_null(handshake);
    size_t len = tls_handshake_output(handshake, &bytes);
    assert_in_range(len, 100, room);
    memcpy(out, bytes, len);
    tls_handshake_free(handshake);
    return len;
}

static void handshakes_have_a_deadline(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    uint8_t hello[2048];
    struct fixture fixture;
    int fd[4];

    options.handshake_timeout_ms = 200;
    fixture_start(&fixture, &options, 0);
    size_t len = make_hello(hello, sizeof(hello));
    for (unsigned i = 0; i < 4; i++)
        fd[i] = fixture_connect_bare(&fixture);
    fixture_send(fd[1], hello, 1);
    fixture_send(fd[2], hello, len - 1);
    fixture_send(fd[3], hello, len);
    fixture_wait(&fixture, shaking_is, 1);
    fixture_wait(&fixture, timed_out_is, 4);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).tls_handshakes_active, 0);
    assert_int_equal(fixture_counters(&fixture).handshakes_timed_out, 4);
    for (unsigned i = 0; i < 4; i++)
        close(fd[i]);
    fixture_stop(&fixture);
}

/* A ClientHello may come in any pieces, also in several records. */
static void a_hello_may_be_split(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    uint8_t hello[2048], split[2100];
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    size_t len = make_hello(hello, sizeof(hello)), at = 0;
    /* Three records: 1 byte, 50 bytes, the rest. */
    static const size_t sizes[] = {1, 50};
    size_t from = TLS_HEADER_SIZE;
    for (unsigned i = 0; i < 3; i++) {
        size_t part = i < 2 ? sizes[i] : len - from;
        memcpy(split + at, (uint8_t[]){22, 3, 1, (uint8_t)(part >> 8), (uint8_t)part}, 5);
        memcpy(split + at + 5, hello + from, part);
        at += 5 + part;
        from += part;
    }
    for (unsigned piece = 1; piece < 400; piece = piece * 3 + 1) {
        int fd = fixture_connect_bare(&fixture);
        for (size_t i = 0; i < at; i += piece)
            fixture_send(fd, split + i, at - i < piece ? at - i : piece);
        uint8_t answer[6];
        fixture_receive(fd, answer, sizeof(answer));
        assert_memory_equal(answer, "\x16\3\3", 3);
        assert_int_equal(answer[5], 2); /* ServerHello */
        close(fd);
    }
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* Starts a relay with clients whose ClientHello is answered and who say nothing more, as many as
 * there is room for. Returns the length of that hello. */
static size_t start_with_all_places_taken(struct fixture *fixture,
                                          const hyperderp_relay_options *options, int *fd,
                                          uint8_t *hello, size_t room)
{
    const struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};

    (void)setrlimit(RLIMIT_NOFILE, &files);
    fixture_start(fixture, options, 0);
    size_t len = make_hello(hello, room);
    for (unsigned i = 0; i < TLS_QUEUE_SHAKING; i++) {
        fd[i] = fixture_connect_bare(fixture);
        fixture_send(fd[i], hello, len);
    }
    fixture_wait(fixture, shaking_is, TLS_QUEUE_SHAKING);
    return len;
}

/* Too many that wait for their clients: the oldest give way, and an honest client gets in. */
static void silent_handshakes_give_way(void **state)
{
    enum { MORE = 20 };
    hyperderp_relay_options options = options_for(state, 1);
    static int fd[TLS_QUEUE_SHAKING + MORE];
    uint8_t hello[2048];
    struct fixture fixture;

    size_t len = start_with_all_places_taken(&fixture, &options, fd, hello, sizeof(hello));
    for (unsigned i = TLS_QUEUE_SHAKING; i < TLS_QUEUE_SHAKING + MORE; i++) {
        fd[i] = fixture_connect_bare(&fixture);
        fixture_send(fd[i], hello, len);
    }
    fixture_wait(&fixture, gave_way_is, MORE);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    fixture_pass(a, b, "in spite of them");
    assert_in_range(fixture_counters(&fixture).tls_handshakes_active, 1, TLS_QUEUE_SHAKING);
    client_socket_close(a);
    client_socket_close(b);
    for (unsigned i = 0; i < TLS_QUEUE_SHAKING + MORE; i++)
        close(fd[i]);
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).tls_handshakes_active, 0);
    fixture_stop(&fixture);
}

static bool abandoned_is(const hyperderp_counters *counters, uint64_t value)
{
    return counters->tls_handshakes[HYPERDERP_TLS_ABANDONED] == value;
}

/* Clients that have gone before their turn came cost no answer. While the places are taken nobody's
 * turn comes, unless it is seen that he has gone. */
static void gone_handshakes_make_way(void **state)
{
    enum { GONE = 200 };
    hyperderp_relay_options options = options_for(state, 1);
    static int fd[TLS_QUEUE_SHAKING + GONE];
    uint8_t hello[2048];
    struct fixture fixture;

    size_t len = start_with_all_places_taken(&fixture, &options, fd, hello, sizeof(hello));
    for (unsigned i = TLS_QUEUE_SHAKING; i < TLS_QUEUE_SHAKING + GONE; i++) {
        fd[i] = fixture_connect_bare(&fixture);
        fixture_send(fd[i], hello, len);
        struct linger linger = {.l_onoff = i % 2};
        setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(fd[i]);
    }
    fixture_wait(&fixture, abandoned_is, GONE);
    /* Some may have been looked at before they went. */
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_in_range(counters.tls_handshakes[HYPERDERP_TLS_GAVE_WAY], 0, GONE / 2);
    for (unsigned i = 0; i < TLS_QUEUE_SHAKING; i++)
        close(fd[i]);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- Certificates ---- */

/* Connects with a pin and a name. 0 or what client_socket_connect_tls() says. */
static int join_with(const struct fixture *fixture, const hyperderp_certificate *pinned,
                     const char *name, struct client_socket **out)
{
    struct client_options options = {.info = {.version = DERP_PROTOCOL_VERSION}};
    struct tls_client_options trust = {.verification = TLS_VERIFY_PIN};
    char fault[HYPERDERP_FAULT_SIZE] = "";
    struct client_tls_options tls = {.name = name, .fault = fault};

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    assert_int_equal(hyperderp_certificate_hash(pinned, trust.pin), 0);
    assert_int_equal(tls_client_new(&tls.client, &trust, fault), 0);
    int error =
        client_socket_connect_tls(out, fixture->address, &options, &tls, FIXTURE_PATIENCE_MS);
    tls_client_free(tls.client);
    return error;
}

static void certificates_change_while_it_runs(void **state)
{
    hyperderp_relay_options options = options_for(state, 3);
    struct client_socket *before, *after, *refused;
    hyperderp_certificate *next;
    struct fixture fixture;

    fixture_start(&fixture, &options, 0);
    assert_int_equal(hyperderp_certificate_make(&next, "127.0.0.1", 10), 0);
    assert_int_equal(join_with(&fixture, fixture_certificate(), NULL, &before), 0);
    assert_int_equal(hyperderp_relay_set_certificate(fixture.relay, 1, next), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(fixture.relay, -2, next), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(fixture.relay, 0, NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(NULL, 0, next), -EINVAL);
    assert_int_equal(hyperderp_relay_set_certificate(fixture.relay, -1, next), 0);
    assert_int_equal(join_with(&fixture, next, NULL, &after), 0);
    assert_int_equal(join_with(&fixture, fixture_certificate(), NULL, &refused), -EPROTO);
    fixture_pass(before, after, "who is there stays");
    fixture_pass(after, before, "and is answered");
    assert_int_equal(hyperderp_relay_set_certificate(fixture.relay, 0, fixture_certificate()), 0);
    hyperderp_certificate_free(next);
    client_socket_close(before);
    assert_int_equal(join_with(&fixture, fixture_certificate(), NULL, &before), 0);
    client_socket_close(before);
    client_socket_close(after);
    fixture_wait(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

static hyperderp_certificate *other_certificate;

static hyperderp_certificate *choose(void *user, const char *name)
{
    (void)user;
    return strcmp(name, "other.example") == 0 ? hyperderp_certificate_ref(other_certificate) : NULL;
}

static void the_name_asked_for_chooses(void **state)
{
    hyperderp_relay_options options = options_for(state, 1);
    hyperderp_listener_options listener;
    hyperderp_certificate *usual;
    struct client_socket *client;
    struct fixture fixture = {0};

    assert_int_equal(hyperderp_certificate_make(&other_certificate, "other.example", 10), 0);
    assert_int_equal(hyperderp_certificate_make(&usual, "usual.example", 10), 0);
    assert_int_equal(hyperderp_relay_new(&fixture.relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    listener.choose_certificate = choose;
    /* A choice needs something to fall back to. */
    assert_int_equal(hyperderp_relay_add_listener(fixture.relay, &listener), -EINVAL);
    listener.certificate = usual;
    listener.offload = (hyperderp_offload)3;
    assert_int_equal(hyperderp_relay_add_listener(fixture.relay, &listener), -EINVAL);
    listener.offload = HYPERDERP_OFFLOAD_AUTO;
    assert_int_equal(hyperderp_relay_add_listener(fixture.relay, &listener), 0);
    assert_int_equal(hyperderp_relay_listener_address(fixture.relay, 0, fixture.address,
                                                      sizeof(fixture.address)),
                     0);
    hyperderp_relay_public_key(fixture.relay, &fixture.key);
    assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
    assert_int_equal(join_with(&fixture, other_certificate, "other.example", &client), 0);
    assert_true(hyperderp_key_equal(client_socket_relay_key(client), &fixture.key));
    client_socket_close(client);
    assert_int_equal(join_with(&fixture, usual, "usual.example", &client), 0);
    client_socket_close(client);
    assert_int_equal(join_with(&fixture, usual, "other.example", &client), -EPROTO);
    hyperderp_relay_free(fixture.relay);
    hyperderp_certificate_free(usual);
    hyperderp_certificate_free(other_certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_TLS(strangers_are_sorted_out),
        FIXTURE_ON_TLS(hostile_records_get_their_alert),
        FIXTURE_ON_TLS(records_that_bring_nothing_are_bounded),
        FIXTURE_ON_TLS(keys_change_while_packets_flow),
        FIXTURE_ON_TLS(keys_that_are_used_up_are_changed),
        FIXTURE_ON_TLS(each_side_says_goodbye),
        FIXTURE_ON_TLS(half_a_record_is_not_waited_for_forever),
        FIXTURE_ON_TLS(handshakes_have_a_deadline),
        FIXTURE_ON_TLS(a_hello_may_be_split),
        FIXTURE_ON_TLS(silent_handshakes_give_way),
        FIXTURE_ON_TLS(gone_handshakes_make_way),
        FIXTURE_ON_TLS(certificates_change_while_it_runs),
        FIXTURE_ON_TLS(the_name_asked_for_chooses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
