/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's handshake against the server's, through memory: whole, in pieces, what is verified and
 * what is said when it is not, and the way over to the record layer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "tls/client_handshake.h"

#define HOST "derp.example.com"

static struct tls_ciphers ciphers;
static const hyperderp_key relay_key = {{1, 2, 3}};

struct fixture {
    hyperderp_certificate *certificate; /* of the server */
    X509 *derpkey;
    struct tls_client_options options;
    struct tls_server *server;
    struct tls_client *client;
    struct tls_handshake *at_server, *at_client;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(hyperderp_certificate_make(&f->certificate, HOST, 30), 0);
    f->derpkey = certificate_make_derpkey(&relay_key);
    assert_non_null(f->derpkey);
    f->options.verification = TLS_VERIFY_PIN;
    assert_int_equal(hyperderp_certificate_hash(f->certificate, f->options.pin), 0);
    *state = f;
    return 0;
}

static void end(struct fixture *f)
{
    tls_handshake_free(f->at_client);
    tls_handshake_free(f->at_server);
    tls_client_free(f->client);
    tls_server_unref(f->server);
    f->at_client = f->at_server = NULL;
    f->client = NULL;
    f->server = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    end(f);
    hyperderp_certificate_free(f->certificate);
    X509_free(f->derpkey);
    free(f);
    return 0;
}

/* Both sides as the fixture has them by now; the client expects this host. */
static void begin(struct fixture *f, const char *host)
{
    char fault[HYPERDERP_FAULT_SIZE];

    end(f);
    assert_int_equal(tls_server_new(&f->server, f->certificate, f->derpkey, NULL, NULL, fault), 0);
    assert_int_equal(tls_client_new(&f->client, &f->options, fault), 0);
    f->at_server = tls_handshake_new(f->server);
    f->at_client = tls_client_handshake_new(f->client, host);
    assert_non_null(f->at_server);
    assert_non_null(f->at_client);
}

/* Gives what one side has to send to the other, at most `piece` bytes at a time. */
static enum tls_progress pass(struct tls_handshake *from, struct tls_handshake *to, size_t piece,
                              enum tls_progress progress)
{
    const uint8_t *bytes;
    size_t len = tls_handshake_output(from, &bytes);

    for (size_t at = 0; at < len && progress == TLS_PROGRESS_MORE; at += piece)
        progress = tls_handshake_input(to, bytes + at, len - at < piece ? len - at : piece);
    return progress;
}

/* Shakes hands; returns how it went for the client. The server has then got all that it sent. */
static enum tls_progress shake_hands(struct fixture *f, size_t piece, enum tls_progress *at_server)
{
    enum tls_progress client = TLS_PROGRESS_MORE;

    *at_server = pass(f->at_client, f->at_server, piece, TLS_PROGRESS_MORE);
    client = pass(f->at_server, f->at_client, piece, client);
    *at_server = pass(f->at_client, f->at_server, piece, *at_server);
    return client;
}

static void expect_accepted(struct fixture *f, const char *host)
{
    enum tls_progress server;

    begin(f, host);
    if (shake_hands(f, 4096, &server) != TLS_PROGRESS_DONE)
        fail_msg("refused: %s", tls_handshake_fault(f->at_client));
    assert_int_equal(server, TLS_PROGRESS_DONE);
}

/* The client refuses and says why, and the server is told. */
static void expect_refused(struct fixture *f, const char *host, const char *why)
{
    struct tls_tx tx;
    struct tls_rx rx;
    uint8_t *rest;
    enum tls_progress server;
    size_t len;

    begin(f, host);
    assert_int_equal(shake_hands(f, 4096, &server), TLS_PROGRESS_FAILED);
    assert_int_equal(server, TLS_PROGRESS_FAILED);
    assert_string_equal(tls_handshake_fault(f->at_client), why);
    assert_non_null(strstr(tls_handshake_fault(f->at_server), "alert"));
    assert_int_equal(tls_handshake_finish(f->at_client, &tx, &rx, &rest, &len), -EIO);
}

static void send_and_open(struct tls_tx *tx, struct tls_rx *rx, const char *text)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    uint8_t record[256], *content;
    size_t len;

    ssize_t size = tls_seal(&ciphers, tx, TLS_CONTENT_DATA, &piece, 1, record);
    assert_int_equal(size, strlen(text) + TLS_OVERHEAD);
    assert_int_equal(tls_open(&ciphers, rx, record, (size_t)size, &content, &len), TLS_EVENT_DATA);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(content, text, len);
}

