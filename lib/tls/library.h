/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenSSL's library context of our own, in which the handshakes run. For lib/tls alone. */
#ifndef TLS_LIBRARY_H
#define TLS_LIBRARY_H

#include <openssl/types.h>

/* What an SSL_CTX of the library context is made with: our key schedule (key_schedule.h) rather
 * than OpenSSL's, and all else by OpenSSL. */
#define TLS_LIBRARY_PROPERTIES "?provider=hyperderp"

/* OpenSSL's default provider and our key schedule, made at the first call and kept for the life of
 * the process; what else the program does with OpenSSL does not meet it. Any thread. NULL without
 * memory, or where OpenSSL has no default provider. */
OSSL_LIB_CTX *tls_library(void);

/* The hashes of TLS 1.3, looked up once; NULL as above. */
const EVP_MD *tls_library_sha256(void);
const EVP_MD *tls_library_sha384(void);

#endif
