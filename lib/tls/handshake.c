/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenSSL as a handshake engine over memory. */
#include "tls/handshake.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "memory/memory.h"
#include "tls/handshake_make.h"
#include "tls/key_schedule.h"
#include "tls/library.h"

struct tls_server {
    atomic_uint refs; /* release by who gives one back, acquire by who gives back the last */
    SSL_CTX *context;
    X509 *derpkey; /* or NULL */
    tls_choose_fn *choose;
    void *user;
};

struct tls_handshake {
    struct tls_server *server; /* a reference, or NULL for a client */
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    size_t input;  /* bytes taken so far */
    bool taken;    /* what is in out was given to the caller */
    bool done;
    struct tls_secrets secrets;
    char fault[128];
};

/* ---- The server ---- */

/* DERP is an upgrade of HTTP/1.1: who speaks only something else must learn it now. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *user)
{
    static const unsigned char http[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl, (void)user;
    if (SSL_select_next_proto(&chosen, out_len, http, sizeof(http) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* OpenSSL grants a client that wants short records what it asks for (RFC 6066 section 4), and we do
 * not cut ours so: better no connection than one that breaks at the first long record. No client of
 * DERP asks. */
static int refuse_short_records(SSL *ssl, int *alert, void *user)
{
    const unsigned char *value;
    size_t len;

    (void)user;
    *alert = SSL_AD_HANDSHAKE_FAILURE;
    return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_max_fragment_length, &value, &len)
               ? SSL_CLIENT_HELLO_ERROR
               : SSL_CLIENT_HELLO_SUCCESS;
}

static bool configure(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 0); /* what comes behind Finished stays in our BIO */
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_client_hello_cb(context, refuse_short_records, NULL);
    /* The client's order decides: one without AES in hardware puts ChaCha20 first. Sequence numbers
     * begin at 0 only without tickets. */
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_num_tickets(context, 0) == 1 &&
           SSL_CTX_set1_groups_list(context, "X25519:P-256") == 1 &&
           SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                             "TLS_CHACHA20_POLY1305_SHA256") == 1;
}

SSL_CTX *handshake_context_new(const SSL_METHOD *method)
{
    OSSL_LIB_CTX *library = tls_library();

    return library ? SSL_CTX_new_ex(library, TLS_LIBRARY_PROPERTIES, method) : NULL;
}

static bool use(SSL_CTX *context, const hyperderp_certificate *certificate, X509 *derpkey)
{
    if (SSL_CTX_use_certificate(context, certificate->leaf) != 1 ||
        SSL_CTX_use_PrivateKey(context, certificate->key) != 1)
        return false;
    for (int i = 0; i < sk_X509_num(certificate->chain); i++)
        if (SSL_CTX_add1_chain_cert(context, sk_X509_value(certificate->chain, i)) != 1)
            return false;
    return !derpkey || SSL_CTX_add1_chain_cert(context, derpkey) == 1;
}

/* As use(), for one handshake. */
static bool use_instead(SSL *ssl, const hyperderp_certificate *certificate, X509 *derpkey)
{
    if (SSL_use_cert_and_key(ssl, certificate->leaf, certificate->key, certificate->chain, 1) != 1)
        return false;
    return !derpkey || SSL_add1_chain_cert(ssl, derpkey) == 1;
}

/* One that OpenSSL does not take ends the handshake, rather than show the client another. */
static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
    const struct tls_server *server = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    hyperderp_certificate *chosen = NULL;

    if (name && server->choose)
        chosen = server->choose(server->user, name);
    if (!chosen)
        return SSL_TLSEXT_ERR_OK;
    bool used = use_instead(ssl, chosen, server->derpkey);
    hyperderp_certificate_free(chosen);
    *alert = SSL_AD_INTERNAL_ERROR;
    return used ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int tls_server_new(struct tls_server **out, const hyperderp_certificate *certificate, X509 *derpkey,
                   tls_choose_fn *choose, void *user, char *fault)
{
    struct tls_server *server = memory_calloc(1, sizeof(*server));

    *out = NULL;
    fault[0] = '\0';
    if (!server)
        return -ENOMEM;
    atomic_init(&server->refs, 1);
    server->choose = choose;
    server->user = user;
    if (derpkey && X509_up_ref(derpkey) == 1)
        server->derpkey = derpkey;
    ERR_clear_error();
    server->context = handshake_context_new(TLS_server_method());
    if (!server->context || !configure(server->context) ||
        !use(server->context, certificate, derpkey)) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        snprintf(fault, HYPERDERP_FAULT_SIZE, "OpenSSL does not take the certificate: %s",
                 reason ? reason : "no reason given");
        ERR_clear_error();
        tls_server_unref(server);
        return -EINVAL;
    }
    SSL_CTX_set_tlsext_servername_callback(server->context, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(server->context, server);
    *out = server;
    return 0;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
    atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
    return server;
}

