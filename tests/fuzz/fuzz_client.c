/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The public client: the input is what a relay says, from the first byte on or, as it could not
 * seal a ServerInfo, behind a good hello. The first byte of the input decides which, and in what
 * parts the rest comes. Whatever that is, the client has messages, waits, or ends with words.
 */
#include <errno.h>

#include <hyperderp/client.h>

#include "fuzz.h"
#include "wire/hello.h"

static hyperderp_private_key server_private, client_private;
static hyperderp_key server_key, client_key;
static struct hello_secret shared;

static void make_keys(void)
{
    if (server_private.bytes[0] != 0)
        return;
    for (size_t i = 0; i < HYPERDERP_KEY_SIZE; i++) {
        server_private.bytes[i] = (uint8_t)(i * 7 + 1);
        client_private.bytes[i] = (uint8_t)(i * 5 + 3);
    }
    hyperderp_private_key_public(&server_private, &server_key);
    hyperderp_private_key_public(&client_private, &client_key);
    REQUIRE(hello_secret_derive(&shared, &server_private, &client_key) == 0);
}

static hyperderp_client *make_client(bool fast_start)
{
    hyperderp_client_options options;
    hyperderp_client *client;

    hyperderp_client_options_init(&options);
    options.private_key = client_private;
    options.security = HYPERDERP_CLIENT_PLAIN;
    options.host = "relay.example";
    options.fast_start = fast_start;
    options.server_key = server_key;
    REQUIRE(hyperderp_client_new(&client, &options) == 0);
    return client;
}

/* What a client does with all that it can know: nothing is sent behind the end. */
static void look(hyperderp_client *client, int error)
{
    static const uint8_t data[HYPERDERP_PING_SIZE];
    const void *bytes;
    size_t len;

    REQUIRE((*hyperderp_client_fault(client) != '\0') == (error < 0 && error != -EAGAIN));
    int sent = hyperderp_client_pong(client, data);
    REQUIRE(error == -EAGAIN ? sent == 0 || sent == -EAGAIN || sent == -ENOBUFS : sent == error);
    REQUIRE(hyperderp_client_output(client, &bytes, &len) == 0);
    REQUIRE(len <= 262144);
    REQUIRE(hyperderp_client_consumed(client, len) == 0);
}

/* Takes all messages; returns how that ended. */
static int take(hyperderp_client *client)
{
    const hyperderp_message *message;
    uint8_t sum = 0;
    int error;

    while ((error = hyperderp_client_next(client, &message)) == 0) {
        REQUIRE(message->size == sizeof(*message));
        REQUIRE(message->type <= HYPERDERP_MESSAGE_OTHER);
        REQUIRE(message->len == 0 || message->payload != NULL);
        REQUIRE(message->type != HYPERDERP_MESSAGE_PACKET || message->len <= HYPERDERP_MAX_PACKET);
        REQUIRE(message->type != HYPERDERP_MESSAGE_PING || message->len == HYPERDERP_PING_SIZE);
        for (size_t i = 0; i < message->len; i++)
            sum ^= message->payload[i]; /* each byte is there */
    }
    REQUIRE(message == NULL);
    REQUIRE(error == -EAGAIN || error == -EPROTO || error == -ECONNREFUSED || error == -EPIPE);
    (void)sum;
    look(client, error);
    return error;
}

static void join(hyperderp_client *client)
{
    static const uint8_t nonce[HELLO_NONCE_SIZE] = {7};
    const struct server_info info = {.version = DERP_PROTOCOL_VERSION};
    uint8_t frame[HELLO_MAX_SERVER_INFO];

    REQUIRE(hyperderp_client_input(client, frame, hello_server_key_encode(frame, &server_key)) ==
            0);
    ssize_t size = hello_server_info_seal(&shared, nonce, &info, frame, sizeof(frame));
    REQUIRE(size > 0 && hyperderp_client_input(client, frame, (size_t)size) == 0);
    REQUIRE(take(client) == -EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t how = size > 0 ? data[0] : 0;
    size_t part = (size_t)(how >> 2) + 1;
    int error = 0;

    make_keys();
    hyperderp_client *client = make_client(how & 3);
    if (how & 1)
        join(client);
    for (size_t at = 1; at < size && error >= 0; at += part) {
        size_t len = size - at < part ? size - at : part;
        uint8_t *bytes = fuzz_copy(data + at, len);

        REQUIRE(hyperderp_client_input(client, bytes, len) == 0);
        free(bytes);
        error = take(client);
        if (error == -EAGAIN)
            error = 0;
    }
    if (error == 0) {
        REQUIRE(hyperderp_client_input(client, NULL, 0) == 0);
        REQUIRE(take(client) != -EAGAIN);
    }
    hyperderp_client_free(client);
    return 0;
}
