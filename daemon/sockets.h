/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sockets of a configuration across processes: which of the process before go on, and which of
 * this one's the next may get. The main thread alone.
 */
#ifndef DAEMON_SOCKETS_H
#define DAEMON_SOCKETS_H

#include <hyperderp/relay.h>

#include "config.h"
#include "handed_sockets.h"

struct sockets {
    struct handed_sockets handed;

    /* Of the process before, until somebody takes them; -1: to be bound. Those of the listeners in
     * their order. */
    int *listeners;
    size_t listener_count;
    int stun, metrics;

    /* Copies of this process's, for one that takes over; none unless it may. */
    bool keeps_copies;
    int *copies;
    size_t copy_count;
};

/* Finds for each address its socket, among those handed, and closes the ones that are for none:
 * they must not keep others from being bound. With takeover.socket set copies are kept. 0 or
 * -ENOMEM. */
int sockets_match(struct sockets *sockets, const struct config *config);

/* The relay's sockets, before its start, and any other: they go to systemd's store, and copies of
 * them are kept. 0 or -errno. */
int sockets_keep_relay(struct sockets *sockets, const hyperderp_relay *relay,
                       const struct config *config);
int sockets_keep(struct sockets *sockets, int fd);

/* Keeps a copy alone. 0 or -errno. */
int sockets_copy(struct sockets *sockets, int fd);

/* Closes the copies: nobody takes over any more. */
void sockets_drop_copies(struct sockets *sockets);
void sockets_free(struct sockets *sockets);

/* Hands a number out: -1 is left. */
int sockets_take(int *fd);

#endif