/* Both directions work behind the handshake. */
static void exchange(struct fixture *f)
{
    struct tls_tx to_client, to_server;
    struct tls_rx from_client, from_server;
    uint8_t *rest;
    size_t len;

    assert_int_equal(tls_handshake_finish(f->at_server, &to_client, &from_client, &rest, &len), 0);
    assert_int_equal(len, 0);
    assert_int_equal(tls_handshake_finish(f->at_client, &to_server, &from_server, &rest, &len), 0);
    assert_int_equal(len, 0);
    assert_true(from_server.skips_tickets);
    assert_false(from_client.skips_tickets);
    for (int i = 0; i < 2; i++) {
        send_and_open(&to_server, &from_client, "GET /derp");
        send_and_open(&to_client, &from_server, "101 Switching Protocols");
    }
    tls_tx_wipe(&to_client);
    tls_tx_wipe(&to_server);
    tls_rx_wipe(&from_client);
    tls_rx_wipe(&from_server);
}

static void each_suite_in_whatever_pieces(void **state)
{
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    struct fixture *f = *state;
    enum tls_progress server;

    for (size_t i = 0; i < 3; i++) {
        f->options.suites = suites[i];
        for (size_t piece = 1; piece < 5000; piece *= 70) {
            begin(f, HOST);
            assert_int_equal(shake_hands(f, piece, &server), TLS_PROGRESS_DONE);
            assert_int_equal(server, TLS_PROGRESS_DONE);
            assert_string_equal(tls_handshake_suite(f->at_client), suites[i]);
            assert_string_equal(tls_handshake_suite(f->at_server), suites[i]);
            exchange(f);
        }
    }
}

static void the_relays_key_is_in_the_chain(void **state)
{
    struct fixture *f = *state;
    hyperderp_key key = {{0}};

    expect_accepted(f, HOST);
    assert_true(tls_handshake_relay_key(f->at_client, &key));
    assert_memory_equal(key.bytes, relay_key.bytes, sizeof(key.bytes));
    X509_free(f->derpkey);
    f->derpkey = NULL;
    expect_accepted(f, HOST);
    assert_false(tls_handshake_relay_key(f->at_client, &key));
}

/* Another certificate with the common name and serial number given. */
static X509 *other_certificate(const char *name, long serial)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *made = X509_new();
    X509_NAME *subject = X509_get_subject_name(made);

    assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(made), serial), 1);
    X509_gmtime_adj(X509_getm_notBefore(made), 0);
    X509_gmtime_adj(X509_getm_notAfter(made), 3600);
    X509_set_pubkey(made, key);
    assert_true(X509_sign(made, key, NULL) > 0);
    EVP_PKEY_free(key);
    return made;
}

#define DIGITS "0102030405060708091011121314151617181920212223242526272829303132"

static void odd_derpkeys_tell_no_key(void **state)
{
    static const struct {
        const char *name;
        long serial;
    } odd[] = {{"derpkey" DIGITS, 0},     {"derpkey" DIGITS, 256}, {"derpkey" DIGITS "00", 2},
               {"derpkey" DIGITS "0", 2}, {"derpkey", 2},          {"derpkey0102", 2},
               {"derpkey" DIGITS "z", 2}, {"derpkey:" DIGITS, 2}};
    struct fixture *f = *state;
    hyperderp_key key;

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        X509_free(f->derpkey);
        f->derpkey = other_certificate(odd[i].name, odd[i].serial);
        expect_accepted(f, HOST);
        assert_false(tls_handshake_relay_key(f->at_client, &key));
    }
    X509_free(f->derpkey);
    f->derpkey = other_certificate("derpkey" DIGITS, 255);
    expect_accepted(f, HOST);
    assert_true(tls_handshake_relay_key(f->at_client, &key));
    assert_int_equal(key.bytes[31], 0x32);
}

static void a_pin_is_all_that_is_needed_but_name_and_time(void **state)
{
    struct fixture *f = *state;
    X509 *leaf = f->certificate->leaf;

    expect_accepted(f, HOST);
    expect_refused(f, "other.example.com", "the certificate is not accepted: hostname mismatch");
    expect_refused(f, "192.0.2.1", "the certificate is not accepted: IP address mismatch");

    X509_gmtime_adj(X509_getm_notAfter(leaf), -10);
    assert_true(X509_sign(leaf, f->certificate->key, EVP_sha256()) > 0);
    expect_refused(f, HOST, "the certificate is not accepted: it is another than the pinned one");
    assert_int_equal(hyperderp_certificate_hash(f->certificate, f->options.pin), 0);
    expect_refused(f, HOST, "the certificate is not accepted: certificate has expired");

    X509_gmtime_adj(X509_getm_notAfter(leaf), 7200);
    X509_gmtime_adj(X509_getm_notBefore(leaf), 3600);
    assert_true(X509_sign(leaf, f->certificate->key, EVP_sha256()) > 0);
    assert_int_equal(hyperderp_certificate_hash(f->certificate, f->options.pin), 0);
    expect_refused(f, HOST, "the certificate is not accepted: certificate is not yet valid");
}

