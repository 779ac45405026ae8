/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* A line is LABEL, client random and secret, between spaces. */
static void take_secret(const SSL *ssl, const char *line)
{
    struct tls_peers *peers = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const char *hex = strrchr(line, ' ') + 1;
    uint8_t *secret;

    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
        secret = peers->client_secret;
    else if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
        secret = peers->server_secret;
    else
        return;
    size_t len = strlen(hex) / 2;
    assert_true(len <= TLS_MAX_SECRET);
    for (size_t i = 0; i < len; i++)
        secret[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
}

static void give_certificate(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();

    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static SSL_CTX *make_context(const SSL_METHOD *method, const char *suite)
{
    SSL_CTX *context = SSL_CTX_new(method);

    assert_non_null(context);
    assert_int_equal(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION), 1);
    assert_int_equal(SSL_CTX_set_ciphersuites(context, suite), 1);
    assert_int_equal(SSL_CTX_set_num_tickets(context, 0), 1);
    return context;
}

void tls_peers_connect(struct tls_peers *peers, const char *suite)
{
    *peers = (struct tls_peers){0};
    peers->server_context = make_context(TLS_server_method(), suite);
    peers->client_context = make_context(TLS_client_method(), suite);
    give_certificate(peers->server_context);
    SSL_CTX_set_app_data(peers->server_context, peers);
    SSL_CTX_set_keylog_callback(peers->server_context, take_secret);
    peers->server = SSL_new(peers->server_context);
    peers->client = SSL_new(peers->client_context);
    peers->to_client = BIO_new(BIO_s_mem());
    peers->to_server = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(peers->to_client, -1);
    BIO_set_mem_eof_return(peers->to_server, -1);
    BIO_up_ref(peers->to_client);
    BIO_up_ref(peers->to_server);
    SSL_set_bio(peers->client, peers->to_client, peers->to_server);
    SSL_set_bio(peers->server, peers->to_server, peers->to_client);
    SSL_set_connect_state(peers->client);
    SSL_set_accept_state(peers->server);
    int client = 0, server = 0;
    for (int i = 0; i < 10 && (client != 1 || server != 1); i++) {
        client = SSL_do_handshake(peers->client);
        server = SSL_do_handshake(peers->server);
    }
    assert_int_equal(client, 1);
    assert_int_equal(server, 1);
    peers->suite =
        tls_suite_find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(peers->server)));
    assert_non_null(peers->suite);
    assert_string_equal(peers->suite->name, suite);
}

void tls_peers_free(struct tls_peers *peers)
{
    SSL_free(peers->server);
    SSL_free(peers->client);
    SSL_CTX_free(peers->server_context);
    SSL_CTX_free(peers->client_context);
}

size_t tls_peers_from_client(struct tls_peers *peers, uint8_t *out, size_t room)
{
    int n = BIO_read(peers->to_server, out, (int)room);
    return n > 0 ? (size_t)n : 0;
}

void tls_peers_to_client(struct tls_peers *peers, const uint8_t *bytes, size_t len)
{
    assert_int_equal(BIO_write(peers->to_client, bytes, (int)len), (int)len);
}
