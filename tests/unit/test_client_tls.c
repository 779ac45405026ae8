/* SPDX-License-Identifier: BSD-3-Clause */
/* The blocking client over TLS, against OpenSSL's server: joining, packets of every size, keys that
 * change, and each way in which it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "client/client_socket.h"
#include "tls_relay.h"
#include "wire/key.h"

#define PATIENCE TLS_RELAY_PATIENCE_MS

static const hyperderp_key other = {{9, 8, 7}};
static char fault[HYPERDERP_FAULT_SIZE];

static int join_as(struct client_socket **client, struct tls_relay *relay, const char *name,
                   bool fast_start)
{
    struct client_options options = {.info = {.version = DERP_PROTOCOL_VERSION},
                                     .fast_start = fast_start};
    const struct client_tls_options tls = {.client = relay->client, .name = name, .fault = fault};

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    return client_socket_connect_tls(client, relay->address, &options, &tls, PATIENCE);
}

static struct client_socket *join(struct tls_relay *relay)
{
    struct client_socket *client;
    int err = join_as(&client, relay, TLS_RELAY_NAME, false);

    if (err != 0)
        fail_msg("not joined: %s, %s", strerror(-err), fault);
    return client;
}

/* ---- What the relay does: see tls_relay_fn ---- */

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 31 + at / 251);
}

/* Reads a SendPacket, and sends it back as a RecvPacket from the same key. */
static const char *echo_one(struct tls_relay *relay)
{
    static uint8_t frame[FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET];
    struct frame_header header;

    if (!tls_relay_read(relay, frame, FRAME_HEADER_SIZE) ||
        frame_header_decode(frame, FRAME_HEADER_SIZE, &header) == 0)
        return "no frame came";
    if (header.type != FRAME_SEND_PACKET || header.length > sizeof(frame) - FRAME_HEADER_SIZE)
        return "another frame than SendPacket came";
    if (!tls_relay_read(relay, frame + FRAME_HEADER_SIZE, header.length))
        return "half a frame came";
    frame_header_encode(frame, FRAME_RECV_PACKET, header.length);
    return tls_relay_write(relay, frame, FRAME_HEADER_SIZE + header.length) ? NULL : "not sent";
}

static const char *echo_until_the_end(struct tls_relay *relay)
{
    uint8_t byte;

    for (;;) {
        if (SSL_peek(relay->ssl, &byte, 1) <= 0)
            return SSL_get_shutdown(relay->ssl) & SSL_RECEIVED_SHUTDOWN ? NULL
                                                                        : "no close_notify came";
        const char *wrong = echo_one(relay);
        if (wrong != NULL)
            return wrong;
    }
}

