/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of a server: what is behind the opaque type of the public hyperderp/tls.h. */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include <stdatomic.h>
#include <stdint.h>

#include <openssl/types.h>

#include <hyperderp/key.h>
#include <hyperderp/tls.h>

/* A chain, the server's own certificate first, and its private key. */
struct hyperderp_certificate {
    atomic_uint refs; /* release by who gives one back, acquire by who gives back the last */
    X509 *leaf;
    STACK_OF(X509) * chain; /* the rest; may be empty */
    EVP_PKEY *key;
    int64_t expires; /* seconds since the epoch: when the first of the chain does */
};

/* An empty one with one reference, or NULL without memory. */
hyperderp_certificate *certificate_new(void);

/* When a certificate expires, in seconds since the epoch. */
int64_t certificate_expiry(const X509 *certificate);

/*
 * Makes the certificate by which DERP tells clients the relay's key inside the TLS handshake, so
 * that they can send ClientInfo with their request: common name "derpkey" and the key in hex,
 * serial number the protocol's version, Ed25519, self-signed. NULL when it cannot be made.
 */
X509 *certificate_make_derpkey(const hyperderp_key *relay);

#endif
