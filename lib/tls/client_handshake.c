/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's SSL_CTX: what it offers, whom it believes. */
#include "tls/client_handshake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#include "memory/memory.h"
#include "tls/handshake_make.h"

#define DERPKEY_PREFIX     "derpkey"
#define DERPKEY_PREFIX_LEN (sizeof(DERPKEY_PREFIX) - 1)

struct tls_client {
    SSL_CTX *context;
    enum tls_verification verification;
    uint8_t pin[HYPERDERP_CERTIFICATE_HASH_SIZE];
};

/* Reads hexadecimal digits that are exactly so many bytes. */
static bool read_hex(const char *digits, size_t len, uint8_t *out, size_t size)
{
    return len == 2 * size && sodium_hex2bin(out, size, digits, len, NULL, NULL, NULL) == 0;
}

int tls_pin_parse(const char *text, uint8_t pin[HYPERDERP_CERTIFICATE_HASH_SIZE])
{
    static const char prefix[] = "sha256-raw:";

    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return -EINVAL;
    text += sizeof(prefix) - 1;
    return read_hex(text, strlen(text), pin, HYPERDERP_CERTIFICATE_HASH_SIZE) ? 0 : -EINVAL;
}

/* ---- The derpkey ---- */

/* The digits behind "derpkey" in a certificate's common name, *len of them; NULL when it has none
 * of this kind. */
static const char *derpkey_digits(const X509 *certificate, size_t *len)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (at < 0)
        return NULL;
    const ASN1_STRING *name = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    size_t size = (size_t)ASN1_STRING_length(name);
    const char *text = (const char *)ASN1_STRING_get0_data(name);
    if (size < DERPKEY_PREFIX_LEN || memcmp(text, DERPKEY_PREFIX, DERPKEY_PREFIX_LEN) != 0)
        return NULL;
    *len = size - DERPKEY_PREFIX_LEN;
    return text + DERPKEY_PREFIX_LEN;
}

bool tls_handshake_relay_key(const struct tls_handshake *handshake, hyperderp_key *key)
{
    const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(handshake_ssl(handshake));
    int64_t version;
    size_t len;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        const X509 *certificate = sk_X509_value(chain, i);
        const char *digits = derpkey_digits(certificate, &len);

        if (digits && read_hex(digits, len, key->bytes, sizeof(key->bytes)) &&
            ASN1_INTEGER_get_int64(&version, X509_get0_serialNumber(certificate)) == 1 &&
            version >= 1 && version <= UINT8_MAX)
            return true;
    }
    return false;
}

/* ---- Verification ---- */

static bool hash_is(const X509 *certificate, const uint8_t pin[HYPERDERP_CERTIFICATE_HASH_SIZE])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    return X509_digest(certificate, EVP_sha256(), hash, &len) == 1 &&
           len == HYPERDERP_CERTIFICATE_HASH_SIZE && memcmp(hash, pin, len) == 0;
}

static int check_name(X509 *certificate, X509_VERIFY_PARAM *expected)
{
    const char *name = X509_VERIFY_PARAM_get0_host(expected, 0);
    char *address = X509_VERIFY_PARAM_get1_ip_asc(expected);
    int error = X509_V_OK;

    if (name &&
        X509_check_host(certificate, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) != 1)
        error = X509_V_ERR_HOSTNAME_MISMATCH;
    if (address && X509_check_ip_asc(certificate, address, 0) != 1)
        error = X509_V_ERR_IP_ADDRESS_MISMATCH;
    OPENSSL_free(address);
    return error;
}

/* The pinned certificate must be the one whose key has signed the handshake, the chain's first:
 * another place in the chain proves nothing. */
static int check_pin(const struct tls_client *client, X509_STORE_CTX *context)
{
    X509 *own = X509_STORE_CTX_get0_cert(context);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(context);
    size_t len;

    if (!hash_is(own, client->pin))
        return X509_V_ERR_APPLICATION_VERIFICATION;
    for (int i = 1; i < sk_X509_num(chain); i++)
        if (!derpkey_digits(sk_X509_value(chain, i), &len))
            return X509_V_ERR_CERT_CHAIN_TOO_LONG;
    if (X509_cmp_current_time(X509_get0_notBefore(own)) >= 0)
        return X509_V_ERR_CERT_NOT_YET_VALID;
    if (X509_cmp_current_time(X509_get0_notAfter(own)) <= 0)
        return X509_V_ERR_CERT_HAS_EXPIRED;
    return check_name(own, X509_STORE_CTX_get0_param(context));
}