void tls_server_unref(struct tls_server *server)
{
    if (!server || atomic_fetch_sub_explicit(&server->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(server->context);
    X509_free(server->derpkey);
    memory_free(server);
}

/* ---- A handshake ---- */

struct tls_handshake *handshake_make(SSL *ssl)
{
    struct tls_handshake *handshake = memory_calloc(1, sizeof(*handshake));
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    if (!handshake || !ssl || !in || !out) {
        BIO_free(in);
        BIO_free(out);
        SSL_free(ssl);
        memory_free(handshake);
        return NULL;
    }
    handshake->ssl = ssl;
    handshake->in = in;
    handshake->out = out;
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    return handshake;
}

struct tls_handshake *tls_handshake_new(struct tls_server *server)
{
    struct tls_handshake *handshake = handshake_make(SSL_new(server->context));

    if (!handshake)
        return NULL;
    handshake->server = tls_server_ref(server);
    SSL_set_accept_state(handshake->ssl);
    return handshake;
}

SSL *handshake_ssl(const struct tls_handshake *handshake)
{
    return handshake->ssl;
}

void tls_handshake_free(struct tls_handshake *handshake)
{
    if (!handshake)
        return;
    SSL_free(handshake->ssl);
    tls_server_unref(handshake->server);
    key_schedule_forget(&handshake->secrets);
    explicit_bzero(handshake, sizeof(*handshake));
    memory_free(handshake);
}

static enum tls_progress fail(struct tls_handshake *handshake, const char *reason)
{
    snprintf(handshake->fault, sizeof(handshake->fault), "%s", reason);
    ERR_clear_error();
    return TLS_PROGRESS_FAILED;
}

/* Only a client verifies the other side. */
static enum tls_progress fail_verification(struct tls_handshake *handshake, long result)
{
    const char *what = X509_verify_cert_error_string(result);

    if (result == X509_V_ERR_APPLICATION_VERIFICATION)
        what = "it is another than the pinned one";
    snprintf(handshake->fault, sizeof(handshake->fault), "the certificate is not accepted: %s",
             what);
    ERR_clear_error();
    return TLS_PROGRESS_FAILED;
}

enum tls_progress handshake_step(struct tls_handshake *handshake)
{
    ERR_clear_error();
    key_schedule_watch(&handshake->secrets);
    int result = SSL_do_handshake(handshake->ssl);
    key_schedule_watch(NULL);
    if (result == 1) {
        if (!handshake->secrets.has_client || !handshake->secrets.has_server)
            return fail(handshake, "OpenSSL gave no traffic secrets");
        handshake->done = true;
        return TLS_PROGRESS_DONE;
    }
    if (SSL_get_error(handshake->ssl, result) == SSL_ERROR_WANT_READ)
        return TLS_PROGRESS_MORE;
    if (SSL_get_verify_result(handshake->ssl) != X509_V_OK)
        return fail_verification(handshake, SSL_get_verify_result(handshake->ssl));
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return fail(handshake, reason ? reason : "no reason given");
}

enum tls_progress tls_handshake_input(struct tls_handshake *handshake, const uint8_t *bytes,
                                      size_t len)
{
    if (handshake->done || handshake->fault[0])
        return TLS_PROGRESS_FAILED;
    if (len > TLS_MAX_HANDSHAKE_INPUT - handshake->input)
        return fail(handshake, "more bytes than a handshake has");
    handshake->input += len;
    if (handshake->taken)
        (void)BIO_reset(handshake->out);
    handshake->taken = false;
    if (BIO_write(handshake->in, bytes, (int)len) != (int)len)
        return fail(handshake, "no memory");
    return handshake_step(handshake);
}

bool tls_handshake_is_answered(const struct tls_handshake *handshake)
{
    return handshake->secrets.has_server;
}

size_t tls_handshake_output(struct tls_handshake *handshake, const uint8_t **bytes)
{
    char *data;

    long len = handshake->taken ? 0 : BIO_get_mem_data(handshake->out, &data);
    if (len <= 0)
        return 0;
    handshake->taken = true;
    *bytes = (const uint8_t *)data;
    return (size_t)len;
}

const char *tls_handshake_fault(const struct tls_handshake *handshake)
{
    return handshake->fault;
}

const char *tls_handshake_suite(const struct tls_handshake *handshake)
{
    return SSL_get_cipher_name(handshake->ssl);
}

int tls_handshake_finish(struct tls_handshake *handshake, struct tls_tx *tx, struct tls_rx *rx,
                         uint8_t **rest, size_t *rest_len)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(handshake->ssl);
    const struct tls_suite *suite =
        handshake->done && cipher ? tls_suite_find(SSL_CIPHER_get_protocol_id(cipher)) : NULL;
    bool is_server = SSL_is_server(handshake->ssl) == 1;
    const uint8_t *client = handshake->secrets.client, *server = handshake->secrets.server;
    char *data;

    if (!suite || tls_tx_init(tx, suite, is_server ? server : client) != 0 ||
        tls_rx_init(rx, suite, is_server ? client : server) != 0)
        return -EIO;
    rx->skips_tickets = !is_server;
    long len = BIO_get_mem_data(handshake->in, &data);
    *rest = (uint8_t *)data;
    *rest_len = len > 0 ? (size_t)len : 0;
    return 0;
}

size_t tls_hello_size(const uint8_t *header)
{
    return TLS_HEADER_SIZE + ((size_t)header[3] << 8 | header[4]);
}

bool tls_looks_like_client_hello(const uint8_t *bytes, size_t len)
{
    /* A handshake record of SSL 3 or newer that begins with a ClientHello (section 5.1, 4.1.2). */
    if (bytes[0] != TLS_CONTENT_HANDSHAKE || (len > 1 && bytes[1] != 3))
        return false;
    if (len > 4 && ((size_t)bytes[3] << 8 | bytes[4]) > TLS_MAX_PLAINTEXT)
        return false;
    return len <= TLS_HEADER_SIZE || bytes[TLS_HEADER_SIZE] == 1;
}
