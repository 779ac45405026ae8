/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets that systemd hands over (sd_listen_fds(3)), found by their FileDescriptorName. */
#ifndef DAEMON_HANDED_SOCKETS_H
#define DAEMON_HANDED_SOCKETS_H

#include <stddef.h>

struct handed_sockets {
    char **names;
    int count;
};

/* Takes notice of them, once, and hides them from programs started later. 0 or -errno. */
int handed_sockets_take(struct handed_sockets *handed);
void handed_sockets_free(struct handed_sockets *handed);

/* The socket of this name, which is the caller's from now on. -ENOENT, with what there is in the
 * log. */
int handed_sockets_find(struct handed_sockets *handed, const char *name);

#endif
