/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and length bounds of the DERP frames, and the short frames that a relay makes by itself. */
#include "wire/frame.h"

#include <errno.h>

const char *frame_type_name(uint8_t type)
{
    switch ((enum frame_type)type) {
    case FRAME_SERVER_KEY:
        return "ServerKey";
    case FRAME_CLIENT_INFO:
        return "ClientInfo";
    case FRAME_SERVER_INFO:
        return "ServerInfo";
    case FRAME_SEND_PACKET:
        return "SendPacket";
    case FRAME_RECV_PACKET:
        return "RecvPacket";
    case FRAME_KEEP_ALIVE:
        return "KeepAlive";
    case FRAME_NOTE_PREFERRED:
        return "NotePreferred";
    case FRAME_PEER_GONE:
        return "PeerGone";
    case FRAME_PEER_PRESENT:
        return "PeerPresent";
    case FRAME_FORWARD_PACKET:
        return "ForwardPacket";
    case FRAME_WATCH_CONNS:
        return "WatchConns";
    case FRAME_CLOSE_PEER:
        return "ClosePeer";
    case FRAME_PING:
        return "Ping";
    case FRAME_PONG:
        return "Pong";
    case FRAME_HEALTH:
        return "Health";
    case FRAME_RESTARTING:
        return "Restarting";
    }
    return "unknown";
}

int frame_check_from_client(const struct frame_header *header)
{
    uint32_t min = 0;
    uint32_t max = FRAME_MAX_SKIPPED;

    switch (header->type) {
    case FRAME_CLIENT_INFO:
        min = HYPERDERP_KEY_SIZE + 24 + 16; /* key, nonce, authenticator of an empty box */
        max = FRAME_MAX_CLIENT_INFO;
        break;
    case FRAME_SEND_PACKET:
        min = HYPERDERP_KEY_SIZE;
        max = HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET;
        break;
    case FRAME_FORWARD_PACKET:
        min = 2 * HYPERDERP_KEY_SIZE;
        max = 2 * HYPERDERP_KEY_SIZE + FRAME_MAX_PACKET;
        break;
    case FRAME_NOTE_PREFERRED:
        min = max = 1;
        break;
    case FRAME_WATCH_CONNS:
        max = 0;
        break;
    case FRAME_CLOSE_PEER:
        min = max = HYPERDERP_KEY_SIZE;
        break;
    case FRAME_PING:
    case FRAME_PONG:
        min = FRAME_PING_SIZE;
        max = FRAME_MAX_PING;
        break;
    default: /* skipped whatever it holds, but not at any length */
        break;
    }
    if (header->length > max)
        return -EMSGSIZE;
    return header->length < min ? -EBADMSG : 0;
}

static void put_u32(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

size_t frame_encode_keep_alive(uint8_t *out)
{
    frame_header_encode(out, FRAME_KEEP_ALIVE, 0);
    return FRAME_KEEP_ALIVE_SIZE;
}

size_t frame_encode_pong(uint8_t *out, const uint8_t ping[FRAME_PING_SIZE])
{
    frame_header_encode(out, FRAME_PONG, FRAME_PING_SIZE);
    memcpy(out + FRAME_HEADER_SIZE, ping, FRAME_PING_SIZE);
    return FRAME_PONG_SIZE;
}

size_t frame_encode_peer_gone(uint8_t *out, const hyperderp_key *peer, enum peer_gone_reason reason)
{
    frame_header_encode(out, FRAME_PEER_GONE, HYPERDERP_KEY_SIZE + 1);
    memcpy(out + FRAME_HEADER_SIZE, peer->bytes, HYPERDERP_KEY_SIZE);
    out[FRAME_HEADER_SIZE + HYPERDERP_KEY_SIZE] = (uint8_t)reason;
    return FRAME_PEER_GONE_SIZE;
}

size_t frame_encode_health(uint8_t *out, const char *problem)
{
    size_t len = strnlen(problem, FRAME_MAX_HEALTH - FRAME_HEADER_SIZE);

    frame_header_encode(out, FRAME_HEALTH, (uint32_t)len);
    memcpy(out + FRAME_HEADER_SIZE, problem, len);
    return FRAME_HEADER_SIZE + len;
}

size_t frame_encode_restarting(uint8_t *out, uint32_t reconnect_in_ms, uint32_t try_for_ms)
{
    frame_header_encode(out, FRAME_RESTARTING, 8);
    put_u32(out + FRAME_HEADER_SIZE, reconnect_in_ms);
    put_u32(out + FRAME_HEADER_SIZE + 4, try_for_ms);
    return FRAME_RESTARTING_SIZE;
}

size_t frame_encode_peer_present(uint8_t *out, const struct peer_present *peer)
{
    size_t name_len = peer->name ? strnlen(peer->name, FRAME_MAX_PRESENT_NAME) : 0;
    uint8_t *at = out + FRAME_HEADER_SIZE;

    memcpy(at, peer->key.bytes, HYPERDERP_KEY_SIZE);
    at += HYPERDERP_KEY_SIZE;
    memcpy(at, peer->ip, sizeof(peer->ip));
    at += sizeof(peer->ip);
    *at++ = (uint8_t)(peer->port >> 8);
    *at++ = (uint8_t)peer->port;
    *at++ = peer->flags;
    *at++ = (uint8_t)name_len;
    if (name_len > 0)
        memcpy(at, peer->name, name_len);
    at += name_len;
    frame_header_encode(out, FRAME_PEER_PRESENT, (uint32_t)(at - out - FRAME_HEADER_SIZE));
    return (size_t)(at - out);
}

void frame_encode_forward_header(uint8_t *out, const hyperderp_key *from, const uint8_t *to,
                                 size_t len)
{
    frame_header_encode(out, FRAME_FORWARD_PACKET, (uint32_t)(2 * HYPERDERP_KEY_SIZE + len));
    memcpy(out + FRAME_HEADER_SIZE, from->bytes, HYPERDERP_KEY_SIZE);
    memcpy(out + FRAME_PACKET_OVERHEAD, to, HYPERDERP_KEY_SIZE);
}
