/* SPDX-License-Identifier: BSD-3-Clause */
/* Connecting a socket by a name, and waiting for it, with a deadline around all of it. */
#ifndef CLIENT_DIAL_H
#define CLIENT_DIAL_H

#include <stdint.h>

/* A deadline is a time of CLOCK_MONOTONIC in milliseconds, or -1 when there is none. */
int64_t dial_deadline(int timeout_ms); /* negative: none */
int dial_time_left(int64_t deadline);  /* milliseconds, as poll() takes them */

/* Waits until the socket is ready for poll()'s events. 0, -ETIMEDOUT, or what poll() said. */
int dial_wait(int fd, short events, int64_t deadline);

/* Splits "HOST:PORT" or "[IPV6]:PORT" into two strings that the caller frees. 0, -EINVAL, -ENOMEM.
 */
int dial_split(const char *address, char **host, char **port);

/* Connects. A non-blocking socket, or -EINVAL for an address of another form, -ENOENT for a name
 * that does not resolve, -ETIMEDOUT, what connect() said. */
int dial(const char *address, int64_t deadline);

#endif
