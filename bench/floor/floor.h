/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The floor: the least that relaying costs on this machine. It receives, turns each SendPacket into
 * a RecvPacket where it lies, and sends, on one thread and one io_uring.
 *
 * NOT A RELAY. There is no bound on anything, nothing of what clients send is checked beyond what
 * keeps the program from falling over, a receiver that does not read halts all others, nobody is
 * told when a peer has gone, no connection times out, there are no KeepAlives, limits, counters,
 * logs, no privacy of memory, and what ends is not given back before the process does. It exists to
 * be measured by hyper-derp-bench, beside programs that do all of that.
 */
#ifndef BENCH_FLOOR_FLOOR_H
#define BENCH_FLOOR_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <hyperderp/key.h>

#include "tls/handshake.h"

/* Runs of packets that one receiver gets in one turn before it is sent to. */
#define FLOOR_PIECES 64

/* What has come of something that is not whole yet: a record, a frame, a request. */
struct kept {
    uint8_t *bytes; /* NULL: nothing */
    size_t len, room;
};

enum stage { STAGE_HTTP, STAGE_HELLO, STAGE_OPEN };

struct conn {
    int fd; /* -1: ended; the memory stays, as others may still point here */
    enum stage stage;
    hyperderp_key key;
    struct conn *last; /* whom it sent to last */

    /* What this turn has for it; the pieces lie in chunks or in what was kept. */
    bool dirty;
    unsigned count;
    struct iovec pieces[FLOOR_PIECES];
    struct msghdr message;

    struct kept frame;
    struct kept record;              /* of TLS */
    struct tls_handshake *handshake; /* until it is done */
    bool sealed;
    struct tls_tx tx;
    struct tls_rx rx;
};

/* What all connections share. One thread. */
struct floor {
    hyperderp_private_key private_key;
    hyperderp_key public_key;
    struct tls_server *tls; /* NULL: plain TCP */
    struct tls_ciphers ciphers;

    struct conn **dirty; /* those with something to send at the end of the turn */
    size_t dirty_count, dirty_room;
    void **spent; /* what was kept and pieces of this turn point to: freed behind it */
    size_t spent_count, spent_room;
    uint8_t *arena; /* records sealed in this turn */
    size_t arena_used, arena_size;
};

/* A connection that was accepted; NULL when it cannot be. */
struct conn *conn_new(struct floor *floor, int fd);

/* Bytes that came. What they hold for others is then in their pieces. False: it has to end. */
bool conn_input(struct floor *floor, struct conn *conn, uint8_t *bytes, size_t len);
void conn_end(struct conn *conn);

/* Turns the pieces into what is to be sent: one for plain TCP as they are, for TLS sealed. */
bool conn_gather(struct floor *floor, struct conn *conn);

/* Sends what is left of the pieces, but for `sent` bytes, and waits for it. */
void conn_send_rest(struct conn *conn, size_t sent);

/* Appends to an array that grows. Without memory the program ends. */
void floor_push(void ***array, size_t *count, size_t *room, void *item);

#endif
