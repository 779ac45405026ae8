/* SPDX-License-Identifier: BSD-3-Clause */
/* hyperderp_client as programs see it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/session.h"

int hyperderp_client_new(hyperderp_client **out, const hyperderp_client_options *options)
{
    hyperderp_client_options own;
    char fault[HYPERDERP_FAULT_SIZE];
    int err;

    session_options_clear_fault(options);
    if (!out)
        return -EINVAL;
    *out = NULL;
    err = session_options_copy(&own, options);
    if (err < 0)
        return err;
    err = session_new_public(out, &own, fault);
    if (err < 0 && own.fault)
        snprintf(own.fault, HYPERDERP_FAULT_SIZE, "%s", *fault ? fault : strerror(-err));
    session_options_wipe(&own);
    return err;
}

/* ---- Bytes ---- */

int hyperderp_client_input(hyperderp_client *client, const void *bytes, size_t len)
{
    uint8_t *at;
    int err;

    if (!client || len > HYPERDERP_CLIENT_MAX_INPUT || (!bytes && len > 0))
        return -EINVAL;
    if (client->error < 0)
        return client->error;
    if (len == 0) {
        session_end_input(client, -EPIPE);
        return 0;
    }
    if (client->input_end < 0)
        return -EPIPE;
    err = channel_room_for(&client->channel, len, &at);
    if (err < 0)
        return err;
    memcpy(at, bytes, len);
    return session_received(client, channel_received(&client->channel, len));
}

int hyperderp_client_output(hyperderp_client *client, const void **bytes, size_t *len)
{
    if (!client || !bytes || !len)
        return -EINVAL;
    *len = channel_waiting(&client->channel);
    *bytes = *len > 0 ? client->channel.out + client->channel.out_start : NULL;
    return 0;
}

int hyperderp_client_consumed(hyperderp_client *client, size_t len)
{
    if (!client || len > channel_waiting(&client->channel))
        return -EINVAL;
    channel_sent(&client->channel, len);
    return 0;
}

/* ---- Messages ---- */

static const hyperderp_message_type public_types[] = {
    [CLIENT_MESSAGE_NONE] = HYPERDERP_MESSAGE_OTHER,
    [CLIENT_MESSAGE_SEND_INFO] = HYPERDERP_MESSAGE_OTHER,
    [CLIENT_MESSAGE_SERVER_INFO] = HYPERDERP_MESSAGE_SERVER_INFO,
    [CLIENT_MESSAGE_PACKET] = HYPERDERP_MESSAGE_PACKET,
    [CLIENT_MESSAGE_PEER_GONE] = HYPERDERP_MESSAGE_PEER_GONE,
    [CLIENT_MESSAGE_PEER_PRESENT] = HYPERDERP_MESSAGE_PEER_PRESENT,
    [CLIENT_MESSAGE_PING] = HYPERDERP_MESSAGE_PING,
    [CLIENT_MESSAGE_PONG] = HYPERDERP_MESSAGE_PONG,
    [CLIENT_MESSAGE_KEEP_ALIVE] = HYPERDERP_MESSAGE_KEEP_ALIVE,
    [CLIENT_MESSAGE_HEALTH] = HYPERDERP_MESSAGE_HEALTH,
    [CLIENT_MESSAGE_RESTARTING] = HYPERDERP_MESSAGE_RESTARTING,
    [CLIENT_MESSAGE_OTHER] = HYPERDERP_MESSAGE_OTHER,
};

static bool has_payload(hyperderp_message_type type)
{
    return type == HYPERDERP_MESSAGE_PACKET || type == HYPERDERP_MESSAGE_PING ||
           type == HYPERDERP_MESSAGE_PONG || type == HYPERDERP_MESSAGE_HEALTH ||
           type == HYPERDERP_MESSAGE_OTHER;
}

static void translate(const struct client_message *from, hyperderp_message *to)
{
    *to = (hyperderp_message){
        .size = sizeof(*to),
        .type = public_types[from->type],
        .frame_type = from->frame_type,
        .flags = from->present.flags,
        .port = from->present.port,
        .peer = from->peer,
        .reason = from->reason,
        .reconnect_in_ms = from->reconnect_in_ms,
        .try_for_ms = from->try_for_ms,
        .rate = (uint64_t)from->server_info.token_bucket_bytes_per_second,
        .burst = (uint64_t)from->server_info.token_bucket_bytes_burst,
    };
    memcpy(to->ip, from->present.ip, sizeof(to->ip));
    if (has_payload(to->type)) {
        to->payload = from->payload;
        to->len = from->len;
    }
}

