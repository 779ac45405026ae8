/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The web server on the metrics address: /metrics, /health, the status page at /, and /debug/...
 * where they were asked for. libmicrohttpd with one thread of its own; it never waits for a worker.
 */
#ifndef DAEMON_WEB_H
#define DAEMON_WEB_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "status.h"

struct web;

/* Starts it, on a socket that listens already, which passes, or with -1 on one of its own. 0, or a
 * negative errno with the reason logged, address included. */
int web_start(struct web **out, const struct config_metrics *options, const struct status *status,
              int fd);
/* The socket it listens on, which is its own. */
int web_fd(const struct web *web);
/* Turns /debug/ on or off. Any thread. */
void web_set_debug(struct web *web, bool on);
/* The address it listens on, with the port that the kernel chose for port 0. */
void web_address(const struct web *web, char *text, size_t room);
/* A second has passed: takes the sample for the plots of the status page. The main thread. */
void web_tick(struct web *web);
void web_stop(struct web *web); /* NULL is allowed */

#endif
