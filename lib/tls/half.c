/* SPDX-License-Identifier: BSD-3-Clause */
/* One direction's keys. */
#include "tls/half.h"

#include <string.h>

int half_init(struct tls_half *half, const struct tls_suite *suite, const uint8_t *secret)
{
    *half = (struct tls_half){.suite = suite};
    memcpy(half->secret, secret, suite->secret_size);
    return tls_traffic_keys(suite, secret, half->key, half->iv);
}

void half_wipe(struct tls_half *half)
{
    explicit_bzero(half, sizeof(*half));
}

int half_update(struct tls_half *half)
{
    int error = tls_next_secret(half->suite, half->secret);
    if (error == 0)
        error = tls_traffic_keys(half->suite, half->secret, half->key, half->iv);
    half->sequence = 0;
    return error;
}

void half_next_nonce(struct tls_half *half, uint8_t nonce[TLS_IV_SIZE])
{
    memcpy(nonce, half->iv, TLS_IV_SIZE);
    for (unsigned i = 0; i < 8; i++)
        nonce[TLS_IV_SIZE - 1 - i] ^= (uint8_t)(half->sequence >> (8 * i));
    half->sequence++;
}
