/* SPDX-License-Identifier: BSD-3-Clause */
/* What the two engines share behind loop.h. Included by lib/io alone. */
#ifndef IO_ENGINE_H
#define IO_ENGINE_H

#include <stdatomic.h>

#include "io/accept.h"
#include "io/loop.h"

struct io_engine_ops {
    void (*destroy)(struct io_loop *loop);
    int (*attach)(struct io_loop *loop);
    int (*recv)(struct io_loop *loop, int fd, io_token token, unsigned flags);
    int (*cancel)(struct io_loop *loop, int fd, io_token token);
    int (*send)(struct io_loop *loop, int fd, const struct msghdr *message, io_token token);
    int (*await_writable)(struct io_loop *loop, int fd, io_token token);
    int (*poll)(struct io_loop *loop, struct io_event *events, int max, int64_t timeout_ns);

    /* Of a loop that is driven (driven.c), which sees to io_wake() itself. `signal` makes what is
     * readable when there are events, closed by destroy: a file descriptor or -errno, before
     * attach. The others are as loop.h has them; without submit there is nothing to submit. */
    int (*signal)(struct io_loop *loop);
    void (*unsignal)(struct io_loop *loop); /* NULL: nothing to undo */
    bool (*submit)(struct io_loop *loop);
    void (*abandon)(struct io_loop *loop);
};

struct io_driven;

struct io_loop {
    /* Fixed after creation. */
    const struct io_engine_ops *ops;
    int wake_fd;              /* eventfd */
    struct io_driven *driven; /* NULL: it waits by itself */

    /* Owned by the loop's thread. */
    struct io_chunk_pool pool;
    struct io_accepts accepts;

    /* Shared: true from io_wake() until the loop has taken notice, so that a burst of wakes costs
     * one write. Acquire-release: what was done before io_wake() is seen after io_poll(). */
    atomic_bool woken;
};

/* Each makes a loop of its engine, with ops, pool and whatever it needs set up, but not wake_fd's
 * registration, which attach does. */
int io_uring_loop_new(struct io_loop **out, unsigned chunks, bool sqpoll);
int io_epoll_loop_new(struct io_loop **out, unsigned chunks);

/* Sets up and tears down the part that both engines share. */
int io_loop_base_init(struct io_loop *loop, const struct io_engine_ops *ops, unsigned chunks,
                      void (*give_back)(struct io_chunk_pool *, struct io_chunk *));
void io_loop_base_destroy(struct io_loop *loop);

/* Takes notice of a wake: empties the eventfd. */
void io_loop_woken(struct io_loop *loop);

/* Empties an eventfd that does not block. Returns whether there was something in it. */
bool io_eventfd_clear(int fd);

void io_driven_free(struct io_driven *driven); /* NULL is allowed */

#endif
