/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of a server: reading and writing them, what they say of themselves. */
#include "tls/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "memory/memory.h"

/* A PEM file beyond this is none. */
#define MAX_FILE (1u << 20)

/* Certificates in a chain; real ones have two or three. */
#define MAX_CHAIN 16

static int say(char *fault, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    snprintf(fault, HYPERDERP_FAULT_SIZE, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return -EINVAL;
}

/* A key that is protected by a passphrase is refused, not asked for on a terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *user)
{
    (void)buffer, (void)size, (void)writing, (void)user;
    return -1;
}

int64_t certificate_expiry(const X509 *certificate)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm);
}

static int read_chain(hyperderp_certificate *certificate, BIO *pem, char *fault)
{
    X509 *next;

    certificate->leaf = PEM_read_bio_X509_AUX(pem, NULL, no_passphrase, NULL);
    if (!certificate->leaf)
        return say(fault, "no certificate in the chain file");
    certificate->expires = certificate_expiry(certificate->leaf);
    certificate->chain = sk_X509_new_null();
    if (!certificate->chain)
        return -ENOMEM;
    while ((next = PEM_read_bio_X509(pem, NULL, no_passphrase, NULL))) {
        if (sk_X509_num(certificate->chain) >= MAX_CHAIN ||
            !sk_X509_push(certificate->chain, next)) {
            X509_free(next);
            return say(fault, "too many certificates in the chain file");
        }
        if (certificate_expiry(next) < certificate->expires)
            certificate->expires = certificate_expiry(next);
    }
    /* The end of the file looks like this; anything else is a broken certificate. */
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
        return say(fault, "a certificate in the chain file is damaged");
    ERR_clear_error();
    return 0;
}

static int read_all(hyperderp_certificate *certificate, BIO *chain, BIO *key, char *fault)
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

hyperderp_certificate *certificate_new(void)
{
    hyperderp_certificate *certificate = memory_calloc(1, sizeof(*certificate));

    if (certificate)
        atomic_init(&certificate->refs, 1);
    return certificate;
}

int hyperderp_certificate_read(hyperderp_certificate **out, const char *chain_pem, size_t chain_len,
                               const char *key_pem, size_t key_len, char *fault)
{
    char ignored[HYPERDERP_FAULT_SIZE];

    if (!out)
        return -EINVAL;
    *out = NULL;
    fault = fault ? fault : ignored;
    fault[0] = '\0';
    if (!chain_pem || !key_pem || chain_len > INT32_MAX || key_len > INT32_MAX)
        return -EINVAL;
    ERR_clear_error();
    hyperderp_certificate *certificate = certificate_new();
    BIO *chain = BIO_new_mem_buf(chain_pem, (int)chain_len);
    BIO *key = BIO_new_mem_buf(key_pem, (int)key_len);
    int error = certificate && chain && key ? read_all(certificate, chain, key, fault) : -ENOMEM;
    BIO_free(chain);
    BIO_free(key);
    if (error)
        hyperderp_certificate_free(certificate);
    else
        *out = certificate;
    return error;
}

/* What a file holds, which may be a secret. */
struct file_text {
    char *bytes;
    size_t len;
};

static void file_text_wipe(struct file_text *text)
{
    if (text->bytes)
        explicit_bzero(text->bytes, text->len);
    memory_free(text->bytes);
}

/* Reads what is there of as many bytes as text has room for. */
static int read_bytes(int fd, struct file_text *text)
{
    size_t room = text->len;
    ssize_t got = 1;

    text->len = 0;
    while (text->len < room && got != 0) {
        got = read(fd, text->bytes + text->len, room - text->len);
        if (got < 0 && errno != EINTR)
            return -errno;
        text->len += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static int read_open_file(int fd, struct file_text *text)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size > MAX_FILE)
        return -EINVAL;
    text->len = (size_t)status.st_size;
    text->bytes = memory_alloc(text->len + 1);
    return text->bytes ? read_bytes(fd, text) : -ENOMEM;
}

static int read_file(const char *name, struct file_text *text, char *fault)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO is none, and not waited for */
    int error = fd < 0 ? -errno : read_open_file(fd, text);

    if (fd >= 0)
        close(fd);
    if (error == -EINVAL)
        snprintf(fault, HYPERDERP_FAULT_SIZE, "%s: not a file of at most 1 MiB", name);
    else if (error)
        snprintf(fault, HYPERDERP_FAULT_SIZE, "%s: %s", name, strerror(-error));
    return error;
}

