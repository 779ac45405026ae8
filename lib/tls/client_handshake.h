/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TLS 1.3 handshake of a client over memory: what to trust and to offer, and the beginning.
 * From there the functions of handshake.h drive it, as they do a server's.
 */
#ifndef TLS_CLIENT_HANDSHAKE_H
#define TLS_CLIENT_HANDSHAKE_H

#include <hyperderp/key.h>

#include "tls/handshake.h"

enum tls_verification {
    TLS_VERIFY_CHAIN,   /* by certificates that are trusted, and the host's name */
    TLS_VERIFY_PIN,     /* by the hash of the server's own certificate, as Tailscale's clients do:
                           there is no other but the derpkey, and name and time fit */
    TLS_VERIFY_NOTHING, /* anybody may answer: for tests */
};

struct tls_client_options {
    enum tls_verification verification;
    const char *ca_file;    /* certificates to trust, PEM; NULL: the system's */
    const char *ca_pem;     /* the same as text, besides ca_file */
    bool with_system_roots; /* trust the system's as well as those two */
    uint8_t pin[HYPERDERP_CERTIFICATE_HASH_SIZE];
    const char *suites; /* to offer, in this order: OpenSSL's names, ':' between; NULL: all three */
};

/* What all handshakes with these options share. Immutable; any thread. */
struct tls_client;

/* Copies what it needs. 0; -EINVAL with the reason in fault, HYPERDERP_FAULT_SIZE bytes; -ENOMEM.
 */
int tls_client_new(struct tls_client **out, const struct tls_client_options *options, char *fault);
void tls_client_free(struct tls_client *client); /* NULL is allowed; after its handshakes */

/* Begins: tls_handshake_output() is the ClientHello. host is the name or the IP address, without
 * brackets, that the certificate must be for; names are told to the server. NULL without memory, or
 * for a host that is neither. */
struct tls_handshake *tls_client_handshake_new(struct tls_client *client, const char *host);

/* After TLS_PROGRESS_DONE: the key of the relay, from the "derpkey" certificate of its chain. False
 * when it tells none. */
bool tls_handshake_relay_key(const struct tls_handshake *handshake, hyperderp_key *key);

/* Reads a pin as a DERPMap's CertName has it: "sha256-raw:" and 64 hexadecimal digits. 0 or
 * -EINVAL. */
int tls_pin_parse(const char *text, uint8_t pin[HYPERDERP_CERTIFICATE_HASH_SIZE]);

#endif
