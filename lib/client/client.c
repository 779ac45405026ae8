/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's side of DERP: the upgrade request, the handshake, and the frames of a relay. Strict
 * where a relay has no freedom, lenient where the protocol keeps room for later versions (longer
 * payloads, frames that are not known).
 */
#include "client/client.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/random.h>

#include "wire/http.h"
#include "wire/key.h"

/* Lengths of payload that a relay's frame may have. */
struct frame_bounds {
    uint32_t min, max;
};

/* A Host header must not be able to smuggle in another header line. */
static bool host_is_plain(const char *host)
{
    if (host == NULL || *host == '\0')
        return false;
    for (const char *c = host; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f)
            return false;
    }
    return true;
}

int client_init(struct client *client, const struct client_options *options)
{
    *client = (struct client){.state = CLIENT_BROKEN};
    if (!host_is_plain(options->host))
        return -EINVAL;
    client->state = CLIENT_HTTP;
    client->options = *options;
    hyperderp_private_key_public(&options->private_key, &client->public_key);
    if (options->fast_start) {
        client->server_key = options->server_key;
        if (hello_secret_derive(&client->secret, &options->private_key, &client->server_key) < 0) {
            client_wipe(client);
            return -EINVAL;
        }
    }
    return 0;
}

void client_wipe(struct client *client)
{
    hello_secret_wipe(&client->secret);
    sodium_memzero(client, sizeof(*client));
    client->state = CLIENT_BROKEN;
}

static int seal_client_info(struct client *client, uint8_t *out, size_t room, ssize_t *size)
{
    uint8_t nonce[HELLO_NONCE_SIZE];

    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
        return -EIO;
    *size = hello_client_info_seal(&client->secret, &client->public_key, nonce,
                                   &client->options.info, out, room);
    if (*size < 0)
        return (int)*size;
    /* Said once: what it was made of is not needed any more. */
    sodium_memzero(&client->options.private_key, sizeof(client->options.private_key));
    sodium_memzero(client->options.info.mesh_key, sizeof(client->options.info.mesh_key));
    return 0;
}

ssize_t client_request(struct client *client, uint8_t *out, size_t room)
{
    ssize_t info_size = 0;
    int head, err;

    if (client->state != CLIENT_HTTP)
        return -EINVAL;
    head =
        snprintf((char *)out, room,
                 "GET /derp HTTP/1.1\r\n"
                 "Host: %s\r\n"
                 "Connection: Upgrade\r\n"
                 "Upgrade: DERP\r\n"
                 "%s\r\n",
                 client->options.host, client->options.fast_start ? "Derp-Fast-Start: 1\r\n" : "");
    if (head < 0 || (size_t)head >= room)
        return -ENOSPC;
    if (client->options.fast_start) {
        err = seal_client_info(client, out + head, room - (size_t)head, &info_size);
        if (err < 0)
            return err;
    }
    return head + info_size;
}

ssize_t client_info_frame(struct client *client, uint8_t *out, size_t room)
{
    ssize_t size = 0;
    int err;

    if (client->state != CLIENT_INFO || client->options.fast_start)
        return -EINVAL;
    err = seal_client_info(client, out, room, &size);
    return err < 0 ? err : size;
}

/* What is said of a relay that breaks the protocol. */
static int broken(struct client *client, const char *fault)
{
    client->fault = fault;
    return -EPROTO;
}

/* Reads the answer to the request. Bytes consumed, 0 for more, or a negative errno. */
static ssize_t read_response(struct client *client, const uint8_t *buf, size_t len)
{
    struct http_response response;
    int size;

    if (len == 0)
        return 0;
    /* With fast start the relay says nothing before its ServerKey, unless it refuses or does not
     * know the header: then its answer begins as HTTP does, and no frame's type is 'H'. */
    if (client->options.fast_start && buf[0] != 'H') {
        client->state = CLIENT_KEY;
        return 0;
    }
    size = http_response_parse(&response, (const char *)buf, len, &client->scanned);
    if (size == 0)
        return 0;
    if (size < 0)
        return broken(client, "does not answer in HTTP");
    if (response.status != 101) {
        client->http_status = response.status;
        return -ECONNREFUSED;
    }
    if (!response.upgrade_derp)
        return broken(client, "changes to another protocol than DERP");
    client->state = CLIENT_KEY;
    return size;
}