int hyperderp_certificate_load(hyperderp_certificate **out, const char *chain_file,
                               const char *key_file, char *fault)
{
    char ignored[HYPERDERP_FAULT_SIZE], what[HYPERDERP_FAULT_SIZE] = "";
    struct file_text chain = {0}, key = {0};

    if (!out)
        return -EINVAL;
    *out = NULL;
    fault = fault ? fault : ignored;
    fault[0] = '\0';
    if (!chain_file || !key_file)
        return -EINVAL;
    int error = read_file(chain_file, &chain, fault);
    if (error == 0)
        error = read_file(key_file, &key, fault);
    if (error == 0) {
        error = hyperderp_certificate_read(out, chain.bytes, chain.len, key.bytes, key.len, what);
        if (error == -EINVAL)
            snprintf(fault, HYPERDERP_FAULT_SIZE, "%.60s, %.60s: %.120s", chain_file, key_file,
                     what);
    }
    file_text_wipe(&chain);
    file_text_wipe(&key);
    return error;
}

/* What a memory BIO holds, NUL-terminated, or NULL; the BIO is wiped and freed. */
static char *take_text(BIO *bio)
{
    char *data, *text;
    long len = BIO_get_mem_data(bio, &data);

    text = len > 0 ? memory_calloc(1, (size_t)len + 1) : NULL;
    if (text)
        memcpy(text, data, (size_t)len);
    if (len > 0)
        explicit_bzero(data, (size_t)len);
    BIO_free(bio);
    return text;
}

int hyperderp_certificate_write(const hyperderp_certificate *certificate, char **chain, char **key)
{
    if (chain)
        *chain = NULL;
    if (key)
        *key = NULL;
    if (!certificate || !chain || !key)
        return -EINVAL;
    BIO *certificates = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_secmem());
    bool written = certificates && secret && PEM_write_bio_X509(certificates, certificate->leaf);

    for (int i = 0; written && i < sk_X509_num(certificate->chain); i++)
        written = PEM_write_bio_X509(certificates, sk_X509_value(certificate->chain, i)) == 1;
    written = written &&
              PEM_write_bio_PrivateKey(secret, certificate->key, NULL, NULL, 0, NULL, NULL) == 1;
    *chain = certificates ? take_text(certificates) : NULL;
    *key = secret ? take_text(secret) : NULL;
    if (written && *chain && *key)
        return 0;
    ERR_clear_error();
    hyperderp_pem_free(*chain);
    hyperderp_pem_free(*key);
    *chain = *key = NULL;
    return -ENOMEM;
}

void hyperderp_pem_free(char *pem)
{
    if (pem)
        explicit_bzero(pem, strlen(pem));
    memory_free(pem);
}

hyperderp_certificate *hyperderp_certificate_ref(hyperderp_certificate *certificate)
{
    if (certificate)
        atomic_fetch_add_explicit(&certificate->refs, 1, memory_order_relaxed);
    return certificate;
}

void hyperderp_certificate_free(hyperderp_certificate *certificate)
{
    if (!certificate || atomic_fetch_sub_explicit(&certificate->refs, 1, memory_order_acq_rel) != 1)
        return;
    X509_free(certificate->leaf);
    sk_X509_pop_free(certificate->chain, X509_free);
    EVP_PKEY_free(certificate->key);
    memory_free(certificate);
}

int64_t hyperderp_certificate_expires(const hyperderp_certificate *certificate)
{
    return certificate ? certificate->expires : 0;
}

bool hyperderp_certificate_is_self_signed(const hyperderp_certificate *certificate)
{
    bool is = certificate && X509_self_signed(certificate->leaf, 1) == 1;

    ERR_clear_error();
    return is;
}

bool hyperderp_certificate_covers(const hyperderp_certificate *certificate, const char *host)
{
    if (!certificate || !host)
        return false;
    bool covers = X509_check_host(certificate->leaf, host, 0, 0, NULL) == 1 ||
                  X509_check_ip_asc(certificate->leaf, host, 0) == 1;

    ERR_clear_error();
    return covers;
}

int hyperderp_certificate_hash(const hyperderp_certificate *certificate, uint8_t hash[32])
{
    unsigned len = 32;

    if (!certificate || !hash)
        return -EINVAL;
    return X509_digest(certificate->leaf, EVP_sha256(), hash, &len) == 1 ? 0 : -EIO;
}

bool hyperderp_certificate_equal(const hyperderp_certificate *a, const hyperderp_certificate *b)
{
    if (!a || !b)
        return false;
    int count = sk_X509_num(a->chain);
    bool same = X509_cmp(a->leaf, b->leaf) == 0 && EVP_PKEY_eq(a->key, b->key) == 1 &&
                sk_X509_num(b->chain) == count;

    for (int i = 0; same && i < count; i++)
        same = X509_cmp(sk_X509_value(a->chain, i), sk_X509_value(b->chain, i)) == 0;
    return same;
}