static int verify(X509_STORE_CTX *context, void *user)
{
    const struct tls_client *client = user;
    int error = X509_V_OK;

    if (client->verification == TLS_VERIFY_CHAIN)
        return X509_verify_cert(context);
    if (client->verification == TLS_VERIFY_PIN)
        error = check_pin(client, context);
    X509_STORE_CTX_set_error(context, error);
    return error == X509_V_OK;
}

/* ---- The client ---- */

/* Trusts the certificates of a PEM text, at least one. */
static bool trust_pem(SSL_CTX *context, const char *pem)
{
    BIO *text = BIO_new_mem_buf(pem, -1);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    X509 *certificate;
    int count = 0;

    while (text && (certificate = PEM_read_bio_X509(text, NULL, NULL, NULL))) {
        count += X509_STORE_add_cert(store, certificate) == 1;
        X509_free(certificate);
    }
    BIO_free(text);
    return count > 0;
}

static int say(char *fault, const char *what, const char *name)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    snprintf(fault, HYPERDERP_FAULT_SIZE, "%s%s: %s", what, name,
             reason ? reason : "not known here");
    ERR_clear_error();
    return -EINVAL;
}

static int trust(SSL_CTX *context, const struct tls_client_options *options, char *fault)
{
    bool given = options->ca_file || options->ca_pem;

    if (options->ca_file && SSL_CTX_load_verify_file(context, options->ca_file) != 1)
        return say(fault, "no certificates in ", options->ca_file);
    if (options->ca_pem && !trust_pem(context, options->ca_pem))
        return say(fault, "no certificates in the text of trusted ones", "");
    if ((!given || options->with_system_roots) && SSL_CTX_set_default_verify_paths(context) != 1)
        return say(fault, "the system's certificates cannot be read", "");
    ERR_clear_error();
    return 0;
}

/* OpenSSL knows suites of TLS 1.3 that our record layer does not. */
static bool offers_known_suites(SSL_CTX *context)
{
    STACK_OF(SSL_CIPHER) *offered = SSL_CTX_get_ciphers(context);

    for (int i = 0; i < sk_SSL_CIPHER_num(offered); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(offered, i);
        if (strcmp(SSL_CIPHER_get_version(cipher), "TLSv1.3") == 0 &&
            !tls_suite_find(SSL_CIPHER_get_protocol_id(cipher)))
            return false;
    }
    return true;
}

static int configure(struct tls_client *client, const struct tls_client_options *options,
                     char *fault)
{
    static const unsigned char http[] = "\x08http/1.1";
    SSL_CTX *context = client->context;
    const char *suites = options->suites ? options->suites
                                         : "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                           "TLS_CHACHA20_POLY1305_SHA256";

    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 0); /* what comes behind Finished stays in our BIO */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, verify, client);
    if (SSL_CTX_set_ciphersuites(context, suites) != 1 || !offers_known_suites(context))
        return say(fault, "cipher suites ", suites);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(context, "X25519:P-256") != 1 ||
        SSL_CTX_set_alpn_protos(context, http, sizeof(http) - 1) != 0)
        return say(fault, "OpenSSL cannot be set up", "");
    return options->verification == TLS_VERIFY_CHAIN ? trust(context, options, fault) : 0;
}

int tls_client_new(struct tls_client **out, const struct tls_client_options *options, char *fault)
{
    struct tls_client *client = memory_calloc(1, sizeof(*client));
    int error = -ENOMEM;

    *out = NULL;
    fault[0] = '\0';
    if (!client)
        return -ENOMEM;
    client->verification = options->verification;
    memcpy(client->pin, options->pin, sizeof(client->pin));
    ERR_clear_error();
    client->context = handshake_context_new(TLS_client_method());
    if (client->context)
        error = configure(client, options, fault);
    if (error)
        tls_client_free(client);
    else
        *out = client;
    return error;
}

void tls_client_free(struct tls_client *client)
{
    if (!client)
        return;
    SSL_CTX_free(client->context);
    memory_free(client);
}

/* Whom the certificate must be for; a name also goes to the server (RFC 6066 section 3), an address
 * must not. */
static bool expect(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *expected = SSL_get0_param(ssl);
    unsigned char address[16];

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(expected, host) == 1;
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* OpenSSL takes a leading dot for any name below. */
    return host[0] != '\0' && host[0] != '.' &&
           X509_VERIFY_PARAM_set1_host(expected, host, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls_handshake *tls_client_handshake_new(struct tls_client *client, const char *host)
{
    struct tls_handshake *handshake = handshake_make(SSL_new(client->context));

    if (!handshake)
        return NULL;
    SSL_set_connect_state(handshake_ssl(handshake));
    if (!expect(handshake_ssl(handshake), host) || handshake_step(handshake) != TLS_PROGRESS_MORE) {
        ERR_clear_error();
        tls_handshake_free(handshake);
        return NULL;
    }
    return handshake;
}
