/* SPDX-License-Identifier: BSD-3-Clause */
/* Connecting a socket by a name, and waiting for it, with a deadline around all of it. */
#ifndef CLIENT_DIAL_H
#define CLIENT_DIAL_H

#include <netdb.h>
#include <stdint.h>

/* A deadline is a time of CLOCK_MONOTONIC in milliseconds, or -1 when there is none. */
int64_t dial_deadline(int timeout_ms); /* negative: none */
int dial_time_left(int64_t deadline);  /* milliseconds, as poll() takes them */

/* Waits until the socket is ready for poll()'s events. 0, -ETIMEDOUT, or what poll() said. */
int dial_wait(int fd, short events, int64_t deadline);

/* Splits "HOST:PORT" or "[IPV6]:PORT" into two strings that the caller frees. 0, -EINVAL, -ENOMEM.
 */
int dial_split(const char *address, char **host, char **port);

/* Looks an address up: what freeaddrinfo() frees. 0, -EINVAL for another form, -ENOENT for a name
 * that does not resolve, -ENOMEM. Asks the system's resolver, which may take its time. */
int dial_look_up(const char *address, struct addrinfo **list);

/* Begins to connect a socket that does not block, or returns what went wrong at once. When it is
 * ready for POLLOUT, dial_finish() tells what came of it: 0 or a negative errno. */
int dial_begin(const struct addrinfo *to);
int dial_finish(int fd);

/* Has the system notice when a connection's path is dead: nothing of a TCP socket otherwise does,
 * as long as only receiving is waited for. */
void dial_watch(int fd);

/* Connects. A non-blocking socket, or -EINVAL for an address of another form, -ENOENT for a name
 * that does not resolve, -ETIMEDOUT, what connect() said. */
int dial(const char *address, int64_t deadline);

#endif