static const char *update_keys_and_echo(struct tls_relay *relay)
{
    for (int i = 0; i < 4; i++) {
        if (SSL_key_update(relay->ssl,
                           i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
            return "OpenSSL changes no keys";
        const char *wrong = echo_one(relay);
        if (wrong != NULL)
            return wrong;
    }
    return echo_until_the_end(relay);
}

static const char *close_with_notify(struct tls_relay *relay)
{
    uint8_t frame[FRAME_KEEP_ALIVE_SIZE];

    if (!tls_relay_write(relay, frame, frame_encode_keep_alive(frame)))
        return "KeepAlive could not be sent";
    SSL_shutdown(relay->ssl);
    return NULL;
}

static const char *just_close(struct tls_relay *relay)
{
    (void)relay;
    return NULL;
}

/* Reads on until something is wrong with a record, which OpenSSL answers with an alert. */
static const char *expect_broken(struct tls_relay *relay)
{
    uint8_t byte;

    while (SSL_read(relay->ssl, &byte, 1) > 0)
        continue;
    return SSL_get_error(relay->ssl, -1) == SSL_ERROR_SSL ? NULL : "it was taken";
}

/* A record that nobody has sealed, and then the alert that the client sends. */
static const char *send_a_forged_record(struct tls_relay *relay)
{
    static const uint8_t forged[] = {23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8,
                                     9,  0, 1, 2, 3,  4, 5, 6, 7, 8, 9, 0};
    uint8_t byte;

    if (write(SSL_get_fd(relay->ssl), forged, sizeof(forged)) != sizeof(forged))
        return "the forged record could not be sent";
    if (SSL_read(relay->ssl, &byte, 1) > 0)
        return "data came instead of an alert";
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_REASON(code) == SSL_R_SSLV3_ALERT_BAD_RECORD_MAC ? NULL : "another alert came";
}

/* ---- The tests ---- */

static void expect_echo(struct client_socket *client, size_t len)
{
    static uint8_t packet[FRAME_MAX_PACKET];
    struct client_message message;

    for (size_t i = 0; i < len; i++)
        packet[i] = pattern(i + len);
    assert_int_equal(client_socket_send(client, &other, packet, len, PATIENCE), 0);
    assert_int_equal(client_socket_recv(client, &message, PATIENCE), 0);
    assert_int_equal(message.type, CLIENT_MESSAGE_PACKET);
    assert_true(key_same(&other, message.peer.bytes));
    assert_int_equal(message.len, len);
    assert_memory_equal(message.payload, packet, len);
}

static void packets_of_every_size(void **state)
{
    static const size_t sizes[] = {0,     1,     1400,  16384 - 37, 16384 - 36,      16384,
                                   16385, 32768, 40000, 65535,      FRAME_MAX_PACKET};
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    struct tls_relay relay;

    (void)state;
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        tls_relay_start(&relay, echo_until_the_end, suites[i]);
        struct client_socket *client = join(&relay);
        assert_string_equal(client_socket_suite(client), suites[i]);
        assert_true(hyperderp_key_equal(client_socket_relay_key(client), &relay.key));
        for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
            expect_echo(client, sizes[k]);
        client_socket_close(client);
        tls_relay_end(&relay);
        assert_false(relay.fast_start);
    }
}

static void fast_start_with_the_key_of_the_chain(void **state)
{
    struct tls_relay relay;
    struct client_socket *client;

    (void)state;
    tls_relay_start(&relay, echo_until_the_end, NULL);
    assert_int_equal(join_as(&client, &relay, TLS_RELAY_NAME, true), 0);
    expect_echo(client, 100);
    client_socket_close(client);
    tls_relay_end(&relay);
    assert_true(relay.fast_start);
}

static void both_sides_change_their_keys(void **state)
{
    struct tls_relay relay;

    (void)state;
    tls_relay_start(&relay, update_keys_and_echo, NULL);
    struct client_socket *client = join(&relay);
    for (int i = 0; i < 8; i++) {
        if (i % 2 == 0)
            assert_int_equal(client_socket_send_key_update(client, i % 4 == 0, PATIENCE), 0);
        expect_echo(client, 2000);
    }
    client_socket_close(client);
    tls_relay_end(&relay);
}

/* Whole records, and records cut anywhere. */
static void records_in_whatever_parts(void **state)
{
    struct tls_relay relay;
    struct client_message message;
    uint8_t frame[FRAME_PACKET_OVERHEAD + 5];

    (void)state;
    tls_relay_start(&relay, echo_until_the_end, NULL);
    struct client_socket *client = join(&relay);
    client_packet_header(frame, &other, 5);
    memcpy(frame + FRAME_PACKET_OVERHEAD, "hello", 5);
    for (size_t part = 0; part < 30; part += 7) {
        /* A frame in two records. */
        assert_int_equal(
            client_socket_send_record(client, TLS_CONTENT_DATA, frame, 20, part, PATIENCE), 0);
        assert_int_equal(client_socket_send_record(client, TLS_CONTENT_DATA, frame + 20,
                                                   sizeof(frame) - 20, part, PATIENCE),
                         0);
        assert_int_equal(client_socket_recv(client, &message, PATIENCE), 0);
        assert_int_equal(message.type, CLIENT_MESSAGE_PACKET);
        assert_memory_equal(message.payload, "hello", 5);
    }
    client_socket_close(client);
    tls_relay_end(&relay);
}

static void the_end_of_the_stream(void **state)
{
    static const struct {
        tls_relay_fn *run;
        const char *alert;
    } ends[] = {{close_with_notify, "close_notify"}, {just_close, NULL}};
    struct tls_relay relay;
    struct client_message message;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        tls_relay_start(&relay, ends[i].run, NULL);
        struct client_socket *client = join(&relay);
        int err = client_socket_recv(client, &message, PATIENCE);
        if (ends[i].run == close_with_notify) { /* what came before it is read first */
            assert_int_equal(err, 0);
            assert_int_equal(message.type, CLIENT_MESSAGE_KEEP_ALIVE);
            err = client_socket_recv(client, &message, PATIENCE);
        }
        assert_int_equal(err, -EPIPE);
        assert_int_equal(client_socket_recv(client, &message, PATIENCE), -EPIPE);
        if (ends[i].alert != NULL)
            assert_string_equal(client_socket_alert(client), ends[i].alert);
        else
            assert_null(client_socket_alert(client));
        client_socket_close(client);
        tls_relay_end(&relay);
    }
}

