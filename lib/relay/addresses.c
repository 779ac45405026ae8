/* SPDX-License-Identifier: BSD-3-Clause */
/* A chained hash table that doubles as it fills. */
#include "relay/addresses.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "memory/memory.h"
#include "wire/ip_text.h"

#define FIRST_BUCKETS 64

/* Of an IPv6 address, these bytes tell the network. */
#define NETWORK_BYTES 8

struct address {
    struct address *chain;
    uint64_t hash;
    uint8_t bytes[16];
    unsigned connections;
};

void addresses_init(struct addresses *addresses)
{
    *addresses = (struct addresses){0};
    randombytes_buf(addresses->hash_key, sizeof(addresses->hash_key));
    pthread_mutex_init(&addresses->lock, NULL);
}

void addresses_destroy(struct addresses *addresses)
{
    for (unsigned i = 0; i < addresses->bucket_count; i++) {
        for (struct address *address = addresses->buckets[i], *next; address; address = next) {
            next = address->chain;
            memory_free(address);
        }
    }
    memory_free(addresses->buckets);
    pthread_mutex_destroy(&addresses->lock);
    sodium_memzero(addresses->hash_key, sizeof(addresses->hash_key));
}

/* Writes an address, or of IPv6 its network. False for what is no IP address. */
static bool read_address(const struct endpoint *from, uint8_t out[16])
{
    if (from->kind != ENDPOINT_IP)
        return false;
    memset(out, 0, 16);
    memcpy(out, from->ip, ip_is_v4(from->ip) ? 16 : NETWORK_BYTES);
    return true;
}

/* Needs the lock. Without memory to grow, a table that exists stays as it is: slower, not wrong. */
static bool grow(struct addresses *addresses)
{
    if (addresses->count < addresses->bucket_count)
        return true;
    unsigned count = addresses->bucket_count ? addresses->bucket_count * 2 : FIRST_BUCKETS;
    struct address **buckets = memory_calloc(count, sizeof(*buckets));
    if (!buckets)
        return addresses->bucket_count > 0;
    for (unsigned i = 0; i < addresses->bucket_count; i++) {
        for (struct address *address = addresses->buckets[i], *next; address; address = next) {
            next = address->chain;
            struct address **bucket = &buckets[address->hash & (count - 1)];
            address->chain = *bucket;
            *bucket = address;
        }
    }
    memory_free(addresses->buckets);
    addresses->buckets = buckets;
    addresses->bucket_count = count;
    return true;
}

/* Needs the lock. */
static struct address *add(struct addresses *addresses, const uint8_t bytes[16], uint64_t hash)
{
    struct address *address = grow(addresses) ? memory_calloc(1, sizeof(*address)) : NULL;

    if (!address)
        return NULL;
    struct address **bucket = &addresses->buckets[hash & (addresses->bucket_count - 1)];
    address->chain = *bucket;
    address->hash = hash;
    memcpy(address->bytes, bytes, sizeof(address->bytes));
    *bucket = address;
    addresses->count++;
    return address;
}

/* Needs the lock. */
static struct address *find(const struct addresses *addresses, const uint8_t bytes[16],
                            uint64_t hash)
{
    if (addresses->bucket_count == 0)
        return NULL;
    struct address *address = addresses->buckets[hash & (addresses->bucket_count - 1)];
    while (address && memcmp(address->bytes, bytes, sizeof(address->bytes)) != 0)
        address = address->chain;
    return address;
}

int addresses_enter(struct addresses *addresses, const struct endpoint *from, unsigned most,
                    struct address **out)
{
    uint8_t bytes[16];
    uint64_t hash;
    int error = 0;

    *out = NULL;
    if (!read_address(from, bytes))
        return 0;
    crypto_shorthash((unsigned char *)&hash, bytes, sizeof(bytes), addresses->hash_key);
    pthread_mutex_lock(&addresses->lock);
    struct address *address = find(addresses, bytes, hash);
    if (address && most > 0 && address->connections >= most)
        error = -EUSERS;
    else if (!address && !(address = add(addresses, bytes, hash)))
        error = -ENOMEM;
    if (error == 0) {
        address->connections++;
        *out = address;
    }
    pthread_mutex_unlock(&addresses->lock);
    return error;
}

void addresses_leave(struct addresses *addresses, struct address *address)
{
    if (!address)
        return;
    pthread_mutex_lock(&addresses->lock);
    if (--address->connections == 0) {
        struct address **at = &addresses->buckets[address->hash & (addresses->bucket_count - 1)];
        while (*at != address)
            at = &(*at)->chain;
        *at = address->chain;
        addresses->count--;
        memory_free(address);
    }
    pthread_mutex_unlock(&addresses->lock);
}
