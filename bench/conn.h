/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One client connection of the load generator: a non-blocking socket in an epoll set, around the
 * client core. Used by one thread only.
 */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "client/client.h"

enum load_conn_state {
    LOAD_CONN_NEW,
    LOAD_CONN_CONNECTING, /* connect() is under way */
    LOAD_CONN_HANDSHAKE,  /* HTTP upgrade and hello */
    LOAD_CONN_OPEN,
    LOAD_CONN_CLOSED,
};

struct load_conn {
    uint32_t number; /* among all connections of the run */
    int fd;
    int epoll;
    enum load_conn_state state;
    bool watches_write; /* EPOLLOUT is asked for */
    struct client client;

    /* What the socket did not take: start to end wait for it, and end with a whole frame. */
    uint8_t *out;
    size_t out_room, out_start, out_end;

    /* The beginning of a frame whose rest has not come yet. */
    uint8_t *partial;
    size_t partial_len, partial_room;
};

/* Memory to receive into, shared by the connections of a thread: LOAD_CONN_SCRATCH_SIZE bytes. */
#define LOAD_CONN_READ_SIZE    65536
#define LOAD_CONN_SCRATCH_SIZE (CLIENT_MAX_FRAME + LOAD_CONN_READ_SIZE)

/* Gets each packet that came, and when. */
typedef void load_conn_packet_fn(void *user, struct load_conn *conn,
                                 const struct client_message *message, uint64_t now_ns);

/* Prepares a connection, with a new key. 0 or a negative errno. */
int load_conn_init(struct load_conn *conn, uint32_t number, const char *host);
void load_conn_free(struct load_conn *conn);

/* Begins to connect; what comes of it is told through load_conn_event(). 0 or a negative errno. */
int load_conn_start(struct load_conn *conn, int epoll, const struct sockaddr *address,
                    socklen_t len);

/* Handles epoll's events of this connection: connects, shakes hands, sends what waits, reads once.
 * 0, or a negative errno when the connection is of no more use: -EPIPE when the relay has closed
 * it, -EPROTO when it broke the protocol, ... */
int load_conn_event(struct load_conn *conn, uint32_t events, uint8_t *scratch,
                    load_conn_packet_fn *on_packet, void *user);

/* Takes the connection out of its epoll set and closes it. */
void load_conn_close(struct load_conn *conn);

/* Tells whether bytes wait for the socket. */
static inline bool load_conn_blocked(const struct load_conn *conn)
{
    return conn->out_start < conn->out_end;
}

/* Sends whole frames, behind those that wait. What the socket does not take waits, and the
 * connection watches for room. 0 or a negative errno. */
int load_conn_send(struct load_conn *conn, const uint8_t *bytes, size_t len);

/* Asks to be called when the socket has room, or only while bytes wait. */
int load_conn_watch_write(struct load_conn *conn, bool always);

#endif
