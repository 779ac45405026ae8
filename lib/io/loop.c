/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of the loop that does not depend on the engine. */
#include "io/engine.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int io_loop_base_init(struct io_loop *loop, const struct io_engine_ops *ops, unsigned chunks,
                      void (*give_back)(struct io_chunk_pool *, struct io_chunk *))
{
    loop->ops = ops;
    loop->driven = NULL;
    atomic_init(&loop->woken, false);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return -errno;
    int error = io_accepts_init(&loop->accepts);
    if (error) {
        close(loop->wake_fd);
        return error;
    }
    error = io_chunk_pool_init(&loop->pool, chunks, give_back);
    if (error) {
        io_accepts_destroy(&loop->accepts);
        close(loop->wake_fd);
    }
    return error;
}

void io_loop_base_destroy(struct io_loop *loop)
{
    io_driven_free(loop->driven);
    io_chunk_pool_destroy(&loop->pool);
    io_accepts_destroy(&loop->accepts);
    close(loop->wake_fd);
}

bool io_eventfd_clear(int fd)
{
    uint64_t count;
    ssize_t size;

    do
        size = read(fd, &count, sizeof(count));
    while (size < 0 && errno == EINTR);
    return size > 0;
}

void io_loop_woken(struct io_loop *loop)
{
    /* Read first, then clear: a wake that comes in between only costs a turn for nothing, while the
     * other order would lose it. An exchange, as it must read what the last io_wake() wrote: so it
     * sees all that was done before that call, also when that found the loop woken already. */
    (void)io_eventfd_clear(loop->wake_fd);
    atomic_exchange_explicit(&loop->woken, false, memory_order_acq_rel);
}

int io_loop_new(struct io_loop **out, enum io_engine engine, unsigned chunks, bool sqpoll)
{
    return engine == IO_ENGINE_URING ? io_uring_loop_new(out, chunks, sqpoll)
                                     : io_epoll_loop_new(out, chunks);
}

void io_loop_free(struct io_loop *loop)
{
    if (loop)
        loop->ops->destroy(loop);
}

int io_loop_attach(struct io_loop *loop)
{
    return loop->ops->attach(loop);
}

int io_accept(struct io_loop *loop, int fd, io_token token)
{
    return io_accepts_add(&loop->accepts, fd, token);
}

int io_await_readable(struct io_loop *loop, int fd, io_token token)
{
    return io_accepts_add(&loop->accepts, fd, token);
}

int io_recv(struct io_loop *loop, int fd, io_token token, unsigned flags)
{
    return loop->ops->recv(loop, fd, token, flags);
}

int io_cancel(struct io_loop *loop, int fd, io_token token)
{
    if (io_token_op(token) != IO_OP_ACCEPT && io_token_op(token) != IO_OP_READABLE)
        return loop->ops->cancel(loop, fd, token);
    io_accepts_remove(&loop->accepts, fd);
    return 0;
}

int io_send(struct io_loop *loop, int fd, const struct msghdr *message, io_token token)
{
    return loop->ops->send(loop, fd, message, token);
}

int io_await_writable(struct io_loop *loop, int fd, io_token token)
{
    return loop->ops->await_writable(loop, fd, token);
}

int io_poll(struct io_loop *loop, struct io_event *events, int max, int64_t timeout_ns)
{
    return loop->ops->poll(loop, events, max, timeout_ns);
}

void io_wake(struct io_loop *loop)
{
    if (atomic_exchange_explicit(&loop->woken, true, memory_order_acq_rel))
        return;
    uint64_t one = 1;
    while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

unsigned io_free_chunks(const struct io_loop *loop)
{
    return loop->pool.free;
}
