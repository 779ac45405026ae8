/* SPDX-License-Identifier: BSD-3-Clause */
/* Listening sockets: from an address text to a socket, and back. */
#ifndef RELAY_LISTENER_H
#define RELAY_LISTENER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <hyperderp/relay.h>

#include "relay/endpoint.h"
#include "relay/log.h"
#include "relay/network.h"
#include "relay/unix_socket.h"
#include "tls/handshake.h"

#define LISTENER_ADDRESS_SIZE 128 /* "unix:" and a path; those of IP are half as long */

struct listener {
    /* Fixed once it is open. */
    char address[LISTENER_ADDRESS_SIZE];
    tls_choose_fn *choose;   /* by the name that a client asks for; or NULL */
    bool offload;            /* the kernel makes and opens the records of its connections */
    bool proxied;            /* connections begin with a header of the PROXY protocol (proxied.h) */
    bool keep_file;          /* the socket is kept elsewhere as well */
    bool trusts_all;         /* from whoever can connect, */
    struct network *trusted; /* or from these */
    unsigned trusted_count;

    /* -1 once it is closed. Read by the worker that accepts from it, and closed by that while it
     * runs, under the lock; others look at it under the lock. */
    int fd;
    struct unix_file file;     /* that goes with it; guarded by lock */
    struct tls_server *server; /* for TLS: a reference; guarded by lock */
    pthread_mutex_t lock;      /* a leaf */
};

/* Opens a listener, or takes over the caller's socket. 0 or -errno, as the public function says;
 * the log gets the reason. socket_buffer is the size of accepted sockets' buffers, 0: the
 * kernel's. */
int listener_open(struct listener *listener, const hyperderp_listener_options *options,
                  unsigned socket_buffer, const struct log *log);
/* Closes it. Its file goes with it, unless that, or the options, ask for it to stay. */
void listener_close(struct listener *listener, bool keep_file);
/* A reference to the server of its TLS for a connection to come, or NULL. Any thread. */
struct tls_server *listener_tls_server(struct listener *listener);

/* Changes it; the reference passes. Any thread. */
void listener_set_tls_server(struct listener *listener, struct tls_server *server);

/* Frees what a closed listener holds. */
void listener_destroy(struct listener *listener);

/* What TCP may wait for the acknowledgement of what was sent on connections to come. Any thread. */
void listener_set_user_timeout(struct listener *listener, unsigned ms);

/* Writes the address that a socket is bound to: "192.0.2.1:443", "[2001:db8::1]:443",
 * "unix:/run/x.sock", or "unknown". */
void listener_format_address(int fd, char out[LISTENER_ADDRESS_SIZE]);

/* Sets the options of TCP that each accepted socket inherits of its listener, so that accepting
 * needs no further system call; for sockets that connect, too. */
void listener_set_tcp_options(int fd);

#endif