int hyperderp_client_next(hyperderp_client *client, const hyperderp_message **message)
{
    int err;

    if (message)
        *message = NULL;
    if (!client || !message)
        return -EINVAL;
    err = session_next(client, &client->got);
    if (err < 0)
        return err;
    translate(&client->got, &client->message);
    *message = &client->message;
    return 0;
}

/* ---- Sending ---- */

static int send_frame(hyperderp_client *client, const struct iovec *pieces, unsigned count)
{
    if (client->error < 0)
        return client->error;
    if (client->finished)
        return -EPIPE;
    return client->introduced ? channel_send(&client->channel, pieces, count, client->max_output)
                              : -EAGAIN;
}

/* A frame with a short payload, which may be none. */
static int send_short(hyperderp_client *client, uint8_t type, const void *payload, size_t len)
{
    uint8_t frame[FRAME_HEADER_SIZE + FRAME_PING_SIZE];
    const struct iovec piece = {.iov_base = frame, .iov_len = FRAME_HEADER_SIZE + len};

    if (!client)
        return -EINVAL;
    frame_header_encode(frame, type, (uint32_t)len);
    if (len > 0)
        memcpy(frame + FRAME_HEADER_SIZE, payload, len);
    return send_frame(client, &piece, 1);
}

int hyperderp_client_send(hyperderp_client *client, const hyperderp_key *to, const void *packet,
                          size_t len)
{
    uint8_t header[FRAME_PACKET_OVERHEAD];
    const struct iovec pieces[2] = {
        {.iov_base = header, .iov_len = sizeof(header)},
        {.iov_base = (void *)(uintptr_t)packet, .iov_len = len},
    };

    if (!client || !to || (!packet && len > 0))
        return -EINVAL;
    if (len > FRAME_MAX_PACKET)
        return -EMSGSIZE;
    client_packet_header(header, to, len);
    return send_frame(client, pieces, 2);
}

int hyperderp_client_ping(hyperderp_client *client, const uint8_t data[HYPERDERP_PING_SIZE])
{
    return data ? send_short(client, FRAME_PING, data, FRAME_PING_SIZE) : -EINVAL;
}

int hyperderp_client_pong(hyperderp_client *client, const uint8_t data[HYPERDERP_PING_SIZE])
{
    return data ? send_short(client, FRAME_PONG, data, FRAME_PING_SIZE) : -EINVAL;
}

int hyperderp_client_watch(hyperderp_client *client)
{
    if (client && !client->has_mesh_key)
        return -EPERM;
    return send_short(client, FRAME_WATCH_CONNS, NULL, 0);
}

int hyperderp_client_note_preferred(hyperderp_client *client, bool preferred)
{
    const uint8_t byte = preferred;

    return send_short(client, FRAME_NOTE_PREFERRED, &byte, sizeof(byte));
}

int hyperderp_client_finish(hyperderp_client *client)
{
    if (!client)
        return -EINVAL;
    if (client->error < 0 || client->finished)
        return client->error < 0 ? client->error : -EPIPE;
    if (client->channel.tls != NULL) {
        int err = channel_send_alert(&client->channel, TLS_ALERT_CLOSE_NOTIFY);
        if (err < 0)
            return err;
    }
    client->finished = client->channel.ended = true;
    return 0;
}

/* ---- What there is to know ---- */

int hyperderp_client_key(const hyperderp_client *client, hyperderp_key *key)
{
    if (!client || !key)
        return -EINVAL;
    *key = client->client.public_key;
    return 0;
}

int hyperderp_client_relay_key(const hyperderp_client *client, hyperderp_key *key)
{
    if (!client || !key)
        return -EINVAL;
    if (client->client.state != CLIENT_INFO && client->client.state != CLIENT_OPEN)
        return -EAGAIN;
    *key = client->client.server_key;
    return 0;
}

const char *hyperderp_client_fault(const hyperderp_client *client)
{
    return client ? client->fault : "";
}
