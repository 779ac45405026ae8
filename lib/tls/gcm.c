/* SPDX-License-Identifier: BSD-3-Clause */
/* AES-GCM of libipsec-mb. */
#ifdef HAVE_IPSEC_MB

#include "tls/gcm.h"

#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

#include "memory/memory.h"

/* The library's functions for one size of key, as the processor has them. */
struct calls {
    aes_gcm_pre_t set_key;
    aes_gcm_init_t begin;
    aes_gcm_enc_dec_update_t encrypt;
    aes_gcm_enc_dec_finalize_t end;
    aes_gcm_enc_dec_t open;
};

/* The library reads expanded keys by whole vectors. */
#define VECTOR 64

struct gcm {
    _Alignas(VECTOR) struct gcm_key_data key;
    _Alignas(VECTOR) struct gcm_context_data context;
    const struct calls *calls;
};

/* What the processor can do does not change: looked up once in a process, and constant then. */
static struct calls calls_128, calls_256;
static bool found;
static pthread_once_t looked_up = PTHREAD_ONCE_INIT;

/* Whether an address is in a range. */
static bool is_within(uintptr_t address, uintptr_t begin, uintptr_t end)
{
    return address >= begin && address < end;
}

/* Lets go of the code of the library that a function is of, which is read from its file again where
 * it is needed. Not of our own, if both are one: there somebody may have set breakpoints. */
static int let_go_of_code(struct dl_phdr_info *object, size_t size, void *function)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + part->p_vaddr, end = begin + part->p_filesz;
        if (part->p_type != PT_LOAD || part->p_flags != (PF_R | PF_X) ||
            !is_within((uintptr_t)function, begin, end))
            continue;
        if (is_within((uintptr_t)let_go_of_code, begin, end))
            return 1;
        begin &= ~(page - 1);
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
        return 1;
    }
    return 0;
}

static void look_up(void)
{
    IMB_MGR *manager = alloc_mb_mgr(0);
    IMB_ARCH arch = IMB_ARCH_NONE;

    if (!manager)
        return;
    init_mb_mgr_auto(manager, &arch);
    calls_128 =
        (struct calls){manager->gcm128_pre, manager->gcm128_init, manager->gcm128_enc_update,
                       manager->gcm128_enc_finalize, manager->gcm128_dec};
    calls_256 =
        (struct calls){manager->gcm256_pre, manager->gcm256_init, manager->gcm256_enc_update,
                       manager->gcm256_enc_finalize, manager->gcm256_dec};
    /* Below AVX2 it is not faster than OpenSSL. */
    found = (arch == IMB_ARCH_AVX2 || arch == IMB_ARCH_AVX512) &&
            (manager->features & IMB_FEATURE_SELF_TEST_PASS) != 0;
    /* Its test of itself has read 3 MiB of its code, of which a few pages are used from here on. */
    (void)dl_iterate_phdr(let_go_of_code, (void *)(uintptr_t)manager->gcm128_enc);
    free_mb_mgr(manager);
}

static const struct calls *calls_of(const struct tls_suite *suite)
{
    if (suite->id == TLS_AES_128_GCM)
        return &calls_128;
    return suite->id == TLS_AES_256_GCM ? &calls_256 : NULL;
}

bool gcm_works(void)
{
    pthread_once(&looked_up, look_up);
    return found;
}

struct gcm *gcm_new(const struct tls_suite *suite)
{
    const struct calls *calls = calls_of(suite);

    struct gcm *gcm = calls && gcm_works() ? memory_aligned_alloc(VECTOR, sizeof(*gcm)) : NULL;
    if (!gcm)
        return NULL;
    memset(gcm, 0, sizeof(*gcm));
    gcm->calls = calls;
    return gcm;
}

void gcm_free(struct gcm *gcm)
{
    if (!gcm)
        return;
    explicit_bzero(gcm, sizeof(*gcm));
    memory_aligned_free(gcm);
}

void gcm_set_key(struct gcm *gcm, const uint8_t *key)
{
    gcm->calls->set_key(key, &gcm->key);
}

void gcm_seal(struct gcm *gcm, const uint8_t nonce[TLS_IV_SIZE],
              const uint8_t header[TLS_HEADER_SIZE], const struct iovec *pieces, unsigned count,
              uint8_t type, uint8_t *out)
{
    const struct calls *calls = gcm->calls;

    calls->begin(&gcm->key, &gcm->context, nonce, header, TLS_HEADER_SIZE);
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].iov_len == 0)
            continue;
        calls->encrypt(&gcm->key, &gcm->context, out, pieces[i].iov_base, pieces[i].iov_len);
        out += pieces[i].iov_len;
    }
    calls->encrypt(&gcm->key, &gcm->context, out, &type, 1);
    calls->end(&gcm->key, &gcm->context, out + 1, TLS_TAG_SIZE);
}

bool gcm_open(struct gcm *gcm, const uint8_t nonce[TLS_IV_SIZE], uint8_t *record, size_t len)
{
    uint8_t *body = record + TLS_HEADER_SIZE, tag[TLS_TAG_SIZE];

    gcm->calls->open(&gcm->key, &gcm->context, body, body, len, nonce, record, TLS_HEADER_SIZE, tag,
                     sizeof(tag));
    return CRYPTO_memcmp(tag, body + len, sizeof(tag)) == 0;
}

#else
/* ISO C wants something in a file. */
typedef int gcm_is_left_to_openssl;
#endif
