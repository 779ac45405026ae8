/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STUN beside DERP: clients learn by it how the world sees them, and how far the relay is. A socket
 * is served by one worker, in its turns and some datagrams at a time; what comes faster is dropped
 * by the kernel. Nobody is answered before the relay has started, nor from the moment on in which
 * it begins to drain: clients shall look for another one then.
 */
#ifndef RELAY_STUN_H
#define RELAY_STUN_H

#include "io/loop.h"
#include "io/timer.h"
#include "relay/listener.h"
#include "relay/log.h"

struct hyperderp_relay;
struct stun_batch;
struct worker;

struct stun_socket {
    /* Fixed once it is open. */
    char address[LISTENER_ADDRESS_SIZE];
    struct stun_batch *batch;

    /* Of the worker that serves it, and of the relay's owner before and after. */
    int fd; /* -1 once it is closed */
    struct worker *worker;
    struct timer retry; /* when the loop could not take it up */
};

/* Binds a socket for datagrams. 0 or -errno; the log gets the reason. */
int stun_open(struct stun_socket *socket, const char *address, const struct log *log);
/* The same with a socket that is bound already. 0 or -ENOMEM: then it is still the caller's. */
int stun_use(struct stun_socket *socket, int fd);
void stun_close(struct stun_socket *socket);

/* Frees what a closed one holds. */
void stun_destroy(struct stun_socket *socket);

/* Throws away what came before the start: nobody was to be answered then, and an answer now would
 * make the relay look far away. Before the workers run. */
void stun_forget_early(const struct hyperderp_relay *relay);

/* The worker serves the sockets that are its own from now on. */
void stun_start(struct worker *worker);

/* Answers what waits, at most a batch. */
void stun_event(struct worker *worker, const struct io_event *event);

/* Closes the worker's sockets. */
void stun_stop(struct worker *worker);

#endif
