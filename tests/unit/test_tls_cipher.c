/* SPDX-License-Identifier: BSD-3-Clause */
/* The ciphers of records against each other: whichever this build and processor have seals and
 * opens exactly what OpenSSL's does, for each size and however the content lies in pieces. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls/cipher.h"
#include "tls/gcm.h"
#include "tls/half.h"

#define MAX_PIECES 5

static const uint8_t header[TLS_HEADER_SIZE] = {TLS_CONTENT_DATA, 3, 3, 1, 2};

/* One side's view of the same direction: the same keys, a cipher of its own. */
struct side {
    struct tls_ciphers ciphers;
    struct tls_half half;
    uint8_t record[TLS_MAX_RECORD];
};

struct sides {
    struct side openssl, here;
    uint8_t content[TLS_MAX_PLAINTEXT + 1];
    uint64_t random;
};

static unsigned draw(struct sides *sides, unsigned below)
{
    sides->random = sides->random * 6364136223846793005 + 1442695040888963407;
    return (unsigned)(sides->random >> 33) % below;
}

static struct sides *new_sides(uint16_t suite)
{
    struct sides *sides = calloc(1, sizeof(*sides));
    uint8_t secret[TLS_MAX_SECRET];

    assert_non_null(sides);
    sides->random = suite;
    for (size_t i = 0; i < sizeof(secret); i++)
        secret[i] = (uint8_t)draw(sides, 256);
    for (size_t i = 0; i < sizeof(sides->content); i++)
        sides->content[i] = (uint8_t)draw(sides, 256);
    sides->openssl.ciphers.openssl_alone = true;
    assert_int_equal(half_init(&sides->openssl.half, tls_suite_find(suite), secret), 0);
    assert_int_equal(half_init(&sides->here.half, tls_suite_find(suite), secret), 0);
    return sides;
}

static void free_sides(struct sides *sides)
{
    tls_ciphers_wipe(&sides->openssl.ciphers);
    tls_ciphers_wipe(&sides->here.ciphers);
    free(sides);
}

static void seal_side(struct side *side, const struct iovec *pieces, unsigned count)
{
    memcpy(side->record, header, sizeof(header));
    assert_int_equal(cipher_seal(&side->ciphers, &side->half, header, pieces, count,
                                 TLS_CONTENT_DATA, side->record + TLS_HEADER_SIZE),
                     0);
}

/* Cuts the content into pieces, of which some are empty. */
static unsigned cut(struct sides *sides, size_t len, struct iovec pieces[MAX_PIECES])
{
    unsigned count = 1 + draw(sides, MAX_PIECES);
    size_t at = 0;

    for (unsigned i = 0; i < count; i++) {
        size_t part = i + 1 == count ? len - at : draw(sides, (unsigned)(len - at) + 1);
        pieces[i] = (struct iovec){.iov_base = sides->content + at, .iov_len = part};
        at += part;
    }
    return count;
}

/* Seals by both, compares, and lets each open what the other has sealed. */
static void check(struct sides *sides, size_t len)
{
    struct iovec pieces[MAX_PIECES];
    unsigned count = cut(sides, len, pieces);
    size_t inner = len + 1, size = TLS_HEADER_SIZE + inner + TLS_TAG_SIZE;
    struct side *const both[] = {&sides->openssl, &sides->here};

    seal_side(&sides->openssl, pieces, count);
    seal_side(&sides->here, pieces, count);
    assert_memory_equal(sides->here.record, sides->openssl.record, size);
    for (unsigned i = 0; i < 2; i++) {
        both[i]->half.sequence--;
        assert_int_equal(cipher_open(&both[i]->ciphers, &both[i]->half, both[i]->record, inner), 0);
        assert_memory_equal(both[i]->record + TLS_HEADER_SIZE, sides->content, len);
        assert_int_equal(both[i]->record[TLS_HEADER_SIZE + len], TLS_CONTENT_DATA);
    }
}

