/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Taking over from a process that runs, without a service manager: the new process, which somebody
 * starts with --takeover, asks the old one for copies of its listening sockets over a socket in the
 * file system. When it serves on them it says so, and the old one sends its clients away. The old
 * one starts no program; whoever may write to its socket must be its own user, or root.
 *
 *     new                                  old
 *     connects                             checks who that is
 *                                          TAKEOVER_GREETING, with all sockets
 *     starts
 *     TAKEOVER_READY                       leaves
 *
 * If the new one ends before that, nothing has happened. The main thread alone.
 */
#ifndef DAEMON_TAKEOVER_H
#define DAEMON_TAKEOVER_H

#include <stdbool.h>

#include "handed_sockets.h"
#include "sockets.h"

/* By this signal the kernel tells that there is something to look at; it must be blocked. */
#define TAKEOVER_SIGNAL SIGIO

struct takeover {
    int listener; /* the old one's: where the next one comes; -1: nowhere */
    int peer;     /* who is there: of the old one the new one, of the new one the old one; or -1 */
};

void takeover_init(struct takeover *takeover);

/* The new one: adds the sockets of the process that runs. 0, also when none runs; else -errno, with
 * the reason logged. */
int takeover_ask(struct takeover *takeover, const char *path, struct handed_sockets *handed);

/* The new one serves: the old one may go. */
void takeover_finish(struct takeover *takeover);

/* Listens for the next one, on the socket of the process before if that is among those handed. 0
 * or -errno, with the reason logged. */
int takeover_listen(struct takeover *takeover, const char *path, struct sockets *sockets);

/* The signal has come, or a second has passed. True when another process has taken over. */
bool takeover_look(struct takeover *takeover, const struct sockets *sockets);

/* Ends it; with `path` its file goes as well. */
void takeover_close(struct takeover *takeover, const char *path);

#endif
