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
#include "client/client_tls.h"

enum load_conn_state {
    LOAD_CONN_NEW,
    LOAD_CONN_CONNECTING, /* connect() is under way */
    LOAD_CONN_TLS,        /* TLS handshake */
    LOAD_CONN_HANDSHAKE,  /* HTTP upgrade and hello */
    LOAD_CONN_OPEN,
    LOAD_CONN_CLOSED,
};

/* What the connections of a thread share for TLS. */
struct load_tls {
    struct tls_client *client;
    const char *name; /* that the relay's certificate must be for */
    struct tls_ciphers ciphers;
    uint8_t *sealed; /* room for the records of what is sent at once */
    size_t room;
};

struct load_conn {
    uint32_t number; /* among all connections of the run */
    int fd;
    int epoll;
    enum load_conn_state state;
    bool watches_write; /* EPOLLOUT is asked for */
    struct client client;
    struct load_tls *shared; /* of the thread; NULL: plain TCP */
    struct client_tls *tls;  /* NULL before connect() is done, and with plain TCP */

    /* What the socket did not take: start to end wait for it, and end with a whole frame, or with a
     * record that does. */
    uint8_t *out;
    size_t out_room, out_start, out_end;

    /* The beginning of a frame whose rest has not come yet; with TLS behind it that of a record,
     * the last record_len bytes. */
    uint8_t *partial;
    size_t partial_len, partial_room, record_len;
};

/* Memory to receive into, shared by the connections of a thread: LOAD_CONN_SCRATCH_SIZE bytes. */
#define LOAD_CONN_READ_SIZE    65536
#define LOAD_CONN_SCRATCH_SIZE (CLIENT_MAX_FRAME + TLS_MAX_RECORD + LOAD_CONN_READ_SIZE)

/* Gets each packet that came, and when. */
typedef void load_conn_packet_fn(void *user, struct load_conn *conn,
                                 const struct client_message *message, uint64_t now_ns);

/* Prepares a connection, with a new key; tls NULL: over plain TCP. 0 or a negative errno. */
int load_conn_init(struct load_conn *conn, uint32_t number, const char *host, struct load_tls *tls);
void load_conn_free(struct load_conn *conn);

/* Begins to connect; what comes of it is told through load_conn_event(). 0 or a negative errno. */
int load_conn_start(struct load_conn *conn, int epoll, const struct sockaddr *address,
                    socklen_t len);

/* Handles epoll's events of this connection: connects, shakes hands, sends what waits, reads once.
 * 0, or a negative errno when the connection is of no more use: -EPIPE when the relay has closed
 * it, -ECONNABORTED when it sent an alert of TLS, -EPROTO when it broke a protocol, ... */
int load_conn_event(struct load_conn *conn, uint32_t events, uint8_t *scratch,
                    load_conn_packet_fn *on_packet, void *user);

/* Takes the connection out of its epoll set and closes it. */
void load_conn_close(struct load_conn *conn);

/* Tells whether bytes wait for the socket. */
static inline bool load_conn_blocked(const struct load_conn *conn)
{
    return conn->out_start < conn->out_end;
}

/* Why a connection is of no more use, in words. */
const char *load_conn_say_why(const struct load_conn *conn, int err);

/* Sends whole frames, behind those that wait; with TLS as records, each as full as can be. What the
 * socket does not take waits, and the connection watches for room. 0 or a negative errno. */
int load_conn_send(struct load_conn *conn, const uint8_t *bytes, size_t len);

/* The bytes that load_conn_send() sends for so many. */
size_t load_conn_sent_size(const struct load_conn *conn, size_t len);

/* Asks to be called when the socket has room, or only while bytes wait. */
int load_conn_watch_write(struct load_conn *conn, bool always);

#endif
