/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sockets that this process did not open: of systemd's socket units, found by their
 * FileDescriptorName (sd_listen_fds(3)); and those of the process before, which systemd has kept
 * (fd_store.h) or which that process gives away itself (takeover.h), found by their address.
 */
#ifndef DAEMON_HANDED_SOCKETS_H
#define DAEMON_HANDED_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

struct handed_socket {
    int fd; /* -1: somebody has it */
    char *name;
    bool kept; /* of the process before */
};

struct handed_sockets {
    struct handed_socket *items;
    size_t count;
};

/* Takes notice of systemd's, once, and hides them from programs started later. 0 or -errno. */
int handed_sockets_take(struct handed_sockets *handed);

/* Adds one of the process before, which passes. 0 or -ENOMEM: then it is closed. */
int handed_sockets_add(struct handed_sockets *handed, int fd);

/* Closes those of the process before that nobody wanted, here and in systemd's store. */
void handed_sockets_drop(struct handed_sockets *handed);
void handed_sockets_free(struct handed_sockets *handed);

/* The socket of this name, which is the caller's from now on. -ENOENT, with what there is in the
 * log. */
int handed_sockets_find(struct handed_sockets *handed, const char *name);

/* The socket of the process before that is bound to this address, which is the caller's from now
 * on; -1 when there is none. */
int handed_sockets_claim(struct handed_sockets *handed, int type, const char *address);

#endif
