/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Certificates of a server: reading them, making one's own. PEM in, PEM out; files are the
 * caller's business. Faults are told in words, for the log.
 */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include <hyperderp/key.h>

#define TLS_FAULT_SIZE 256

/* A chain, the server's own certificate first, and its private key. */
struct tls_certificate {
    X509 *leaf;
    STACK_OF(X509) * chain; /* the rest; may be empty */
    EVP_PKEY *key;
    int64_t expires; /* seconds since the epoch: when the first of the chain does */
};

/* Reads a chain and a key from PEM, and checks that they belong together. 0; -EINVAL with the
 * reason in fault, TLS_FAULT_SIZE bytes; -ENOMEM. */
int tls_certificate_read(struct tls_certificate *certificate, const char *chain_pem,
                         size_t chain_len, const char *key_pem, size_t key_len, char *fault);
void tls_certificate_free(struct tls_certificate *certificate); /* one that was zeroed is allowed */

/* Makes a P-256 key and a certificate signed with it for a name or an IP address. 0, -EIO, -ENOMEM.
 */
int tls_certificate_make(struct tls_certificate *certificate, const char *host, unsigned days);

/* What a client pins of a self-signed certificate: the SHA-256 of its DER form. 0 or -EIO. */
int tls_certificate_hash(const struct tls_certificate *certificate, uint8_t hash[32]);

/*
 * Makes the certificate by which DERP tells clients the relay's key inside the TLS handshake, so
 * that they can send ClientInfo with their request: common name "derpkey" and the key in hex,
 * serial number the protocol's version, Ed25519, self-signed. NULL when it cannot be made.
 */
X509 *tls_certificate_make_derpkey(const hyperderp_key *relay);

#endif
