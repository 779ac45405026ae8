/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Accepting for both engines: an epoll set of the listening sockets, of which the engine waits for
 * the set alone. Sockets whose datagrams the caller reads itself are in it, too. An epoll set holds
 * no reference to its sockets. A request of io_uring does, until the kernel has taken the ring of a
 * dead process apart: a relay that was killed could not be started again on its port for some 20
 * ms.
 */
#ifndef IO_ACCEPT_H
#define IO_ACCEPT_H

#include "io/loop.h"

struct io_acceptor;

struct io_accepts {
    int set; /* epoll: readable when a connection or a datagram waits */
    struct io_acceptor *acceptors;
    unsigned count;
};

/* 0 or -errno. */
int io_accepts_init(struct io_accepts *accepts);
void io_accepts_destroy(struct io_accepts *accepts);

/* Accepts from a socket, which is made non-blocking, until an event says more = false; or, with a
 * token of IO_OP_READABLE, tells when there is something to be read. 0 or -EAGAIN when memory is
 * out. */
int io_accepts_add(struct io_accepts *accepts, int fd, io_token token);

/* No event of the socket will come any more. */
void io_accepts_remove(struct io_accepts *accepts, int fd);

/* Accepts what waits, a few connections at a time, and tells what can be read. Returns the number
 * of events. When there is more, the set stays readable. */
int io_accepts_take(struct io_accepts *accepts, struct io_event *events, int max);

#endif
