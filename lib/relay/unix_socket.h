/* SPDX-License-Identifier: BSD-3-Clause */
/* Listening sockets in the file system. */
#ifndef RELAY_UNIX_SOCKET_H
#define RELAY_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#define UNIX_PREFIX    "unix:"
#define UNIX_PATH_SIZE 108 /* as the kernel has it */

/* The file that is a socket of ours. */
struct unix_file {
    char path[UNIX_PATH_SIZE]; /* "": there is none */
    dev_t device;
    ino_t inode;
};

/* Whether an address is "unix:PATH". */
bool unix_address(const char *address);

/*
 * Listens on "unix:PATH", PATH being absolute; the file gets the mode 0660, whatever the umask. A
 * socket that nobody listens on any more is replaced. Returns the socket, or -errno: -EINVAL for
 * another form, -EADDRINUSE when somebody listens there, -EEXIST when what is there is no socket,
 * which is left alone.
 */
int unix_listen(const char *address, int backlog, struct unix_file *file);

/* Takes notice of the file of a socket that listens already. 0; -EINVAL for another form, or the
 * -errno of what keeps it from being that. */
int unix_adopt(const char *address, struct unix_file *file);

/* What an operator may do about such an error: "; ...", or "". */
const char *unix_advice(int error);

/* Removes the file, if it is still the one that was made. */
void unix_remove(struct unix_file *file);

#endif
