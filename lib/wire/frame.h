/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DERP frames, protocol version 2: one byte of type, four bytes of length (big endian, the five
 * header bytes not counted), then the payload. Pure: bytes in, bytes out.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <hyperderp/key.h>

#define DERP_PROTOCOL_VERSION 2

enum frame_type {
    FRAME_SERVER_KEY = 0x01,     /* relay: 8 bytes of magic, its public key, room for more */
    FRAME_CLIENT_INFO = 0x02,    /* client: its public key, a nonce, a box of JSON */
    FRAME_SERVER_INFO = 0x03,    /* relay: a nonce, a box of JSON */
    FRAME_SEND_PACKET = 0x04,    /* client: destination key, packet */
    FRAME_RECV_PACKET = 0x05,    /* relay: source key, packet */
    FRAME_KEEP_ALIVE = 0x06,     /* relay: nothing */
    FRAME_NOTE_PREFERRED = 0x07, /* client: one byte, 1 when this relay is its home */
    FRAME_PEER_GONE = 0x08,      /* relay: key of the peer, one byte of reason */
    FRAME_PEER_PRESENT = 0x09,   /* relay to mesh: key, 16 bytes of IP, 2 of port, flags */
    FRAME_FORWARD_PACKET = 0x0a, /* mesh: source key, destination key, packet */
    FRAME_WATCH_CONNS = 0x10,    /* mesh: nothing */
    FRAME_CLOSE_PEER = 0x11,     /* mesh: key of the peer to close */
    FRAME_PING = 0x12,           /* both: 8 bytes to be sent back */
    FRAME_PONG = 0x13,           /* both: the 8 bytes of the ping */
    FRAME_HEALTH = 0x14,         /* relay: text of a problem, empty when it is over */
    FRAME_RESTARTING = 0x15,     /* relay: reconnect after, try for (both in ms, 32 bits) */
};

enum peer_gone_reason {
    PEER_GONE_DISCONNECTED = 0x00, /* the peer was here and has left */
    PEER_GONE_NOT_HERE = 0x01,     /* this relay knows no such peer */
};

#define FRAME_HEADER_SIZE     5
#define FRAME_MAX_PACKET      65536 /* bytes of a packet, keys and header not counted */
#define FRAME_PING_SIZE       8
#define FRAME_MAX_PING        1000    /* derper's bound: room for later extensions, not for abuse */
#define FRAME_MAX_CLIENT_INFO 16384   /* bytes of payload; real ones have about 200 */
#define FRAME_MAX_SKIPPED     1048576 /* bytes of payload of a frame that is not understood */

/* What PeerPresent tells of a peer; never 0. */
enum peer_present_flags {
    PEER_PRESENT_REGULAR = 0x01,   /* nothing of the others */
    PEER_PRESENT_MESH = 0x02,      /* has the mesh key: another node of the region, or a tool */
    PEER_PRESENT_PROBER = 0x04,    /* a monitoring client */
    PEER_PRESENT_NOT_IDEAL = 0x08, /* this relay is not the first choice of its region */
};

#define FRAME_MAX_PRESENT_NAME 64 /* bytes of the name that a peer gives itself */

#define FRAME_KEEP_ALIVE_SIZE (FRAME_HEADER_SIZE)
#define FRAME_PONG_SIZE       (FRAME_HEADER_SIZE + FRAME_PING_SIZE)
#define FRAME_PEER_GONE_SIZE  (FRAME_HEADER_SIZE + HYPERDERP_KEY_SIZE + 1)
#define FRAME_RESTARTING_SIZE (FRAME_HEADER_SIZE + 8)
#define FRAME_MAX_HEALTH      256 /* with its header: what this relay has to say is shorter */
#define FRAME_MAX_PEER_PRESENT                                                                     \
    (FRAME_HEADER_SIZE + HYPERDERP_KEY_SIZE + 16 + 2 + 1 + 1 + FRAME_MAX_PRESENT_NAME)