static struct frame_bounds bounds_of(uint8_t type)
{
    switch (type) {
    case FRAME_SERVER_KEY:
        return (struct frame_bounds){8 + HYPERDERP_KEY_SIZE, 1024};
    case FRAME_SERVER_INFO:
        return (struct frame_bounds){HELLO_NONCE_SIZE, HELLO_MAX_SERVER_INFO};
    case FRAME_RECV_PACKET:
        return (struct frame_bounds){HYPERDERP_KEY_SIZE, HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET};
    case FRAME_PEER_GONE:
    case FRAME_PEER_PRESENT:
        return (struct frame_bounds){HYPERDERP_KEY_SIZE, FRAME_MAX_SKIPPED};
    case FRAME_PING:
    case FRAME_PONG:
        return (struct frame_bounds){FRAME_PING_SIZE, FRAME_MAX_PING};
    case FRAME_RESTARTING:
        return (struct frame_bounds){8, FRAME_MAX_SKIPPED};
    default:
        return (struct frame_bounds){0, FRAME_MAX_SKIPPED};
    }
}

static int handle_server_key(struct client *client, const uint8_t *payload, size_t len,
                             struct client_message *message)
{
    hyperderp_key key;

    if (client->state != CLIENT_KEY || hello_server_key_decode(&key, payload, len) < 0)
        return broken(client, "sends a ServerKey that is none, or comes too late");
    client->state = CLIENT_INFO;
    /* In fast start ClientInfo is already under way, sealed for the key that was known. */
    if (client->options.fast_start)
        return key_same(&key, client->server_key.bytes)
                   ? 0
                   : broken(client, "has another key than was expected");
    if (hello_secret_derive(&client->secret, &client->options.private_key, &key) < 0)
        return broken(client, "has a key that no honest relay has");
    client->server_key = key;
    message->type = CLIENT_MESSAGE_SEND_INFO;
    return 0;
}

static int handle_server_info(struct client *client, const uint8_t *payload, size_t len,
                              struct client_message *message)
{
    int err;

    /* A relay may come to repeat it, with new limits; by then the secret to open it is gone. */
    if (client->state == CLIENT_OPEN) {
        message->type = CLIENT_MESSAGE_OTHER;
        return 0;
    }
    err = hello_server_info_open(&client->secret, payload, len, &message->server_info);
    if (err < 0)
        return err == -ENOMEM ? -ENOMEM : broken(client, "sends a ServerInfo that does not open");
    hello_secret_wipe(&client->secret);
    client->state = CLIENT_OPEN;
    message->type = CLIENT_MESSAGE_SERVER_INFO;
    return 0;
}

/* Old relays tell the key alone, or less than all of the rest. */
static struct client_present read_present(const uint8_t *payload, size_t len)
{
    const uint8_t *at = payload + HYPERDERP_KEY_SIZE;
    struct client_present present = {.port = 0};

    if (len < HYPERDERP_KEY_SIZE + sizeof(present.ip) + 2)
        return present;
    memcpy(present.ip, at, sizeof(present.ip));
    at += sizeof(present.ip);
    present.port = (uint16_t)(at[0] << 8 | at[1]);
    if (len > HYPERDERP_KEY_SIZE + sizeof(present.ip) + 2)
        present.flags = at[2];
    return present;
}

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Fills message from a whole frame whose length is within bounds_of() its type. */
static int handle_frame(struct client *client, uint8_t type, const uint8_t *payload, size_t len,
                        struct client_message *message)
{
    message->frame_type = type;
    message->payload = payload;
    message->len = len;
    switch (type) {
    case FRAME_SERVER_KEY:
        return handle_server_key(client, payload, len, message);
    case FRAME_SERVER_INFO:
        return handle_server_info(client, payload, len, message);
    case FRAME_RECV_PACKET:
        message->type = CLIENT_MESSAGE_PACKET;
        memcpy(message->peer.bytes, payload, HYPERDERP_KEY_SIZE);
        message->payload = payload + HYPERDERP_KEY_SIZE;
        message->len = len - HYPERDERP_KEY_SIZE;
        return 0;
    case FRAME_PEER_GONE:
        message->type = CLIENT_MESSAGE_PEER_GONE;
        memcpy(message->peer.bytes, payload, HYPERDERP_KEY_SIZE);
        /* Old relays send no reason and mean that the peer has left. */
        message->reason =
            len > HYPERDERP_KEY_SIZE ? payload[HYPERDERP_KEY_SIZE] : PEER_GONE_DISCONNECTED;
        return 0;
    case FRAME_PEER_PRESENT:
        message->type = CLIENT_MESSAGE_PEER_PRESENT;
        memcpy(message->peer.bytes, payload, HYPERDERP_KEY_SIZE);
        message->present = read_present(payload, len);
        return 0;
    case FRAME_PING:
    case FRAME_PONG:
        message->type = type == FRAME_PING ? CLIENT_MESSAGE_PING : CLIENT_MESSAGE_PONG;
        message->len = FRAME_PING_SIZE;
        return 0;
    case FRAME_KEEP_ALIVE:
        message->type = CLIENT_MESSAGE_KEEP_ALIVE;
        return 0;
    case FRAME_HEALTH:
        message->type = CLIENT_MESSAGE_HEALTH;
        return 0;
    case FRAME_RESTARTING:
        message->type = CLIENT_MESSAGE_RESTARTING;
        message->reconnect_in_ms = read_u32(payload);
        message->try_for_ms = read_u32(payload + 4);
        return 0;
    default:
        message->type = CLIENT_MESSAGE_OTHER;
        return 0;
    }
}