static void both_seal_alike(void **state)
{
    (void)state;
    for (unsigned suite = 0x1301; suite <= 0x1303; suite++) {
        struct sides *sides = new_sides((uint16_t)suite);
        for (size_t len = 0; len <= 2100; len++)
            check(sides, len);
        for (size_t len = TLS_MAX_PLAINTEXT - 300; len <= TLS_MAX_PLAINTEXT; len++)
            check(sides, len);
        for (unsigned i = 0; i < 2000; i++)
            check(sides, draw(sides, TLS_MAX_PLAINTEXT + 1));
        free_sides(sides);
    }
}

/* As a drainer does that seals in place: the content is where its record's body will be. */
static void the_only_piece_may_be_the_place_itself(void **state)
{
    (void)state;
    struct sides *sides = new_sides(0x1301);

    for (size_t len = 0; len <= 600; len++) {
        struct side *side = &sides->here;
        const struct iovec apart = {.iov_base = sides->content, .iov_len = len};
        const struct iovec inside = {.iov_base = side->record + TLS_HEADER_SIZE, .iov_len = len};
        seal_side(&sides->openssl, &apart, 1);
        memcpy(inside.iov_base, sides->content, len);
        seal_side(side, &inside, 1);
        assert_memory_equal(side->record, sides->openssl.record,
                            TLS_HEADER_SIZE + len + 1 + TLS_TAG_SIZE);
    }
    free_sides(sides);
}

/* A changed bit of header, body or tag, a wrong number: none of it is authentic. */
static void what_was_changed_is_not_opened(void **state)
{
    (void)state;
    for (unsigned suite = 0x1301; suite <= 0x1303; suite++) {
        struct sides *sides = new_sides((uint16_t)suite);
        struct side *side = &sides->here;
        const struct iovec piece = {.iov_base = sides->content, .iov_len = 40};
        size_t size = TLS_HEADER_SIZE + 41 + TLS_TAG_SIZE;
        for (size_t bit = 0; bit < 8 * size; bit++) {
            seal_side(side, &piece, 1);
            side->half.sequence--;
            side->record[bit / 8] ^= (uint8_t)(1 << (bit % 8));
            assert_int_equal(cipher_open(&side->ciphers, &side->half, side->record, 41), -EBADMSG);
        }
        seal_side(side, &piece, 1); /* and the sequence number has gone on */
        assert_int_equal(cipher_open(&side->ciphers, &side->half, side->record, 41), -EBADMSG);
        free_sides(sides);
    }
}

/* A thread's context goes from half to half. */
static void each_half_is_sealed_under_its_own_key(void **state)
{
    (void)state;
    struct sides *one = new_sides(0x1301), *other = new_sides(0x1301);
    const uint8_t secret[TLS_MAX_SECRET] = {9};

    assert_int_equal(half_init(&other->openssl.half, other->openssl.half.suite, secret), 0);
    other->here.half = other->openssl.half;
    for (unsigned i = 0; i < 200; i++) {
        struct sides *now = draw(one, 2) ? one : other;
        const struct iovec piece = {.iov_base = now->content, .iov_len = 1400};
        seal_side(&now->openssl, &piece, 1);
        memcpy(now->here.record, header, sizeof(header));
        assert_int_equal(cipher_seal(&one->here.ciphers, &now->here.half, header, &piece, 1,
                                     TLS_CONTENT_DATA, now->here.record + TLS_HEADER_SIZE),
                         0);
        assert_memory_equal(now->here.record, now->openssl.record, 1400 + TLS_OVERHEAD);
    }
    free_sides(one);
    free_sides(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_seal_alike),
        cmocka_unit_test(the_only_piece_may_be_the_place_itself),
        cmocka_unit_test(what_was_changed_is_not_opened),
        cmocka_unit_test(each_half_is_sealed_under_its_own_key),
    };
    struct gcm *gcm = gcm_new(tls_suite_find(TLS_AES_128_GCM));

    printf("AES-GCM here is %s\n", gcm ? "libipsec-mb's" : "OpenSSL's: both sides are the same");
    gcm_free(gcm);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
