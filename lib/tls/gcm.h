/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AES-GCM of libipsec-mb, for records. It uses the vector units of newer processors (VAES, which
 * OpenSSL 3.0 does not know) and has nothing to set up for a record: of 1,437 bytes, OpenSSL 3.0
 * takes 500 ns and it 150, of 16 KiB 3.5 us and 1.3. Without the library every function says that
 * there is none. For lib/tls, and to tell of it.
 *
 * Threads: a context is one thread's.
 */
#ifndef TLS_GCM_H
#define TLS_GCM_H

#include "tls/record.h"

struct gcm;

#ifdef HAVE_IPSEC_MB

/* Whether a suite with AES-GCM has contexts here, but for want of memory. */
bool gcm_works(void);

/* A context for one direction of a suite. NULL for a suite without AES-GCM, for a processor
 * without the instructions, where the library's own test of itself fails, or without memory: then
 * OpenSSL has to do. */
struct gcm *gcm_new(const struct tls_suite *suite);

/* Wipes the key. NULL is allowed. */
void gcm_free(struct gcm *gcm);

void gcm_set_key(struct gcm *gcm, const uint8_t *key);

/* As cipher_seal() and cipher_open(), which is false for what is not authentic. */
void gcm_seal(struct gcm *gcm, const uint8_t nonce[TLS_IV_SIZE],
              const uint8_t header[TLS_HEADER_SIZE], const struct iovec *pieces, unsigned count,
              uint8_t type, uint8_t *out);
bool gcm_open(struct gcm *gcm, const uint8_t nonce[TLS_IV_SIZE], uint8_t *record, size_t len)
    __attribute__((warn_unused_result));

#else

static inline bool gcm_works(void)
{
    return false;
}

static inline struct gcm *gcm_new(const struct tls_suite *suite)
{
    (void)suite;
    return NULL;
}

static inline void gcm_free(struct gcm *gcm)
{
    (void)gcm;
}

static inline void gcm_set_key(struct gcm *gcm, const uint8_t *key)
{
    (void)gcm;
    (void)key;
}

static inline void gcm_seal(struct gcm *gcm, const uint8_t nonce[TLS_IV_SIZE],
                            const uint8_t header[TLS_HEADER_SIZE], const struct iovec *pieces,
                            unsigned count, uint8_t type, uint8_t *out)
{
    (void)gcm, (void)nonce, (void)header, (void)pieces, (void)count, (void)type, (void)out;
}

static inline bool gcm_open(struct gcm *gcm, const uint8_t nonce[TLS_IV_SIZE], uint8_t *record,
                            size_t len)
{
    (void)gcm, (void)nonce, (void)record, (void)len;
    return false;
}

#endif
#endif