static void an_alert_of_the_relay_has_a_name(void **state)
{
    struct tls_relay relay;
    struct client_message message;

    (void)state;
    tls_relay_start(&relay, expect_broken, NULL);
    struct client_socket *client = join(&relay);
    assert_int_equal(client_socket_send_unsealed(client,
                                                 "\x17\3\3\0\x20"
                                                 "0123456789012345678901234567890_",
                                                 37, PATIENCE),
                     0);
    assert_int_equal(client_socket_recv(client, &message, PATIENCE), -ECONNABORTED);
    assert_string_equal(client_socket_alert(client), "bad_record_mac");
    client_socket_close(client);
    tls_relay_end(&relay);
}

static void a_forged_record_is_told_to_the_relay(void **state)
{
    struct tls_relay relay;
    struct client_message message;

    (void)state;
    tls_relay_start(&relay, send_a_forged_record, NULL);
    struct client_socket *client = join(&relay);
    assert_int_equal(client_socket_recv(client, &message, PATIENCE), -EPROTO);
    assert_string_equal(client_socket_alert(client), "bad_record_mac");
    client_socket_close(client);
    tls_relay_end(&relay);
}

static void an_alert_is_sent(void **state)
{
    struct tls_relay relay;

    (void)state;
    tls_relay_start(&relay, echo_until_the_end, NULL);
    struct client_socket *client = join(&relay);
    expect_echo(client, 10);
    assert_int_equal(client_socket_send_alert(client, TLS_ALERT_CLOSE_NOTIFY, PATIENCE), 0);
    tls_relay_end(&relay); /* which has seen it */
    client_socket_close(client);
}

static void who_is_another_is_refused(void **state)
{
    struct tls_relay relay;
    struct client_socket *client;

    (void)state;
    tls_relay_start(&relay, NULL, NULL);
    assert_int_equal(join_as(&client, &relay, "other.example.com", false), -EPROTO);
    assert_null(client);
    assert_string_equal(fault, "the certificate is not accepted: hostname mismatch");
    tls_relay_end(&relay);

    tls_relay_start(&relay, NULL, NULL);
    assert_int_equal(join_as(&client, &relay, NULL, false), -EPROTO); /* 127.0.0.1 */
    assert_string_equal(fault, "the certificate is not accepted: IP address mismatch");
    tls_relay_end(&relay);
}

static void nothing_of_tls_on_a_plain_connection(void **state)
{
    struct client_stream stream = {.fd = -1};

    (void)state;
    assert_int_equal(channel_send_key_update(&stream.channel, true), -EINVAL);
    assert_int_equal(channel_send_record(&stream.channel, TLS_CONTENT_DATA, "x", 1), -EINVAL);
    assert_int_equal(channel_send_alert(&stream.channel, TLS_ALERT_CLOSE_NOTIFY), -EINVAL);
    client_stream_close(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_every_size),
        cmocka_unit_test(fast_start_with_the_key_of_the_chain),
        cmocka_unit_test(both_sides_change_their_keys),
        cmocka_unit_test(records_in_whatever_parts),
        cmocka_unit_test(the_end_of_the_stream),
        cmocka_unit_test(an_alert_of_the_relay_has_a_name),
        cmocka_unit_test(a_forged_record_is_told_to_the_relay),
        cmocka_unit_test(an_alert_is_sent),
        cmocka_unit_test(who_is_another_is_refused),
        cmocka_unit_test(nothing_of_tls_on_a_plain_connection),
    };

    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets that may be closed */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
