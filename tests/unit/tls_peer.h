/* SPDX-License-Identifier: BSD-3-Clause */
/* An OpenSSL client and server, connected through memory: what our record layer is tested with. */
#ifndef TESTS_TLS_PEER_H
#define TESTS_TLS_PEER_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "tls/suite.h"

struct tls_peers {
    SSL_CTX *server_context, *client_context;
    SSL *server, *client;
    BIO *to_client, *to_server; /* what the client reads, what it writes */
    const struct tls_suite *suite;
    uint8_t client_secret[TLS_MAX_SECRET], server_secret[TLS_MAX_SECRET];
};

/* Shakes hands with this suite and without tickets. The server's SSL is then of no more use: its
 * secrets are the test's to go on with. */
void tls_peers_connect(struct tls_peers *peers, const char *suite);
void tls_peers_free(struct tls_peers *peers);

/* Takes all bytes that the client has sent. */
size_t tls_peers_from_client(struct tls_peers *peers, uint8_t *out, size_t room);
/* Gives bytes to the client. */
void tls_peers_to_client(struct tls_peers *peers, const uint8_t *bytes, size_t len);

#endif
