/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file tls.h
 * Certificates for listeners that speak TLS 1.3.
 *
 * @par Threads
 * Every function may be called by any thread.
 */
#ifndef HYPERDERP_TLS_H
#define HYPERDERP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hyperderp/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A certificate chain and its private key. Opaque, immutable, counted: each reference is given
 * back by hyperderp_certificate_free(). A relay takes references of its own. */
typedef struct hyperderp_certificate hyperderp_certificate;

/** Room for what a function says of a fault in words. */
#define HYPERDERP_FAULT_SIZE 256

/** Bytes of a certificate's hash. */
#define HYPERDERP_CERTIFICATE_HASH_SIZE 32

/**
 * @name Certificates for listeners with TLS
 * @par Example
 * A listener with a certificate from files:
 * @code
 * hyperderp_listener_options options;
 * hyperderp_certificate *certificate;
 * char fault[HYPERDERP_FAULT_SIZE];
 *
 * int error = hyperderp_certificate_load(&certificate, "fullchain.pem", "privkey.pem", fault);
 * if (error) {
 *     fprintf(stderr, "%s\n", fault);
 *     return error;
 * }
 * hyperderp_listener_options_init(&options);
 * options.address = ":443";
 * options.certificate = certificate;
 * int listener = hyperderp_relay_add_listener(relay, &options);
 * hyperderp_certificate_free(certificate);
 * @endcode
 */
/**@{*/

/**
 * Reads a chain and a private key in PEM: the server's own certificate first, then its issuers, up
 * to 16. The key must belong to the first certificate and have no passphrase; RSA, ECDSA and
 * Ed25519 keys are taken.
 *
 * @param out    receives the certificate, one reference; NULL on error.
 * @param chain  the chain, chain_len bytes.
 * @param key    the key, key_len bytes. The caller wipes its own copy.
 * @param fault  receives what is wrong in words, HYPERDERP_FAULT_SIZE bytes; NULL: not wanted.
 * @return 0; -EINVAL when they are not what they should be; -ENOMEM.
 */
HYPERDERP_API int hyperderp_certificate_read(hyperderp_certificate **out, const char *chain,
                                             size_t chain_len, const char *key, size_t key_len,
                                             char *fault);

/**
 * Reads a chain and a private key from files, each at most 1 MiB; the same file may hold both.
 *
 * @param out         receives the certificate, one reference; NULL on error.
 * @param chain_file  the file of the chain.
 * @param key_file    the file of the key.
 * @param fault       as for hyperderp_certificate_read(); names the file when one cannot be read.
 * @return 0; -EINVAL when they are not what they should be; -ENOMEM; or the -errno of open() or
 *         read(), such as -ENOENT or -EACCES.
 */
HYPERDERP_API int hyperderp_certificate_load(hyperderp_certificate **out, const char *chain_file,
                                             const char *key_file, char *fault);

/**
 * Makes a P-256 key and a certificate for one host, signed with that key: clients must be told its
 * hash (hyperderp_certificate_hash()), as no authority vouches for it. Its validity begins a day
 * ago, for clients whose clock is behind.
 *
 * @param out   receives the certificate, one reference; NULL on error.
 * @param host  a name, or an IPv4 or IPv6 address without brackets.
 * @param days  validity from now on, 1 to 36500.
 * @return 0; -EINVAL for a host or days that cannot be; -EIO when OpenSSL cannot; -ENOMEM.
 */
HYPERDERP_API int hyperderp_certificate_make(hyperderp_certificate **out, const char *host,
                                             unsigned days);

/**
 * Writes a certificate as PEM, such as hyperderp_certificate_read() takes.
 *
 * @param certificate  the certificate.
 * @param chain        receives the chain, NUL-terminated, for hyperderp_pem_free().
 * @param key          receives the key in the same way: a secret.
 * @return 0; -EINVAL for NULL; or -ENOMEM. On error both are NULL.
 */
HYPERDERP_API int hyperderp_certificate_write(const hyperderp_certificate *certificate,
                                              char **chain, char **key);

/** Wipes and frees what hyperderp_certificate_write() made. NULL is allowed. */
HYPERDERP_API void hyperderp_pem_free(char *pem);

/**
 * Takes another reference to a certificate.
 *
 * @return the same certificate; NULL for NULL.
 */
HYPERDERP_API hyperderp_certificate *hyperderp_certificate_ref(hyperderp_certificate *certificate);

/** Gives a reference back; the last one wipes and frees. NULL is allowed. */
HYPERDERP_API void hyperderp_certificate_free(hyperderp_certificate *certificate);

/**@}*/

/**
 * @name What a certificate says of itself
 * @par Example
 * @code
 * uint8_t hash[HYPERDERP_CERTIFICATE_HASH_SIZE];
 *
 * if (hyperderp_certificate_hash(certificate, hash) == 0) {
 *     printf("sha256-raw:");
 *     for (size_t i = 0; i < sizeof(hash); i++)
 *         printf("%02x", hash[i]);
 * }
 * @endcode
 */
/**@{*/

/**
 * Tells when the first certificate of the chain to do so expires.
 *
 * @return seconds since the epoch; 0 for NULL.
 */
HYPERDERP_API int64_t hyperderp_certificate_expires(const hyperderp_certificate *certificate);

/** Tells whether the server's own certificate is signed with its own key: then clients can know it
 * by its hash alone. False for NULL. */
HYPERDERP_API bool hyperderp_certificate_is_self_signed(const hyperderp_certificate *certificate);

/**
 * Tells whether the server's own certificate is for a name, wildcards understood, or an IP address.
 *
 * @param certificate  the certificate.
 * @param host         the name or the address.
 * @return true when it is; false for NULL.
 */
HYPERDERP_API bool hyperderp_certificate_covers(const hyperderp_certificate *certificate,
                                                const char *host);

/**
 * Computes the SHA-256 of the server's own certificate in DER form, which a DERPMap pins as
 * CertName "sha256-raw:" and 64 hexadecimal digits.
 *
 * @param certificate  the certificate.
 * @param hash         receives the hash.
 * @return 0; -EINVAL for NULL; -EIO when OpenSSL cannot.
 */
HYPERDERP_API int hyperderp_certificate_hash(const hyperderp_certificate *certificate,
                                             uint8_t hash[HYPERDERP_CERTIFICATE_HASH_SIZE]);

/**
 * Tells whether two certificates are the same, chain and key; NULL is the same as
 * nothing.
 *
 * @param a  a certificate.
 * @param b  another.
 * @return true when they are.
 */
HYPERDERP_API bool hyperderp_certificate_equal(const hyperderp_certificate *a,
                                               const hyperderp_certificate *b);

/**@}*/

#ifdef __cplusplus
}
#endif

#endif
