/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's side of DERP, pure: bytes of the relay in, messages out. It has no buffers and no
 * TLS; session.h, which programs outside this library use, adds these, the relay's links and
 * hyper-derp-bench have their own.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <hyperderp/key.h>

#include "wire/frame.h"
#include "wire/hello.h"
#include "wire/info.h"

enum client_state {
    CLIENT_HTTP,   /* waits for the 101 of the relay */
    CLIENT_KEY,    /* waits for its ServerKey */
    CLIENT_INFO,   /* has sent ClientInfo, waits for ServerInfo; packets may be sent already */
    CLIENT_OPEN,   /* has got ServerInfo */
    CLIENT_BROKEN, /* the relay broke the protocol; nothing more can be done */
};

enum client_message_type {
    CLIENT_MESSAGE_NONE,         /* more bytes are needed */
    CLIENT_MESSAGE_SEND_INFO,    /* now send what client_info_frame() gives */
    CLIENT_MESSAGE_SERVER_INFO,  /* the handshake is done */
    CLIENT_MESSAGE_PACKET,       /* peer is the sender; payload the packet */
    CLIENT_MESSAGE_PEER_GONE,    /* peer and reason */
    CLIENT_MESSAGE_PEER_PRESENT, /* peer; to who watches */
    CLIENT_MESSAGE_PING,         /* payload are the 8 bytes to send back */
    CLIENT_MESSAGE_PONG,         /* payload are the 8 bytes that came back */
    CLIENT_MESSAGE_KEEP_ALIVE,
    CLIENT_MESSAGE_HEALTH,     /* payload is a text, not terminated */
    CLIENT_MESSAGE_RESTARTING, /* reconnect_in_ms, try_for_ms */
    CLIENT_MESSAGE_OTHER,      /* a frame that this client does not know; frame_type, payload */
};

/* What a relay tells of a peer that is there; zeros when it is an old one. */
struct client_present {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
    uint8_t flags; /* enum peer_present_flags */
};

struct client_message {
    enum client_message_type type;
    uint8_t frame_type;
    hyperderp_key peer;
    enum peer_gone_reason reason;
    struct client_present present; /* of CLIENT_MESSAGE_PEER_PRESENT */
    const uint8_t *payload;        /* inside the buffer that was read; valid as long as that */
    size_t len;
    uint32_t reconnect_in_ms, try_for_ms;
    struct server_info server_info;
};

struct client_options {
    hyperderp_private_key private_key;
    const char *host; /* for the Host header, with the port if it is not the usual one */
    struct client_info info;
    bool fast_start; /* server_key is known: ask the relay to skip the 101 */
    hyperderp_key server_key;
};

struct client {
    enum client_state state;
    struct client_options options;
    hyperderp_key public_key;
    hyperderp_key server_key;
    struct hello_secret secret; /* wiped when ServerInfo has come */
    size_t scanned;             /* of the response head */
    unsigned http_status;       /* of the response, when it is another than 101 */
    const char *fault; /* why it is broken, in words that go on from "the relay "; or NULL */
};

/* Copies the options (but for host, which must outlive the client). 0, or -EINVAL for a host that
 * does not fit into a header line or a server_key that is a weak point. */
int client_init(struct client *client, const struct client_options *options)
    __attribute__((warn_unused_result));
void client_wipe(struct client *client);

/* Writes the bytes to send first: the request, with fast start also ClientInfo. Their size, or
 * -ENOSPC, -EIO without random bytes, -ENOMEM. CLIENT_MAX_REQUEST bytes and the host's are always
 * enough. */
#define CLIENT_MAX_REQUEST (256 + HELLO_MAX_CLIENT_INFO)
ssize_t client_request(struct client *client, uint8_t *out, size_t room)
    __attribute__((warn_unused_result));

/* Writes the ClientInfo frame that CLIENT_MESSAGE_SEND_INFO asks for. Its size, or as
 * client_request(); -EINVAL when it was not asked for. HELLO_MAX_CLIENT_INFO bytes are always
 * enough. */
ssize_t client_info_frame(struct client *client, uint8_t *out, size_t room)
    __attribute__((warn_unused_result));

/*
 * Reads one message from the bytes that came. Returns the bytes consumed (message->type says what
 * they were; with CLIENT_MESSAGE_NONE they may be 0: call again when there are more bytes, with
 * those not consumed in front), or -EPROTO when the relay broke the protocol, -ECONNREFUSED when it
 * answered the request with another status than 101, or -ENOMEM. Then *message is untouched and the
 * client broken. Before ServerInfo there is no other message than SEND_INFO and HEALTH: packets,
 * and what is said of peers, break the protocol there, all else is skipped. A ServerInfo that comes
 * again later is CLIENT_MESSAGE_OTHER. No frame of a relay
 * exceeds CLIENT_MAX_FRAME bytes: a buffer of that size always suffices.
 */
#define CLIENT_MAX_FRAME (FRAME_HEADER_SIZE + FRAME_MAX_SKIPPED)
ssize_t client_read(struct client *client, uint8_t *buf, size_t len, struct client_message *message)
    __attribute__((warn_unused_result));

/* Writes the FRAME_PACKET_OVERHEAD bytes that go in front of a packet of len bytes. */
void client_packet_header(uint8_t *out, const hyperderp_key *to, size_t len);

#endif