/* Header and key in front of the packet, the same size in SendPacket and RecvPacket. */
#define FRAME_PACKET_OVERHEAD (FRAME_HEADER_SIZE + HYPERDERP_KEY_SIZE)

/* Header and the two keys in front of the packet in ForwardPacket. */
#define FRAME_FORWARD_OVERHEAD (FRAME_HEADER_SIZE + 2 * HYPERDERP_KEY_SIZE)

struct frame_header {
    uint8_t type; /* enum frame_type, or a value that is not known */
    uint32_t length;
};

/* Reads a header. Returns FRAME_HEADER_SIZE, or 0 when fewer bytes are there. Any five bytes are a
 * header: whether its length is allowed is for frame_check_from_client() to say. */
static inline size_t frame_header_decode(const uint8_t *buf, size_t len, struct frame_header *out)
{
    if (len < FRAME_HEADER_SIZE)
        return 0;
    out->type = buf[0];
    out->length = (uint32_t)buf[1] << 24 | (uint32_t)buf[2] << 16 | (uint32_t)buf[3] << 8 | buf[4];
    return FRAME_HEADER_SIZE;
}

/* Writes FRAME_HEADER_SIZE bytes. */
static inline void frame_header_encode(uint8_t *out, uint8_t type, uint32_t length)
{
    out[0] = type;
    out[1] = (uint8_t)(length >> 24);
    out[2] = (uint8_t)(length >> 16);
    out[3] = (uint8_t)(length >> 8);
    out[4] = (uint8_t)length;
}

/* "SendPacket" and so on; "unknown" for a type that this version does not name. */
const char *frame_type_name(uint8_t type);

/*
 * Checks the length that a client announces against its type's bounds, before anything of the
 * payload is looked at. Returns 0, -EMSGSIZE when it is too long, -EBADMSG when it is too short.
 */
int frame_check_from_client(const struct frame_header *header) __attribute__((warn_unused_result));

/* Each writes one whole frame to out, which has room for FRAME_*_SIZE bytes; returns its size. */
size_t frame_encode_keep_alive(uint8_t *out);
size_t frame_encode_pong(uint8_t *out, const uint8_t ping[FRAME_PING_SIZE]);
size_t frame_encode_peer_gone(uint8_t *out, const hyperderp_key *peer,
                              enum peer_gone_reason reason);
size_t frame_encode_health(uint8_t *out, const char *problem); /* cut to FRAME_MAX_HEALTH */
size_t frame_encode_restarting(uint8_t *out, uint32_t reconnect_in_ms, uint32_t try_for_ms);

/* What PeerPresent says of a peer. */
struct peer_present {
    hyperderp_key key;
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
    uint8_t flags;    /* enum peer_present_flags */
    const char *name; /* cut after FRAME_MAX_PRESENT_NAME bytes; or NULL */
};
size_t frame_encode_peer_present(uint8_t *out, const struct peer_present *peer); /* at most
                                                                 FRAME_MAX_PEER_PRESENT bytes */

/* Writes the FRAME_FORWARD_OVERHEAD bytes that go in front of a packet of len bytes. */
void frame_encode_forward_header(uint8_t *out, const hyperderp_key *from, const uint8_t *to,
                                 size_t len);

/* No disco packet is larger: what only looks like one gets none of its privileges. */
#define DISCO_MAX_PACKET 4096

/*
 * Tells a disco packet (Tailscale's path discovery, which must not wait behind data): the magic
 * bytes "TS" U+1F4AC, the sender's disco key (32) and a nonce (24).
 */
static inline bool packet_is_disco(const uint8_t *packet, size_t len)
{
    static const uint8_t magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    return len >= sizeof(magic) + 32 + 24 && len <= DISCO_MAX_PACKET &&
           memcmp(packet, magic, sizeof(magic)) == 0;
}

#endif
