/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names to addresses. The system's resolver blocks, so each question has a thread of its own, which
 * is left behind when the answer is no longer wanted.
 */
#ifndef RELAY_RESOLVE_H
#define RELAY_RESOLVE_H

#include <stdint.h>
#include <sys/socket.h>

struct worker;

/* So many addresses of a name are kept. */
#define RESOLVE_MAX_ADDRESSES 8

struct resolve_answer {
    const char *error; /* NULL: there are addresses */
    unsigned count;
    struct sockaddr_storage addresses[RESOLVE_MAX_ADDRESSES];
};

/* Runs on the worker that asked. */
typedef void resolve_done_fn(void *user, const struct resolve_answer *answer);

struct resolution;

/* Asks for the addresses of a host, a name or numeric. For the worker's own thread; it is answered
 * by done, in a later turn. NULL without memory or a thread. */
struct resolution *resolve(struct worker *worker, const char *host, uint16_t port,
                           resolve_done_fn *done, void *user);

/* The answer is not wanted any more: done is not called. Not after it was. The worker's own
 * thread. */
void resolve_cancel(struct resolution *resolution);

#endif