static void a_pinned_address(void **state)
{
    struct fixture *f = *state;

    hyperderp_certificate_free(f->certificate);
    assert_int_equal(hyperderp_certificate_make(&f->certificate, "2001:db8::1", 30), 0);
    assert_int_equal(hyperderp_certificate_hash(f->certificate, f->options.pin), 0);
    expect_accepted(f, "2001:db8::1");
    expect_accepted(f, "2001:db8:0::1");
    expect_refused(f, "2001:db8::2", "the certificate is not accepted: IP address mismatch");
}

/* The pinned certificate of somebody else behind one's own proves nothing, nor does it beside
 * others. */
static void a_pin_is_for_the_servers_own_certificate(void **state)
{
    struct fixture *f = *state;
    hyperderp_certificate *pinned = f->certificate;

    f->certificate = NULL;
    assert_int_equal(hyperderp_certificate_make(&f->certificate, HOST, 30), 0);
    assert_true(sk_X509_push(f->certificate->chain, pinned->leaf) > 0);
    X509_up_ref(pinned->leaf);
    expect_refused(f, HOST, "the certificate is not accepted: it is another than the pinned one");
    assert_int_equal(hyperderp_certificate_hash(f->certificate, f->options.pin), 0);
    expect_refused(f, HOST, "the certificate is not accepted: certificate chain too long");
    hyperderp_certificate_free(pinned);
}

static void a_certificate_that_is_trusted(void **state)
{
    struct fixture *f = *state;
    char *chain, *key;

    assert_int_equal(hyperderp_certificate_write(f->certificate, &chain, &key), 0);
    f->options = (struct tls_client_options){.verification = TLS_VERIFY_CHAIN};
    expect_refused(f, HOST, "the certificate is not accepted: self-signed certificate");
    f->options.ca_pem = chain;
    expect_accepted(f, HOST);
    expect_refused(f, "example.com", "the certificate is not accepted: hostname mismatch");
    f->options.with_system_roots = true;
    expect_accepted(f, HOST);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);

    X509_gmtime_adj(X509_getm_notAfter(f->certificate->leaf), -10);
    assert_true(X509_sign(f->certificate->leaf, f->certificate->key, EVP_sha256()) > 0);
    assert_int_equal(hyperderp_certificate_write(f->certificate, &chain, &key), 0);
    f->options.ca_pem = chain;
    expect_refused(f, HOST, "the certificate is not accepted: certificate has expired");
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
}

static void a_file_of_trusted_certificates(void **state)
{
    struct fixture *f = *state;
    char name[] = "/tmp/hyper-derp-ca-XXXXXX", *chain, *key;
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    assert_int_equal(hyperderp_certificate_write(f->certificate, &chain, &key), 0);
    assert_int_equal(write(fd, chain, strlen(chain)), strlen(chain));
    close(fd);
    f->options = (struct tls_client_options){.ca_file = name};
    expect_accepted(f, HOST);
    unlink(name);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
}

static void nothing_is_verified_when_that_is_asked_for(void **state)
{
    struct fixture *f = *state;

    f->options = (struct tls_client_options){.verification = TLS_VERIFY_NOTHING};
    expect_accepted(f, "whoever.example.com");
    exchange(f);
}

static void expect_faulty(const struct tls_client_options *options, const char *what)
{
    char fault[HYPERDERP_FAULT_SIZE];
    struct tls_client *client;

    assert_int_equal(tls_client_new(&client, options, fault), -EINVAL);
    assert_null(client);
    if (!strstr(fault, what))
        fail_msg("\"%s\" does not say \"%s\"", fault, what);
}

static void faulty_options_are_named(void **state)
{
    static const char *const hosts[] = {"", ".example.com"};
    struct fixture *f = *state;

    expect_faulty(&(struct tls_client_options){.ca_file = "/nonexistent/ca.pem"},
                  "/nonexistent/ca.pem");
    expect_faulty(&(struct tls_client_options){.ca_pem = "no certificate"}, "no certificates");
    expect_faulty(&(struct tls_client_options){.suites = "TLS_MAGIC"}, "TLS_MAGIC");
    expect_faulty(&(struct tls_client_options){.suites = "TLS_AES_128_CCM_SHA256"},
                  "TLS_AES_128_CCM_SHA256: not known here");
    begin(f, HOST);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        assert_null(tls_client_handshake_new(f->client, hosts[i]));
}

