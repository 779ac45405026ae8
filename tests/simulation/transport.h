/* SPDX-License-Identifier: BSD-3-Clause */
/* What is between a client's DERP and its connection: the PROXY protocol's header, TLS, WebSocket,
 * or nothing. Bytes in, bytes out. */
#ifndef SIMULATION_TRANSPORT_H
#define SIMULATION_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hyperderp/tls.h>

#include "bytes.h"
#include "client/client_tls.h"

enum transport_phase {
    TRANSPORT_TLS,       /* shakes hands */
    TRANSPORT_WEBSOCKET, /* waits for the answer to its upgrade */
    TRANSPORT_OPEN,
    TRANSPORT_OVER, /* nothing more can come: the relay said so, or said nonsense */
};

struct transport {
    enum transport_phase phase;
    bool tls, websocket;
    struct client_tls secure;
    struct tls_ciphers ciphers;
    struct bytes came;   /* from the relay, not understood yet */
    struct bytes opened; /* of that, what was in records */
    size_t message;      /* bytes that are still to come of a message of WebSocket */
    struct bytes plain;  /* waits for the handshake */
    struct bytes output; /* to the relay */
    const char *fault;   /* what the relay did wrong, or NULL */
};

/* Makes the relay's certificate and what a client needs; once. Its signatures have one length, so
 * that the length of what is sent follows from the seed. */
void transport_make(void);
hyperderp_certificate *transport_certificate(void);

/* With websocket, the upgrade is asked for at once. */
void transport_begin(struct transport *transport, bool proxied, bool tls, bool websocket);
void transport_end(struct transport *transport);

/* Sends bytes of DERP. */
void transport_say(struct transport *transport, const void *bytes, size_t len);

/* Takes bytes of the relay, and appends what they hold of DERP. To a client that upgrades by
 * WebSocket it looks as if the relay had answered its own request. */
void transport_hear(struct transport *transport, const uint8_t *bytes, size_t len,
                    struct bytes *content);

#endif
