/* SPDX-License-Identifier: BSD-3-Clause */
/* Making certificates: a server's own, and the one that carries the relay's key. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "tls/certificate.h"
#include "wire/frame.h"

#define DAY_SECONDS 86400
#define MAX_DAYS    36500

/* A clock that is a little behind must not make a new certificate invalid. */
#define BACKDATED_DAYS 1

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

static bool fill_in(hyperderp_certificate *certificate, const char *host, unsigned days)
{
    char alternative[300];

    snprintf(alternative, sizeof(alternative), "%s:%s", is_address(host) ? "IP" : "DNS", host);
    certificate->leaf = X509_new();
    certificate->chain = sk_X509_new_null();
    certificate->key = EVP_EC_gen("P-256");
    X509 *leaf = certificate->leaf;
    return leaf && certificate->chain && certificate->key &&
           X509_set_version(leaf, X509_VERSION_3) == 1 && set_random_serial(leaf) &&
           set_name(leaf, host) && set_times(leaf, days) &&
           X509_set_pubkey(leaf, certificate->key) == 1 &&
           add_extension(leaf, NID_subject_alt_name, alternative) &&
           add_extension(leaf, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(leaf, NID_key_usage, "critical,digitalSignature") &&
           add_extension(leaf, NID_ext_key_usage, "serverAuth") &&
           X509_sign(leaf, certificate->key, EVP_sha256()) > 0;
}

int hyperderp_certificate_make(hyperderp_certificate **out, const char *host, unsigned days)
{
    if (!out)
        return -EINVAL;
    *out = NULL;
    if (!host || !is_plain_host(host) || days < 1 || days > MAX_DAYS)
        return -EINVAL;
    hyperderp_certificate *certificate = certificate_new();
    if (!certificate)
        return -ENOMEM;
    if (!fill_in(certificate, host, days)) {
        ERR_clear_error();
        hyperderp_certificate_free(certificate);
        return -EIO;
    }
    certificate->expires = certificate_expiry(certificate->leaf);
    *out = certificate;
    return 0;
}

X509 *certificate_make_derpkey(const hyperderp_key *relay)
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
