/* SPDX-License-Identifier: BSD-3-Clause */
/* What the handshakes of a server and of a client share. For lib/tls alone. */
#ifndef TLS_HANDSHAKE_MAKE_H
#define TLS_HANDSHAKE_MAKE_H

#include <openssl/types.h>

#include "tls/handshake.h"

/* An SSL_CTX whose secrets a handshake sees. NULL without memory. */
SSL_CTX *handshake_context_new(const SSL_METHOD *method);

/* A handshake around an SSL of such a context, whose side is set. Takes the SSL in any case; NULL
 * without memory, or when it was NULL. */
struct tls_handshake *handshake_make(SSL *ssl);

/* Goes on as far as the bytes taken lead. */
enum tls_progress handshake_step(struct tls_handshake *handshake);

SSL *handshake_ssl(const struct tls_handshake *handshake);

#endif
