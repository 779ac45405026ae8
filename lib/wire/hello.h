/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The three frames by which relay and client make each other's acquaintance: ServerKey, ClientInfo,
 * ServerInfo. Both ends are here. The box is NaCl's crypto_box (X25519, XSalsa20, Poly1305). Pure:
 * nonces come from the caller.
 */
#ifndef WIRE_HELLO_H
#define WIRE_HELLO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <hyperderp/key.h>

#include "wire/frame.h"
#include "wire/info.h"

#define HELLO_NONCE_SIZE      24
#define HELLO_SERVER_KEY_SIZE (FRAME_HEADER_SIZE + 8 + HYPERDERP_KEY_SIZE)
#define HELLO_MAX_SERVER_INFO 512  /* room for a whole ServerInfo frame of ours */
#define HELLO_MAX_CLIENT_INFO 1024 /* room for a whole ClientInfo frame of ours */

/* The X25519 secret that two peers share, computed once for both directions. Wipe it after use. */
struct hello_secret {
    uint8_t bytes[32];
};

/* Returns 0, or -EBADMSG when the key is one of the weak points that no honest peer uses. */
int hello_secret_derive(struct hello_secret *out, const hyperderp_private_key *own,
                        const hyperderp_key *other) __attribute__((warn_unused_result));
void hello_secret_wipe(struct hello_secret *secret);

/* Writes a whole ServerKey frame of HELLO_SERVER_KEY_SIZE bytes; returns that. */
size_t hello_server_key_encode(uint8_t *out, const hyperderp_key *server);

/* Reads a ServerKey payload; longer ones are allowed, as the protocol keeps room. 0 or -EBADMSG. */
int hello_server_key_decode(hyperderp_key *server, const uint8_t *payload, size_t len)
    __attribute__((warn_unused_result));

/*
 * Opens a ClientInfo payload: proves that the client holds the private key of the public key it
 * names. Returns 0 and fills client, info and secret (the one to seal the answer with), -EBADMSG
 * when it is too short, does not open or does not hold a ClientInfo, -ENOMEM. On error secret is
 * wiped.
 */
int hello_client_info_open(const hyperderp_private_key *server, const uint8_t *payload, size_t len,
                           hyperderp_key *client, struct client_info *info,
                           struct hello_secret *secret) __attribute__((warn_unused_result));

/* Writes a whole ClientInfo frame; out has room bytes. Returns its size, -ENOSPC or -ENOMEM. */
ssize_t hello_client_info_seal(const struct hello_secret *secret, const hyperderp_key *client,
                               const uint8_t nonce[HELLO_NONCE_SIZE],
                               const struct client_info *info, uint8_t *out, size_t room)
    __attribute__((warn_unused_result));

/* Opens a ServerInfo payload of at most HELLO_MAX_SERVER_INFO bytes. 0, -EBADMSG or -ENOMEM. */
int hello_server_info_open(const struct hello_secret *secret, const uint8_t *payload, size_t len,
                           struct server_info *info) __attribute__((warn_unused_result));

/* Writes a whole ServerInfo frame; out has room bytes. Returns its size, -ENOSPC or -ENOMEM. */
ssize_t hello_server_info_seal(const struct hello_secret *secret,
                               const uint8_t nonce[HELLO_NONCE_SIZE],
                               const struct server_info *info, uint8_t *out, size_t room)
    __attribute__((warn_unused_result));

#endif
