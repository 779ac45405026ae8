/* SPDX-License-Identifier: BSD-3-Clause */
/* The handshake driver against OpenSSL's client: whole, byte by byte, broken, and the way over to
 * the record layer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/handshake.h"

static struct tls_ciphers ciphers;

struct client {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
};

struct fixture {
    struct tls_server *server;
    struct tls_handshake *handshake;
    struct client client;
};

static hyperderp_certificate *choose(void *user, const char *name)
{
    hyperderp_certificate *certificate = NULL;

    (void)user;
    if (strcmp(name, "other.example.com") == 0)
        assert_int_equal(hyperderp_certificate_make(&certificate, name, 30), 0);
    return certificate;
}

static void make_server(struct fixture *fixture)
{
    static const hyperderp_key relay = {{1, 2, 3}};
    hyperderp_certificate *certificate;
    char fault[HYPERDERP_FAULT_SIZE];

    assert_int_equal(hyperderp_certificate_make(&certificate, "derp.example.com", 30), 0);
    X509 *derpkey = certificate_make_derpkey(&relay);
    assert_int_equal(tls_server_new(&fixture->server, certificate, derpkey, choose, NULL, fault),
                     0);
    hyperderp_certificate_free(certificate);
    X509_free(derpkey);
    fixture->handshake = tls_handshake_new(fixture->server);
    assert_non_null(fixture->handshake);
}

static void make_client(struct client *client)
{
    client->context = SSL_CTX_new(TLS_client_method());
    client->ssl = SSL_new(client->context);
    client->in = BIO_new(BIO_s_mem());
    client->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(client->in, -1);
    SSL_set_bio(client->ssl, client->in, client->out);
    SSL_set_connect_state(client->ssl);
}

static void setup(struct fixture *fixture)
{
    make_server(fixture);
    make_client(&fixture->client);
}

static void teardown(struct fixture *fixture)
{
    tls_handshake_free(fixture->handshake);
    tls_server_unref(fixture->server);
    SSL_free(fixture->client.ssl);
    SSL_CTX_free(fixture->client.context);
}

/* Lets the client go on, and tells what it sends. */
static size_t client_says(struct client *client, uint8_t *out, size_t room)
{
    (void)SSL_do_handshake(client->ssl);
    int n = BIO_read(client->out, out, (int)room);
    return n > 0 ? (size_t)n : 0;
}

static void give_output(struct fixture *fixture)
{
    const uint8_t *bytes;
    size_t len = tls_handshake_output(fixture->handshake, &bytes);

    if (len > 0)
        assert_int_equal(BIO_write(fixture->client.in, bytes, (int)len), (int)len);
    assert_int_equal(tls_handshake_output(fixture->handshake, &bytes), 0);
}

/* Runs the handshake, `step` bytes at a time. */
static enum tls_progress shake_hands(struct fixture *fixture, size_t step)
{
    enum tls_progress progress = TLS_PROGRESS_MORE;
    uint8_t bytes[8192];

    for (int turn = 0; turn < 6 && progress == TLS_PROGRESS_MORE; turn++) {
        size_t len = client_says(&fixture->client, bytes, sizeof(bytes));
        for (size_t at = 0; at < len && progress == TLS_PROGRESS_MORE; at += step) {
            size_t part = len - at < step ? len - at : step;
            progress = tls_handshake_input(fixture->handshake, bytes + at, part);
            give_output(fixture);
        }
    }
    (void)SSL_do_handshake(fixture->client.ssl);
    return progress;
}

static void use_suite(struct fixture *fixture, const char *suite)
{
    assert_int_equal(SSL_set_ciphersuites(fixture->client.ssl, suite), 1);
}

/* Both directions work behind the handshake. */
static void exchange(struct fixture *fixture)
{
    SSL *client = fixture->client.ssl;
    struct tls_tx tx;
    struct tls_rx rx;
    uint8_t *rest;
    size_t rest_len, len;
    uint8_t record[256], *content;

    assert_int_equal(tls_handshake_finish(fixture->handshake, &tx, &rx, &rest, &rest_len), 0);
    assert_int_equal(rest_len, 0);
    assert_int_equal(SSL_write(client, "hello", 5), 5);
    int size = BIO_read(fixture->client.out, record, sizeof(record));
    assert_int_equal(tls_record_size(record, (size_t)size), size);
    assert_int_equal(tls_open(&ciphers, &rx, record, (size_t)size, &content, &len), TLS_EVENT_DATA);
    assert_int_equal(len, 5);
    assert_memory_equal(content, "hello", 5);
    const struct iovec piece = {.iov_base = (char[]){"good day"}, .iov_len = 8};
    ssize_t sealed = tls_seal(&ciphers, &tx, TLS_CONTENT_DATA, &piece, 1, record);
    assert_int_equal(BIO_write(fixture->client.in, record, (int)sealed), sealed);
    assert_int_equal(SSL_read(client, record, sizeof(record)), 8);
    assert_memory_equal(record, "good day", 8);
    tls_tx_wipe(&tx);
    tls_rx_wipe(&rx);
}

