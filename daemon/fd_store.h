/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * systemd's store of file descriptors (sd_pid_notify_with_fds(3)): listening sockets lie there
 * while the service restarts, and connections wait in them. Next time they come with LISTEN_FDS.
 * Where there is no service manager, nothing happens. The main thread alone.
 */
#ifndef DAEMON_FD_STORE_H
#define DAEMON_FD_STORE_H

#include <stdbool.h>

#define FD_STORE_NAME_SIZE 192

/* Whether there is a service manager, that may have a store. */
bool fd_store_is_there(void);

/* Stores a copy of a socket; one that lies there already is not stored twice. */
void fd_store_put(int fd);

/* Whether a name is one that fd_store_put() gives. */
bool fd_store_has_named(const char *name);

/* Takes the socket of that name out. */
void fd_store_remove(const char *name);

#endif