static void pins_are_parsed(void **state)
{
    static const char *const wrong[] = {"",
                                        "sha256-raw:",
                                        "sha256-raw:" DIGITS "0",
                                        "sha256-raw:" DIGITS "00",
                                        "sha256:" DIGITS,
                                        DIGITS,
                                        "sha256-raw:0x" DIGITS,
                                        "SHA256-RAW:" DIGITS};
    uint8_t pin[HYPERDERP_CERTIFICATE_HASH_SIZE];

    (void)state;
    assert_int_equal(tls_pin_parse("sha256-raw:" DIGITS, pin), 0);
    assert_int_equal(pin[0], 0x01);
    assert_int_equal(pin[31], 0x32);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(tls_pin_parse(wrong[i], pin), -EINVAL);
}

/* A server may speak first: what it sends behind its own last bytes is kept. */
static void bytes_behind_the_handshake_are_kept(void **state)
{
    struct fixture *f = *state;
    struct tls_tx to_client, to_server;
    struct tls_rx from_client, from_server;
    const uint8_t *out;
    uint8_t *rest;
    uint8_t flight[8192], *content;
    size_t len, rest_len;

    begin(f, HOST);
    assert_int_equal(pass(f->at_client, f->at_server, 4096, TLS_PROGRESS_MORE), TLS_PROGRESS_MORE);
    len = tls_handshake_output(f->at_server, &out);
    assert_true(len > 0 && len < sizeof(flight) - 64);
    memcpy(flight, out, len);
    memcpy(flight + len, "\x17\3\3\0\x20", 5); /* the beginning of a record */
    assert_int_equal(tls_handshake_input(f->at_client, flight, len + 5), TLS_PROGRESS_DONE);
    assert_int_equal(tls_handshake_finish(f->at_client, &to_server, &from_server, &rest, &rest_len),
                     0);
    assert_int_equal(rest_len, 5);
    assert_memory_equal(rest, "\x17\3\3\0\x20", 5);
    assert_int_equal(pass(f->at_client, f->at_server, 4096, TLS_PROGRESS_MORE), TLS_PROGRESS_DONE);
    assert_int_equal(tls_handshake_finish(f->at_server, &to_client, &from_client, &rest, &rest_len),
                     0);
    const struct iovec piece = {.iov_base = (char[]){"first"}, .iov_len = 5};
    ssize_t size = tls_seal(&ciphers, &to_client, TLS_CONTENT_DATA, &piece, 1, flight);
    assert_int_equal(tls_open(&ciphers, &from_server, flight, (size_t)size, &content, &len),
                     TLS_EVENT_DATA);
    assert_memory_equal(content, "first", 5);
    tls_tx_wipe(&to_client);
    tls_tx_wipe(&to_server);
    tls_rx_wipe(&from_client);
    tls_rx_wipe(&from_server);
}

static void whatever_is_no_tls_fails_with_words(void **state)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static uint8_t big[TLS_MAX_HANDSHAKE_INPUT + 1];
    struct fixture *f = *state;

    begin(f, HOST);
    assert_int_equal(tls_handshake_input(f->at_client, (const uint8_t *)answer, sizeof(answer) - 1),
                     TLS_PROGRESS_FAILED);
    assert_string_equal(tls_handshake_fault(f->at_client), "wrong version number");
    begin(f, HOST);
    assert_int_equal(tls_handshake_input(f->at_client, big, sizeof(big)), TLS_PROGRESS_FAILED);
    assert_string_equal(tls_handshake_fault(f->at_client), "more bytes than a handshake has");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_suite_in_whatever_pieces),
        TEST(the_relays_key_is_in_the_chain),
        TEST(odd_derpkeys_tell_no_key),
        TEST(a_pin_is_all_that_is_needed_but_name_and_time),
        TEST(a_pinned_address),
        TEST(a_pin_is_for_the_servers_own_certificate),
        TEST(a_certificate_that_is_trusted),
        TEST(a_file_of_trusted_certificates),
        TEST(nothing_is_verified_when_that_is_asked_for),
        TEST(faulty_options_are_named),
        TEST(pins_are_parsed),
        TEST(bytes_behind_the_handshake_are_kept),
        TEST(whatever_is_no_tls_fails_with_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