static void each_suite_hands_over_to_the_record_layer(void **state)
{
    (void)state;
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    struct fixture fixture;

    for (size_t i = 0; i < 3; i++) {
        for (size_t step = 1; step < 5000; step *= 70) {
            setup(&fixture);
            use_suite(&fixture, suites[i]);
            assert_int_equal(shake_hands(&fixture, step), TLS_PROGRESS_DONE);
            assert_string_equal(SSL_get_cipher_name(fixture.client.ssl), suites[i]);
            exchange(&fixture);
            teardown(&fixture);
        }
    }
}

static void the_client_chooses_the_suite(void **state)
{
    (void)state;
    struct fixture fixture;

    setup(&fixture);
    use_suite(&fixture, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256");
    assert_int_equal(shake_hands(&fixture, 4096), TLS_PROGRESS_DONE);
    assert_string_equal(SSL_get_cipher_name(fixture.client.ssl), "TLS_CHACHA20_POLY1305_SHA256");
    teardown(&fixture);
}

static void bytes_behind_the_handshake_are_kept(void **state)
{
    (void)state;
    struct fixture fixture;
    uint8_t bytes[8192], copy[512];
    uint8_t *rest;
    struct tls_tx tx;
    struct tls_rx rx;
    uint8_t *content;
    size_t rest_len, len;

    setup(&fixture);
    len = client_says(&fixture.client, bytes, sizeof(bytes));
    assert_int_equal(tls_handshake_input(fixture.handshake, bytes, len), TLS_PROGRESS_MORE);
    give_output(&fixture);
    assert_int_equal(SSL_do_handshake(fixture.client.ssl), 1);
    assert_int_equal(SSL_write(fixture.client.ssl, "early", 5), 5);
    assert_int_equal(SSL_write(fixture.client.ssl, "bird", 4), 4);
    int n = BIO_read(fixture.client.out, bytes, sizeof(bytes));
    /* The last byte is still on its way. */
    assert_int_equal(tls_handshake_input(fixture.handshake, bytes, (size_t)n - 1),
                     TLS_PROGRESS_DONE);
    assert_int_equal(tls_handshake_finish(fixture.handshake, &tx, &rx, &rest, &rest_len), 0);
    int first = tls_record_size(rest, rest_len);
    assert_int_equal(first, 5 + TLS_OVERHEAD);
    assert_int_equal(rest_len, 5 + 4 + 2 * TLS_OVERHEAD - 1);
    memcpy(copy, rest, rest_len);
    copy[rest_len] = bytes[n - 1];
    assert_int_equal(tls_open(&ciphers, &rx, copy, (size_t)first, &content, &len), TLS_EVENT_DATA);
    assert_memory_equal(content, "early", 5);
    assert_int_equal(tls_open(&ciphers, &rx, copy + first, 4 + TLS_OVERHEAD, &content, &len),
                     TLS_EVENT_DATA);
    assert_memory_equal(content, "bird", 4);
    tls_tx_wipe(&tx);
    tls_rx_wipe(&rx);
    teardown(&fixture);
}

static void the_chain_ends_with_the_relays_key(void **state)
{
    (void)state;
    struct fixture fixture;
    char name[128];

    setup(&fixture);
    assert_int_equal(shake_hands(&fixture, 4096), TLS_PROGRESS_DONE);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(fixture.client.ssl);
    assert_int_equal(sk_X509_num(chain), 2);
    X509_NAME_get_text_by_NID(X509_get_subject_name(sk_X509_value(chain, 1)), NID_commonName, name,
                              sizeof(name));
    assert_memory_equal(name, "derpkey010203", 13);
    teardown(&fixture);
}

/* The alert that the client got, by its description. */
static void expect_alert(struct fixture *fixture, const char *reason)
{
    unsigned long code;
    const char *text = NULL;

    (void)SSL_do_handshake(fixture->client.ssl);
    while ((code = ERR_get_error()) != 0)
        text = ERR_reason_error_string(code);
    assert_non_null(text);
    if (!strstr(text, reason))
        fail_msg("\"%s\" does not say \"%s\"", text, reason);
    assert_true(strlen(tls_handshake_fault(fixture->handshake)) > 0);
}

static void older_versions_are_refused_with_an_alert(void **state)
{
    (void)state;
    struct fixture fixture;

    setup(&fixture);
    SSL_set_max_proto_version(fixture.client.ssl, TLS1_2_VERSION);
    assert_int_equal(shake_hands(&fixture, 4096), TLS_PROGRESS_FAILED);
    expect_alert(&fixture, "protocol version");
    assert_int_equal(tls_handshake_input(fixture.handshake, (const uint8_t *)"x", 1),
                     TLS_PROGRESS_FAILED);
    teardown(&fixture);
}

static void other_protocols_are_refused_with_an_alert(void **state)
{
    (void)state;
    struct fixture fixture;

    setup(&fixture);
    SSL_set_alpn_protos(fixture.client.ssl, (const unsigned char *)"\2h2", 3);
    assert_int_equal(shake_hands(&fixture, 4096), TLS_PROGRESS_FAILED);
    expect_alert(&fixture, "no application protocol");
    teardown(&fixture);

    setup(&fixture);
    SSL_set_alpn_protos(fixture.client.ssl, (const unsigned char *)"\2h2\x08http/1.1", 12);
    assert_int_equal(shake_hands(&fixture, 4096), TLS_PROGRESS_DONE);
    teardown(&fixture);
}

/* OpenSSL would agree to them, and the record layer would not know. */
static void short_records_are_refused_with_an_alert(void **state)
{
    (void)state;
    struct fixture fixture;

    setup(&fixture);
    SSL_set_tlsext_max_fragment_length(fixture.client.ssl, TLSEXT_max_fragment_length_512);
    assert_int_equal(shake_hands(&fixture, 4096), TLS_PROGRESS_FAILED);
    expect_alert(&fixture, "handshake failure");
    teardown(&fixture);
}

static void rubbish_and_too_much_fail(void **state)
{
    (void)state;
    static uint8_t big[TLS_MAX_HANDSHAKE_INPUT + 1];
    struct fixture fixture;

    setup(&fixture);
    assert_int_equal(
        tls_handshake_input(fixture.handshake, (const uint8_t *)"GET / HTTP/1.1\r\n", 16),
        TLS_PROGRESS_FAILED);
    teardown(&fixture);

    setup(&fixture);
    assert_int_equal(tls_handshake_input(fixture.handshake, big, sizeof(big)), TLS_PROGRESS_FAILED);
    assert_string_equal(tls_handshake_fault(fixture.handshake), "more bytes than a handshake has");
    teardown(&fixture);

    setup(&fixture);
    struct tls_tx tx;
    struct tls_rx rx;
    uint8_t *rest;
    size_t len;
    assert_int_equal(tls_handshake_finish(fixture.handshake, &tx, &rx, &rest, &len), -EIO);
    teardown(&fixture);
}

static void first_bytes_tell_a_client_hello(void **state)
{
    (void)state;
    assert_true(tls_looks_like_client_hello((const uint8_t *)"\x16", 1));
    assert_true(tls_looks_like_client_hello((const uint8_t *)"\x16\3\1\2\0\1", 6));
    assert_false(tls_looks_like_client_hello((const uint8_t *)"\x16\3\1\2\0\2", 6));
    assert_false(tls_looks_like_client_hello((const uint8_t *)"\x16\2", 2));
    assert_false(tls_looks_like_client_hello((const uint8_t *)"\x16\3\1\x40\1", 5));
    assert_false(tls_looks_like_client_hello((const uint8_t *)"GET", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_suite_hands_over_to_the_record_layer),
        cmocka_unit_test(the_client_chooses_the_suite),
        cmocka_unit_test(bytes_behind_the_handshake_are_kept),
        cmocka_unit_test(the_chain_ends_with_the_relays_key),
        cmocka_unit_test(older_versions_are_refused_with_an_alert),
        cmocka_unit_test(other_protocols_are_refused_with_an_alert),
        cmocka_unit_test(short_records_are_refused_with_an_alert),
        cmocka_unit_test(rubbish_and_too_much_fail),
        cmocka_unit_test(first_bytes_tell_a_client_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
