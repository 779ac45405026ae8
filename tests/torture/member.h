/* SPDX-License-Identifier: BSD-3-Clause */
/* A client of a relay that speaks DERP plainly, over TLS or in WebSocket, as one kind of thing: for
 * crowds of all of them. */
#ifndef TESTS_MEMBER_H
#define TESTS_MEMBER_H

#include "traffic.h"

enum member_kind { MEMBER_PLAIN, MEMBER_TLS, MEMBER_WEBSOCKET };

struct websocket_member;

struct member {
    enum member_kind kind;
    int fd;
    hyperderp_key key;
    hyperderp_private_key private_key;
    struct client_socket *socket;       /* of all kinds but MEMBER_WEBSOCKET */
    struct websocket_member *websocket; /* of that one */
};

/* Joins with the private key that is in the member; fails the test when that does not succeed.
 * receive_buffer 0: as the kernel sizes it. */
void member_join(struct member *member, enum member_kind kind, const char *address,
                 int receive_buffer);

/* Sends a packet, or any bytes of the stream of DERP. 0 or what the socket said. */
int member_send(struct member *member, const hyperderp_key *to, const void *packet, size_t len);
int member_send_raw(struct member *member, const void *bytes, size_t len);

/* Takes a message that is there: 0, -ETIMEDOUT when there is none, or how the stream ended. */
int member_recv(struct member *member, struct client_message *message);

/* Closes its socket, in the order of TCP or (reset) by an RST. */
void member_leave(struct member *member, bool reset);

/* Connects to a port of 127.0.0.1; receive_buffer as above. */
int member_dial(const char *address, int receive_buffer);

#endif
