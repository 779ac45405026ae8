/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of a server. */
#include "tls/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "wire/frame.h"

#define DAY_SECONDS 86400

/* A clock that is a little behind must not make a new certificate invalid. */
#define BACKDATED_DAYS 1

/* Certificates in a chain; real ones have two or three. */
#define MAX_CHAIN 16

static int say(char *fault, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    snprintf(fault, TLS_FAULT_SIZE, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return -EINVAL;
}

/* A key that is protected by a passphrase is refused, not asked for on a terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *user)
{
    (void)buffer, (void)size, (void)writing, (void)user;
    return -1;
}

static int64_t expiry(const X509 *certificate)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm);
}

static int read_chain(struct tls_certificate *certificate, BIO *pem, char *fault)
{
    X509 *next;

    certificate->leaf = PEM_read_bio_X509_AUX(pem, NULL, no_passphrase, NULL);
    if (!certificate->leaf)
        return say(fault, "no certificate in the chain file");
    certificate->expires = expiry(certificate->leaf);
    certificate->chain = sk_X509_new_null();
    if (!certificate->chain)
        return -ENOMEM;
    while ((next = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL))) {
        if (sk_X509_num(certificate->chain) >= MAX_CHAIN ||
            !sk_X509_push(certificate->chain, next)) {
            X509_free(next);
            return say(fault, "too many certificates in the chain file");
        }
        if (expiry(next) < certificate->expires)
            certificate->expires = expiry(next);
    }
    /* The end of the file looks like this; anything else is a broken certificate. */
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
        return say(fault, "a certificate in the chain file is damaged");
    ERR_clear_error();
    return 0;
}

static int read_all(struct tls_certificate *certificate, BIO *chain, BIO *key, char *fault)
{
    int error = read_chain(certificate, chain, fault);

    if (error)
        return error;
    certificate->key = PEM_read_bio_PrivateKey(key, NULL, no_passphrase, NULL);
    if (!certificate->key)
        return say(fault, "no private key without a passphrase in the key file");
    if (X509_check_private_key(certificate->leaf, certificate->key) != 1)
        return say(fault, "the private key does not belong to the first certificate of the chain");
    return 0;
}

int tls_certificate_read(struct tls_certificate *certificate, const char *chain_pem,
                         size_t chain_len, const char *key_pem, size_t key_len, char *fault)
{
    *certificate = (struct tls_certificate){0};
    fault[0] = '\0';
    if (chain_len > INT32_MAX || key_len > INT32_MAX)
        return -EINVAL;
    ERR_clear_error();
    BIO *chain = BIO_new_mem_buf(chain_pem, (int)chain_len);
    BIO *key = BIO_new_mem_buf(key_pem, (int)key_len);
    int error = chain && key ? read_all(certificate, chain, key, fault) : -ENOMEM;
    BIO_free(chain);
    BIO_free(key);
    if (error)
        tls_certificate_free(certificate);
    return error;
}

void tls_certificate_free(struct tls_certificate *certificate)
{
    X509_free(certificate->leaf);
    sk_X509_pop_free(certificate->chain, X509_free);
    EVP_PKEY_free(certificate->key);
    *certificate = (struct tls_certificate){0};
}

/* The type given by hand leaves out OpenSSL's own limit of 64 characters, which "derpkey" and a key
 * exceed. */
static bool set_name(X509 *certificate, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(certificate);

    return X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING,
                                      (const unsigned char *)name, (int)strlen(name), -1, 0) == 1 &&
           X509_set_issuer_name(certificate, subject) == 1;
}

static bool set_times(X509 *certificate, unsigned days)
{
    return X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATED_DAYS * DAY_SECONDS) &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * DAY_SECONDS);
}

static bool add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool added = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool is_address(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* A host that is neither name nor address would be a line of OpenSSL's extension syntax. */
static bool is_plain_host(const char *host)
{
    return host[0] != '\0' && strlen(host) <= 253 &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:*") ==
               strlen(host);
}

static bool set_random_serial(X509 *certificate)
{
    uint8_t bytes[16];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return set;
}

int tls_certificate_make(struct tls_certificate *certificate, const char *host, unsigned days)
{
    char alternative[300];

    *certificate = (struct tls_certificate){0};
    if (!is_plain_host(host))
        return -EINVAL;
    snprintf(alternative, sizeof(alternative), "%s:%s", is_address(host) ? "IP" : "DNS", host);
    certificate->leaf = X509_new();
    certificate->chain = sk_X509_new_null();
    certificate->key = EVP_EC_gen("P-256");
    X509 *leaf = certificate->leaf;
    if (!leaf || !certificate->chain || !certificate->key ||
        X509_set_version(leaf, X509_VERSION_3) != 1 || !set_random_serial(leaf) ||
        !set_name(leaf, host) || !set_times(leaf, days) ||
        X509_set_pubkey(leaf, certificate->key) != 1 ||
        !add_extension(leaf, NID_subject_alt_name, alternative) ||
        !add_extension(leaf, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(leaf, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(leaf, NID_ext_key_usage, "serverAuth") ||
        X509_sign(leaf, certificate->key, EVP_sha256()) <= 0) {
        ERR_clear_error();
        tls_certificate_free(certificate);
        return -EIO;
    }
    certificate->expires = expiry(leaf);
    return 0;
}

int tls_certificate_hash(const struct tls_certificate *certificate, uint8_t hash[32])
{
    unsigned len = 32;
    return X509_digest(certificate->leaf, EVP_sha256(), hash, &len) == 1 ? 0 : -EIO;
}

X509 *tls_certificate_make_derpkey(const hyperderp_key *relay)
{
    char name[sizeof("derpkey") + 2 * sizeof(relay->bytes)] = "derpkey";
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *certificate = X509_new();

    for (size_t i = 0; i < sizeof(relay->bytes); i++)
        snprintf(name + 7 + 2 * i, 3, "%02x", relay->bytes[i]);
    bool made = key && certificate && X509_set_version(certificate, X509_VERSION_3) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(certificate), DERP_PROTOCOL_VERSION) == 1 &&
                set_name(certificate, name) && set_times(certificate, 3650) &&
                X509_set_pubkey(certificate, key) == 1 &&
                add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
                X509_sign(certificate, key, NULL) > 0;
    EVP_PKEY_free(key);
    if (made)
        return certificate;
    ERR_clear_error();
    X509_free(certificate);
    return NULL;
}
