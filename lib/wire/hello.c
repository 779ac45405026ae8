/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ServerKey, ClientInfo and ServerInfo frames. A sealed payload is a nonce of 24 bytes and a box;
 * ClientInfo has the client's public key in front. What was decrypted, and the secret of an attempt
 * that failed, are wiped.
 */
#include "wire/hello.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#define BOX_OVERHEAD (HELLO_NONCE_SIZE + crypto_box_MACBYTES)

_Static_assert(HELLO_NONCE_SIZE == crypto_box_NONCEBYTES, "nonce of a box");
_Static_assert(sizeof(struct hello_secret) == crypto_box_BEFORENMBYTES, "shared secret");

/* "DERP" and U+1F511, a key. */
static const uint8_t magic[8] = {0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91};

int hello_secret_derive(struct hello_secret *out, const hyperderp_private_key *own,
                        const hyperderp_key *other)
{
    if (crypto_box_beforenm(out->bytes, other->bytes, own->bytes) != 0) {
        hello_secret_wipe(out);
        return -EBADMSG;
    }
    return 0;
}

void hello_secret_wipe(struct hello_secret *secret)
{
    sodium_memzero(secret->bytes, sizeof(secret->bytes));
}

size_t hello_server_key_encode(uint8_t *out, const hyperderp_key *server)
{
    frame_header_encode(out, FRAME_SERVER_KEY, HELLO_SERVER_KEY_SIZE - FRAME_HEADER_SIZE);
    memcpy(out + FRAME_HEADER_SIZE, magic, sizeof(magic));
    memcpy(out + FRAME_HEADER_SIZE + sizeof(magic), server->bytes, HYPERDERP_KEY_SIZE);
    return HELLO_SERVER_KEY_SIZE;
}

int hello_server_key_decode(hyperderp_key *server, const uint8_t *payload, size_t len)
{
    if (len < sizeof(magic) + HYPERDERP_KEY_SIZE || memcmp(payload, magic, sizeof(magic)) != 0)
        return -EBADMSG;
    memcpy(server->bytes, payload + sizeof(magic), HYPERDERP_KEY_SIZE);
    return 0;
}

/* Opens a nonce and a box, of at least BOX_OVERHEAD bytes; text has room for len - BOX_OVERHEAD. */
static int box_open(const struct hello_secret *secret, const uint8_t *sealed, size_t len,
                    uint8_t *text)
{
    const uint8_t *box = sealed + HELLO_NONCE_SIZE;

    if (crypto_box_open_easy_afternm(text, box, len - HELLO_NONCE_SIZE, sealed, secret->bytes) != 0)
        return -EBADMSG;
    return 0;
}

/* Writes nonce and box, len + BOX_OVERHEAD bytes. */
static void box_seal(const struct hello_secret *secret, const uint8_t nonce[HELLO_NONCE_SIZE],
                     const uint8_t *text, size_t len, uint8_t *out)
{
    memcpy(out, nonce, HELLO_NONCE_SIZE);
    /* Fails only for texts of many gigabytes. */
    (void)crypto_box_easy_afternm(out + HELLO_NONCE_SIZE, text, len, nonce, secret->bytes);
}

int hello_client_info_open(const hyperderp_private_key *server, const uint8_t *payload, size_t len,
                           hyperderp_key *client, struct client_info *info,
                           struct hello_secret *secret)
{
    uint8_t text[FRAME_MAX_CLIENT_INFO];
    hyperderp_key key;

    if (len < HYPERDERP_KEY_SIZE + BOX_OVERHEAD || len > FRAME_MAX_CLIENT_INFO)
        return -EBADMSG;
    memcpy(key.bytes, payload, HYPERDERP_KEY_SIZE);

    const uint8_t *sealed = payload + HYPERDERP_KEY_SIZE;
    size_t sealed_len = len - HYPERDERP_KEY_SIZE;
    int err = hello_secret_derive(secret, server, &key);
    if (err < 0)
        return err;
    err = box_open(secret, sealed, sealed_len, text);
    if (err == 0)
        err = client_info_parse(info, text, sealed_len - BOX_OVERHEAD);
    sodium_memzero(text, sealed_len - BOX_OVERHEAD);
    if (err < 0)
        hello_secret_wipe(secret);
    else
        *client = key;
    return err;
}

ssize_t hello_client_info_seal(const struct hello_secret *secret, const hyperderp_key *client,
                               const uint8_t nonce[HELLO_NONCE_SIZE],
                               const struct client_info *info, uint8_t *out, size_t room)
{
    uint8_t text[HELLO_MAX_CLIENT_INFO];
    ssize_t size = client_info_format(info, text, sizeof(text));

    if (size >= 0) {
        size_t payload = HYPERDERP_KEY_SIZE + BOX_OVERHEAD + (size_t)size;

        if (FRAME_HEADER_SIZE + payload <= room) {
            frame_header_encode(out, FRAME_CLIENT_INFO, (uint32_t)payload);
            memcpy(out + FRAME_HEADER_SIZE, client->bytes, HYPERDERP_KEY_SIZE);
            box_seal(secret, nonce, text, (size_t)size,
                     out + FRAME_HEADER_SIZE + HYPERDERP_KEY_SIZE);
            size = (ssize_t)(FRAME_HEADER_SIZE + payload);
        } else {
            size = -ENOSPC;
        }
    }
    sodium_memzero(text, sizeof(text)); /* the mesh key was in it */
    return size;
}

int hello_server_info_open(const struct hello_secret *secret, const uint8_t *payload, size_t len,
                           struct server_info *info)
{
    uint8_t text[HELLO_MAX_SERVER_INFO];

    if (len < BOX_OVERHEAD || len > HELLO_MAX_SERVER_INFO)
        return -EBADMSG;
    int err = box_open(secret, payload, len, text);
    if (err < 0)
        return err;
    err = server_info_parse(info, text, len - BOX_OVERHEAD);
    sodium_memzero(text, sizeof(text));
    return err;
}

ssize_t hello_server_info_seal(const struct hello_secret *secret,
                               const uint8_t nonce[HELLO_NONCE_SIZE],
                               const struct server_info *info, uint8_t *out, size_t room)
{
    uint8_t text[HELLO_MAX_SERVER_INFO];
    ssize_t size = server_info_format(info, text, sizeof(text));

    if (size < 0)
        return size;

    size_t payload = BOX_OVERHEAD + (size_t)size;
    if (FRAME_HEADER_SIZE + payload > room)
        return -ENOSPC;
    frame_header_encode(out, FRAME_SERVER_INFO, (uint32_t)payload);
    box_seal(secret, nonce, text, (size_t)size, out + FRAME_HEADER_SIZE);
    return (ssize_t)(FRAME_HEADER_SIZE + payload);
}
