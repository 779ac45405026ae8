/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The key schedule of a TLS 1.3 handshake (RFC 8446 section 7.1) for OpenSSL: the algorithm
 * TLS13-KDF of a provider that is built in, which libssl asks for each secret and each key. It
 * costs a tenth of OpenSSL's own, and it is where the traffic secrets are seen. For lib/tls alone.
 */
#ifndef TLS_KEY_SCHEDULE_H
#define TLS_KEY_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/core_dispatch.h>
#include <openssl/types.h>

#include "tls/suite.h"

/* Of one handshake; zeros to begin with. */
struct tls_secrets {
    EVP_MD_CTX *hashing; /* what the schedule works in; it is made by the first to need it */
    bool has_client, has_server;
    uint8_t client[TLS_MAX_SECRET], server[TLS_MAX_SECRET]; /* of each side's sending direction */
};

/* Until it is called with NULL, what the calling thread derives belongs to this handshake: the
 * first traffic secrets go into *secrets. They come before the other side is verified, so they are
 * to be used only when the handshake is done. */
void key_schedule_watch(struct tls_secrets *secrets);

/* Wipes and frees what is in it. */
void key_schedule_forget(struct tls_secrets *secrets);

/* For OSSL_PROVIDER_add_builtin(). */
OSSL_provider_init_fn key_schedule_provide;

#endif
