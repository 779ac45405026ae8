/* SPDX-License-Identifier: BSD-3-Clause */
/* The traffic secrets of a handshake, as OpenSSL gives them out. For lib/tls alone. */
#ifndef TLS_SECRETS_H
#define TLS_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "tls/suite.h"

struct tls_secrets {
    bool has_client, has_server;
    uint8_t client[TLS_MAX_SECRET], server[TLS_MAX_SECRET]; /* of each side's sending direction */
};

/* Reads hexadecimal digits in pairs, at most 2 * room of them; tells how many bytes they are, 0 for
 * what is none or too much. */
size_t tls_read_hex(const char *hex, size_t digits, uint8_t *out, size_t room);

/* A key log callback for an SSL_CTX. The application data of each of its SSLs is a struct
 * tls_secrets, or NULL. */
void tls_secrets_take(const SSL *ssl, const char *line);

#endif