/* Before ServerInfo, which alone proves that a relay has the key that it has told, nothing counts
 * that it says of packets and peers: anyone could replay that key. A Health frame in place of
 * ServerInfo tells why a client is denied, in words that nobody trusts; what may come to stand
 * there in later versions is skipped. */
static bool is_too_early(uint8_t type)
{
    switch (type) {
    case FRAME_RECV_PACKET:
    case FRAME_PEER_GONE:
    case FRAME_PEER_PRESENT:
    case FRAME_PING:
    case FRAME_PONG:
        return true;
    default:
        return false;
    }
}

static bool counts_early(uint8_t type)
{
    return type == FRAME_SERVER_KEY || type == FRAME_SERVER_INFO || type == FRAME_HEALTH;
}

/* Reads one frame. Bytes consumed, 0 for more, or a negative errno. */
static ssize_t read_frame(struct client *client, const uint8_t *buf, size_t len,
                          struct client_message *message)
{
    struct frame_header header;
    struct frame_bounds bounds;
    int err;

    if (frame_header_decode(buf, len, &header) == 0)
        return 0;
    bounds = bounds_of(header.type);
    if (client->state == CLIENT_KEY && header.type != FRAME_SERVER_KEY)
        return broken(client, "does not speak DERP: its first frame is no ServerKey");
    if (client->state == CLIENT_INFO && is_too_early(header.type))
        return broken(client, "sends other frames before its ServerInfo");
    if (header.length < bounds.min || header.length > bounds.max)
        return broken(client, "sends a frame of a length that its type does not have");
    if (len - FRAME_HEADER_SIZE < header.length)
        return 0;
    if (client->state == CLIENT_INFO && !counts_early(header.type))
        return (ssize_t)(FRAME_HEADER_SIZE + header.length);
    err = handle_frame(client, header.type, buf + FRAME_HEADER_SIZE, header.length, message);
    if (err < 0)
        return err;
    return (ssize_t)(FRAME_HEADER_SIZE + header.length);
}

ssize_t client_read(struct client *client, uint8_t *buf, size_t len, struct client_message *message)
{
    struct client_message read = {.type = CLIENT_MESSAGE_NONE};
    enum client_state before;
    size_t consumed = 0;
    ssize_t n = 0;

    if (client->state == CLIENT_BROKEN)
        return -EPROTO;
    /* Steps of the handshake that tell the caller nothing are taken in one call, and what is
     * skipped there as well. */
    do {
        before = client->state;
        n = before == CLIENT_HTTP ? read_response(client, buf + consumed, len - consumed)
                                  : read_frame(client, buf + consumed, len - consumed, &read);
        if (n < 0) {
            hello_secret_wipe(&client->secret);
            client->state = CLIENT_BROKEN;
            return n;
        }
        consumed += (size_t)n;
    } while (read.type == CLIENT_MESSAGE_NONE && (n > 0 || client->state != before));
    *message = read;
    return (ssize_t)consumed;
}

void client_packet_header(uint8_t *out, const hyperderp_key *to, size_t len)
{
    frame_header_encode(out, FRAME_SEND_PACKET, (uint32_t)(HYPERDERP_KEY_SIZE + len));
    memcpy(out + FRAME_HEADER_SIZE, to->bytes, HYPERDERP_KEY_SIZE);
}
