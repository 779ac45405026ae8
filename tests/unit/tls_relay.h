/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay for one client, made of OpenSSL's own server in a thread: TLS as somebody else speaks it,
 * tickets included. */
#ifndef TESTS_TLS_RELAY_H
#define TESTS_TLS_RELAY_H

#include <pthread.h>
#include <stdbool.h>

#include <openssl/ssl.h>

#include <hyperderp/key.h>
#include <hyperderp/tls.h>

#include "tls/client_handshake.h"

#define TLS_RELAY_NAME        "derp.example.com"
#define TLS_RELAY_PATIENCE_MS 8000

struct tls_relay;

/* What the relay does when a client has joined. Returns NULL, or what went wrong: it is run by the
 * thread, where nothing can be asserted. */
typedef const char *tls_relay_fn(struct tls_relay *relay);

struct tls_relay {
    char address[64];
    hyperderp_certificate *certificate;
    hyperderp_key key;
    struct tls_client *client; /* that has the certificate's pin */

    /* The thread's, until it is joined. */
    int listener;
    SSL_CTX *context;
    SSL *ssl;
    hyperderp_private_key private_key;
    bool fast_start; /* the client asked for it */
    tls_relay_fn *run;
    const char *fault;
    pthread_t thread;
};

/* Starts it; run NULL: it goes no further than the TLS handshake. suites: of its own, or NULL. */
void tls_relay_start(struct tls_relay *relay, tls_relay_fn *run, const char *suites);

/* Waits for it, and fails the test when something went wrong there. */
void tls_relay_end(struct tls_relay *relay);

/* Of the relay's side: writes or reads all of it, as OpenSSL does. False when that fails. */
bool tls_relay_write(struct tls_relay *relay, const void *bytes, size_t len);
bool tls_relay_read(struct tls_relay *relay, void *bytes, size_t len);

#endif
