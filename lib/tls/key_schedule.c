/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TLS13-KDF as a provider's algorithm. As EVP_KDF-TLS13_KDF(7) says, all parameters come with each
 * derivation: nothing is kept in between, so that one context does for all.
 */
#include "tls/key_schedule.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "tls/hkdf.h"
#include "tls/library.h"

static _Thread_local struct tls_secrets *watched;

void key_schedule_watch(struct tls_secrets *secrets)
{
    watched = secrets;
}

void key_schedule_forget(struct tls_secrets *secrets)
{
    EVP_MD_CTX_free(secrets->hashing);
    explicit_bzero(secrets, sizeof(*secrets));
}

/* What a derivation is asked for. */
struct request {
    EVP_MD_CTX *hashing;
    int mode;
    const EVP_MD *hash;
    size_t hash_size;
    struct octets key, salt;
    struct hkdf_label label;
};

/* ---- The derivations ---- */

/* Derive-Secret(secret, label, "") is what the next extraction is salted with. */
static bool derive_salt(const struct request *request, uint8_t *salt)
{
    struct hkdf_label label = request->label;
    uint8_t empty[EVP_MAX_MD_SIZE];

    if (EVP_DigestInit_ex(request->hashing, request->hash, NULL) != 1 ||
        EVP_DigestFinal_ex(request->hashing, empty, NULL) != 1)
        return false;
    label.data = (struct octets){empty, request->hash_size};
    return hkdf_expand_label(request->hashing, request->hash, request->salt, &label, salt,
                             request->hash_size) == 0;
}

/* One row of the diagram in section 7.1: without a secret of the row above, or without a shared
 * one, zeros take its place. */
static bool extract(const struct request *request, uint8_t *out, size_t size)
{
    uint8_t salt[EVP_MAX_MD_SIZE] = {0}, zeros[EVP_MAX_MD_SIZE] = {0};
    struct octets key =
        request->key.bytes ? request->key : (struct octets){zeros, request->hash_size};

    if (size != request->hash_size || (request->salt.bytes && !derive_salt(request, salt)))
        return false;
    bool done = hmac_once(request->hashing, request->hash, salt, request->hash_size, key.bytes,
                          key.len, out) == 0;
    explicit_bzero(salt, sizeof(salt));
    return done;
}

static bool label_is(const struct request *request, const char *label)
{
    return request->label.name.len == strlen(label) &&
           memcmp(request->label.name.bytes, label, request->label.name.len) == 0;
}

static void note_secret(const struct request *request, const uint8_t *secret, size_t size)
{
    if (!watched || size > TLS_MAX_SECRET)
        return;
    if (label_is(request, "c ap traffic")) {
        memcpy(watched->client, secret, size);
        watched->has_client = true;
    } else if (label_is(request, "s ap traffic")) {
        memcpy(watched->server, secret, size);
        watched->has_server = true;
    }
}

static bool derive_one(const struct request *request, uint8_t *out, size_t size)
{
    if (request->mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
        return extract(request, out, size);
    if (request->mode != EVP_KDF_HKDF_MODE_EXPAND_ONLY ||
        hkdf_expand_label(request->hashing, request->hash, request->key, &request->label, out,
                          size) != 0)
        return false;
    note_secret(request, out, size);
    return true;
}

/* ---- What OpenSSL asks ---- */

static bool read_mode(const OSSL_PARAM *param, int *mode)
{
    const char *name;

    if (param->data_type == OSSL_PARAM_INTEGER)
        return OSSL_PARAM_get_int(param, mode) == 1;
    if (OSSL_PARAM_get_utf8_string_ptr(param, &name) != 1)
        return false;
    *mode = strcmp(name, "EXTRACT_ONLY") == 0  ? EVP_KDF_HKDF_MODE_EXTRACT_ONLY
            : strcmp(name, "EXPAND_ONLY") == 0 ? EVP_KDF_HKDF_MODE_EXPAND_ONLY
                                               : -1;
    return *mode >= 0;
}

static const EVP_MD *find_hash(const char *name)
{
    static const char *const names[] = {"SHA2-256", "SHA256", "SHA2-384", "SHA384"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return i < 2 ? tls_library_sha256() : tls_library_sha384();
    return NULL;
}

static bool read_hash(const OSSL_PARAM *param, struct request *request)
{
    if (param->data_type != OSSL_PARAM_UTF8_STRING || !param->data)
        return false;
    request->hash = find_hash(param->data);
    if (request->hash)
        request->hash_size = (size_t)EVP_MD_get_size(request->hash);
    return request->hash != NULL;
}

static struct octets *find_octets(struct request *request, const char *key)
{
    const struct {
        const char *key;
        struct octets *octets;
    } all[] = {
        {OSSL_KDF_PARAM_KEY, &request->key},
        {OSSL_KDF_PARAM_SALT, &request->salt},
        {OSSL_KDF_PARAM_PREFIX, &request->label.prefix},
        {OSSL_KDF_PARAM_LABEL, &request->label.name},
        {OSSL_KDF_PARAM_DATA, &request->label.data},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(key, all[i].key) == 0)
            return all[i].octets;
    return NULL;
}

static bool read_request(const OSSL_PARAM *param, struct request *request)
{
    for (; param && param->key; param++) {
        struct octets *octets = find_octets(request, param->key);
        const void *bytes;

        if (octets && OSSL_PARAM_get_octet_string_ptr(param, &bytes, &octets->len) == 1)
            octets->bytes = bytes;
        else if (octets)
            return false;
        else if (strcmp(param->key, OSSL_KDF_PARAM_MODE) == 0 && !read_mode(param, &request->mode))
            return false;
        else if (strcmp(param->key, OSSL_KDF_PARAM_DIGEST) == 0 && !read_hash(param, request))
            return false;
    }
    return request->mode >= 0 && request->hash;
}

static int derive(void *context, unsigned char *out, size_t size, const OSSL_PARAM *params)
{
    struct request request = {.mode = -1};
    struct tls_secrets own = {0}, *secrets = watched ? watched : &own;

    (void)context;
    if (!secrets->hashing)
        secrets->hashing = EVP_MD_CTX_new();
    request.hashing = secrets->hashing;
    bool done =
        request.hashing && read_request(params, &request) && derive_one(&request, out, size);
    key_schedule_forget(&own);
    return done ? 1 : 0;
}

/* ---- The provider ---- */

static void *new_context(void *provider)
{
    return provider;
}

static void free_context(void *context)
{
    (void)context;
}

/* The function of a dispatch table, whose type OpenSSL knows by its number. */
#define FUNCTION(function) ((void (*)(void))(function))

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_KDF_NEWCTX, FUNCTION(new_context)},
        {OSSL_FUNC_KDF_FREECTX, FUNCTION(free_context)},
        {OSSL_FUNC_KDF_DERIVE, FUNCTION(derive)},
        {0, NULL},
    };
    static const OSSL_ALGORITHM algorithms[] = {
        {"TLS13-KDF", "provider=hyperderp", functions, "the TLS 1.3 key schedule"},
        {NULL, NULL, NULL, NULL},
    };

    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_KDF ? algorithms : NULL;
}

int key_schedule_provide(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *offered,
                         const OSSL_DISPATCH **functions, void **provider)
{
    static const OSSL_DISPATCH own[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, FUNCTION(query)},
        {0, NULL},
    };
    static char something; /* an address that is not NULL: there is nothing to keep */

    (void)handle, (void)offered;
    *functions = own;
    *provider = &something;
    return 1;
}
