/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hello. The input is taken three ways: as a payload that nobody sealed, as the text inside a
 * box that was sealed properly, and as instructions how to spoil such a box.
 */
#include <errno.h>

#include <sodium.h>

#include "fuzz.h"
#include "wire/hello.h"

#define BOX_OVERHEAD (HELLO_NONCE_SIZE + crypto_box_MACBYTES)

static hyperderp_private_key server_private;
static hyperderp_private_key client_private;
static hyperderp_key server_key;
static hyperderp_key client_key;
static struct hello_secret shared;

static void make_keys(void)
{
    static bool made;

    if (made)
        return;
    for (size_t i = 0; i < HYPERDERP_KEY_SIZE; i++) {
        server_private.bytes[i] = (uint8_t)(i * 7 + 1);
        client_private.bytes[i] = (uint8_t)(i * 5 + 3);
    }
    hyperderp_private_key_public(&server_private, &server_key);
    hyperderp_private_key_public(&client_private, &client_key);
    REQUIRE(hello_secret_derive(&shared, &client_private, &server_key) == 0);
    made = true;
}

/* Opens as the relay does. Whatever fails leaves no secret behind. */
static int open_client(const uint8_t *payload, size_t len, struct client_info *info)
{
    struct hello_secret secret;
    hyperderp_key client;

    memset(&secret, 0, sizeof(secret));
    int err = hello_client_info_open(&server_private, payload, len, &client, info, &secret);
    REQUIRE(err == 0 || err == -EBADMSG);
    if (err < 0) {
        REQUIRE(sodium_is_zero(secret.bytes, sizeof(secret.bytes)));
    } else {
        REQUIRE(len >= HYPERDERP_KEY_SIZE + BOX_OVERHEAD && len <= FRAME_MAX_CLIENT_INFO);
        REQUIRE(memcmp(&client, payload, sizeof(client)) == 0);
        REQUIRE(memcmp(&secret, &shared, sizeof(secret)) == 0);
    }
    return err;
}

static void unsealed(const uint8_t *payload, size_t len)
{
    struct client_info client;
    struct server_info server;
    hyperderp_key key;

    open_client(payload, len, &client);
    int err = hello_server_info_open(&shared, payload, len, &server);
    REQUIRE(err == 0 || err == -EBADMSG);
    err = hello_server_key_decode(&key, payload, len);
    bool good = len >= 40 && memcmp(payload, "DERP\xf0\x9f\x94\x91", 8) == 0;
    REQUIRE(err == (good ? 0 : -EBADMSG));
    if (good) {
        uint8_t frame[HELLO_SERVER_KEY_SIZE];
        REQUIRE(hello_server_key_encode(frame, &key) == sizeof(frame));
        REQUIRE(memcmp(frame + FRAME_HEADER_SIZE, payload, 40) == 0);
    }
}

/* Nonce and box around a text, with the nonce taken from the text's own bytes. */
static uint8_t *seal(size_t in_front, const uint8_t *text, size_t len, size_t *size)
{
    *size = in_front + BOX_OVERHEAD + len;
    uint8_t *out = calloc(1, *size);
    REQUIRE(out);
    memcpy(out + in_front, text, len < HELLO_NONCE_SIZE ? len : HELLO_NONCE_SIZE);
    REQUIRE(crypto_box_easy_afternm(out + in_front + HELLO_NONCE_SIZE, text, len, out + in_front,
                                    shared.bytes) == 0);
    return out;
}

/* Changes one bit, never a top one: that of a public key has no meaning (RFC 7748, section 5). */
static void spoil(uint8_t *payload, size_t len, const uint8_t *text, size_t text_len)
{
    size_t at = text_len == 0 ? 0 : ((size_t)text[0] << 8 | text[text_len - 1]) % len;

    payload[at] ^= (uint8_t)(1U << (text_len % 7));
}

static void client_info(const uint8_t *text, size_t len)
{
    struct client_info want;
    struct client_info got;
    uint8_t frame[HELLO_MAX_CLIENT_INFO];
    uint8_t nonce[HELLO_NONCE_SIZE] = {1};
    size_t size;
    uint8_t *payload = seal(HYPERDERP_KEY_SIZE, text, len, &size);

    memcpy(payload, &client_key, HYPERDERP_KEY_SIZE);
    int err = size > FRAME_MAX_CLIENT_INFO ? -EBADMSG : client_info_parse(&want, text, len);
    REQUIRE(open_client(payload, size, &got) == err);
    if (err == 0) {
        ssize_t sealed =
            hello_client_info_seal(&shared, &client_key, nonce, &got, frame, sizeof(frame));
        struct client_info again;

        REQUIRE(sealed > 0);
        REQUIRE(hello_client_info_seal(&shared, &client_key, nonce, &got, frame,
                                       (size_t)sealed - 1) == -ENOSPC);
        REQUIRE(open_client(frame + FRAME_HEADER_SIZE, (size_t)sealed - FRAME_HEADER_SIZE,
                            &again) == 0);
        REQUIRE(again.version == want.version && again.is_prober == want.is_prober &&
                again.can_ack_pings == want.can_ack_pings);
        REQUIRE(strcmp(again.app_name, want.app_name) == 0);
        REQUIRE(again.has_mesh_key == want.has_mesh_key &&
                (!want.has_mesh_key || memcmp(again.mesh_key, want.mesh_key, 32) == 0));
    }
    spoil(payload, size, text, len);
    REQUIRE(open_client(payload, size, &got) == -EBADMSG);
    free(payload);
}

static void server_info(const uint8_t *text, size_t len)
{
    struct server_info want;
    struct server_info got;
    uint8_t frame[HELLO_MAX_SERVER_INFO];
    uint8_t nonce[HELLO_NONCE_SIZE] = {2};
    size_t size;
    uint8_t *payload = seal(0, text, len, &size);

    int err = size > HELLO_MAX_SERVER_INFO ? -EBADMSG : server_info_parse(&want, text, len);
    REQUIRE(hello_server_info_open(&shared, payload, size, &got) == err);
    if (err == 0) {
        ssize_t sealed = hello_server_info_seal(&shared, nonce, &got, frame, sizeof(frame));
        struct server_info again;

        REQUIRE(sealed > 0);
        REQUIRE(hello_server_info_open(&shared, frame + FRAME_HEADER_SIZE,
                                       (size_t)sealed - FRAME_HEADER_SIZE, &again) == 0);
        REQUIRE(again.version == want.version &&
                again.token_bucket_bytes_burst == want.token_bucket_bytes_burst &&
                again.token_bucket_bytes_per_second == want.token_bucket_bytes_per_second);
    }
    spoil(payload, size, text, len);
    REQUIRE(hello_server_info_open(&shared, payload, size, &got) == -EBADMSG);
    free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *text = fuzz_copy(data, size);

    make_keys();
    unsealed(text, size);
    client_info(text, size);
    server_info(text, size);
    free(text);
    return 0;
}
