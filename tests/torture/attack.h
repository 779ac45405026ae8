/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Attacks upon the daemon, during each of which an honest pair must keep its rate and its latency,
 * and the relay its memory. The relay has a core of its own; what attacks runs beside the pair at
 * the lowest priority, so that the pair does not wait for its attackers' threads but for the relay.
 */
#ifndef TESTS_ATTACK_H
#define TESTS_ATTACK_H

#include "client/client_socket.h"
#include "matrix.h"

/* What a sanitizer is there to see, it sees with fewer. */
#define FEWER(count) (SANITIZED ? (count) / 10 : (count))

struct attack;

/* One thread of an attack. It must not fail the test by itself, as cmocka leaves by a jump: it
 * leaves a fault behind. */
struct attacker {
    const struct attack *attack;
    const char *address;
    unsigned number; /* of the attack's threads, from 0 */
    int64_t until;   /* when it has been enough, if `least` has been reached */

    uint64_t done;     /* see attack->unit */
    const char *fault; /* or NULL */
    int error;         /* what went with it */
};

struct attack {
    const char *name;
    const char *unit; /* what is counted in `done` */
    unsigned threads;
    void (*run)(struct attacker *attacker);
    uint64_t least;       /* of all threads together, or it was no attack */
    unsigned connections; /* that it holds at once, at most */
    const char *counted;  /* a counter that cannot be 0 afterwards, or NULL */
    bool by_list;         /* the pair is in a list of keys that are let in, attackers are not */
};

/* Runs an attack as a test: starts a daemon, measures a pair without it and during it, and checks
 * what must hold while it lasts and when it is over. Prints a line of figures. */
void attack_run(const struct attack *attack, void **state);

/* ---- For attackers --------------------------------------------------------------------------- */

bool attack_goes_on(const struct attacker *attacker);

/* Ends the attack with a fault, and returns false. */
bool attack_fault(struct attacker *attacker, const char *fault, int error);

/* Joins; NULL and a fault when the relay does not let it. */
struct client_socket *attack_join(struct attacker *attacker, const hyperderp_private_key *key);

/* Joins so many with a key, NULL: each with one of its own. False and a fault, some having joined
 * still. */
bool attack_join_all(struct attacker *attacker, struct client_socket **clients, unsigned count,
                     const hyperderp_private_key *key);
void attack_close_all(struct client_socket **clients, unsigned count);

/* Sends, and throws away what has come. False when the relay has ended the connection; a fault when
 * it takes nothing. */
bool attack_send(struct attacker *attacker, struct client_socket *client, const void *bytes,
                 size_t len);

/* Waits until the relay has ended a connection. A fault when it does not. */
bool attack_expect_end(struct attacker *attacker, int fd);

/* Opens a TCP connection, which does not block, and nothing else; -1 and a fault. */
int attack_dial(struct attacker *attacker);

/* Closes one by a reset. */
void attack_reset(int fd);

/* A connection below DERP: over TLS where the test's clients speak it. To be closed in any case. */
bool attack_connect(struct attacker *attacker, struct client_stream *stream);
bool attack_write(struct attacker *attacker, struct client_stream *stream, const void *bytes,
                  size_t len);

/* The upgrade to WebSocket, and a whole frame (FIN) masked by zeros. Returns its size. */
extern const char attack_websocket_request[];
#define ATTACK_MAX_MESSAGE      1000
#define ATTACK_MESSAGE_OVERHEAD 8
size_t attack_message(uint8_t *out, uint8_t opcode, const void *content, size_t len);

/* Says all that a client says to join, and does not look what comes of it. The socket, or -1. */
int attack_knock(struct attacker *attacker);

/* Joins by WebSocket. */
bool attack_join_websocket(struct attacker *attacker, struct client_stream *stream);

/* Throws away what a socket has received. */
void attack_discard(int fd);

/* The next of a sequence of numbers that nobody foresees, from a seed. */
uint64_t attack_random(uint64_t *seed);

/* Lays frames that carry packets to a key one behind the other, each of size bytes with its header;
 * what is in them does not matter. */
size_t attack_packet(uint8_t *out, const hyperderp_key *to, size_t len, bool disco);

#endif
