/* SPDX-License-Identifier: BSD-3-Clause */
/* Our own library context. */
#include "tls/library.h"

#include <pthread.h>

#include <openssl/evp.h>
#include <openssl/provider.h>

#include "tls/key_schedule.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *library;
static EVP_MD *sha256, *sha384;

static void make(void)
{
    OSSL_LIB_CTX *made = OSSL_LIB_CTX_new();

    if (!made)
        return;
    if (OSSL_PROVIDER_add_builtin(made, "hyperderp", key_schedule_provide) != 1 ||
        !OSSL_PROVIDER_load(made, "default") || !OSSL_PROVIDER_load(made, "hyperderp")) {
        OSSL_LIB_CTX_free(made);
        return;
    }
    sha256 = EVP_MD_fetch(made, "SHA2-256", NULL);
    sha384 = EVP_MD_fetch(made, "SHA2-384", NULL);
    library = made;
}

OSSL_LIB_CTX *tls_library(void)
{
    return pthread_once(&once, make) == 0 ? library : NULL;
}

const EVP_MD *tls_library_sha256(void)
{
    return tls_library() ? sha256 : NULL;
}

const EVP_MD *tls_library_sha384(void)
{
    return tls_library() ? sha384 : NULL;
}
