/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The epoll engine: for machines where io_uring is missing or forbidden. Reads and sends are tried
 * at once and never wait. Waiting for room to send uses a second epoll instance inside the first,
 * as one socket may be read for one token and awaited for another.
 */
#include "io/engine.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "memory/memory.h"

#define TOKEN_WAKE    ((uint64_t)IO_OP_INTERNAL << 56 | 1)
#define TOKEN_WRITES  ((uint64_t)IO_OP_INTERNAL << 56 | 2)
#define TOKEN_ACCEPTS ((uint64_t)IO_OP_INTERNAL << 56 | 3)

/*
 * The kernel hands back 64 bits for a socket. The token needs all of them, and the socket is needed
 * as well: a table from socket to token would do, but the engine can look the socket up itself
 * where it is kept here, one entry for each socket that is being read.
 */
struct epoll_watch {
    io_token token;
    uint32_t events; /* 0: nothing is asked for */
};

struct epoll_loop {
    struct io_loop base;
    int reads;  /* receives, the wake eventfd, `writes`, and the set of listeners */
    int writes; /* sockets whose room to send is awaited */
    struct epoll_watch *watches; /* by socket */
    unsigned watch_count;
    uint16_t *free_chunks; /* a stack: the chunk used last is the warmest */
    unsigned free_count;
};

static struct epoll_loop *epoll(struct io_loop *loop)
{
    return (struct epoll_loop *)loop;
}

static void epoll_give_back(struct io_chunk_pool *pool, struct io_chunk *chunk)
{
    struct epoll_loop *e = (struct epoll_loop *)((char *)pool - offsetof(struct io_loop, pool));
    e->free_chunks[e->free_count++] = chunk->id;
}

static struct io_chunk *epoll_take_chunk(struct epoll_loop *e)
{
    if (e->free_count == 0)
        return NULL;
    struct io_chunk *chunk = &e->base.pool.chunks[e->free_chunks[--e->free_count]];
    e->base.pool.free--;
    chunk->refs = 1;
    return chunk;
}

static int epoll_set(int epfd, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    if (errno == EEXIST && epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    return -errno;
}

static int epoll_attach(struct io_loop *loop)
{
    struct epoll_loop *e = epoll(loop);
    int error = loop->driven ? 0 : epoll_set(e->reads, loop->wake_fd, EPOLLIN, TOKEN_WAKE);
    if (error == 0)
        error = epoll_set(e->reads, e->writes, EPOLLIN, TOKEN_WRITES);
    return error ? error : epoll_set(e->reads, loop->accepts.set, EPOLLIN, TOKEN_ACCEPTS);
}

static void epoll_destroy(struct io_loop *loop)
{
    struct epoll_loop *e = epoll(loop);
    if (e->reads >= 0)
        close(e->reads);
    if (e->writes >= 0)
        close(e->writes);
    memory_free(e->watches);
    memory_free(e->free_chunks);
    io_loop_base_destroy(loop);
    memory_free(e);
}

static int epoll_grow(struct epoll_loop *e, unsigned wanted)
{
    unsigned count = e->watch_count ? e->watch_count : 64;
    while (count <= wanted)
        count *= 2;
    struct epoll_watch *watches = memory_realloc(e->watches, count * sizeof(*watches));
    if (!watches)
        return -ENOMEM;
    for (unsigned i = e->watch_count; i < count; i++)
        watches[i] = (struct epoll_watch){0};
    e->watches = watches;
    e->watch_count = count;
    return 0;
}

static int epoll_watch(struct epoll_loop *e, int fd, uint32_t events, io_token token)
{
    if ((unsigned)fd >= e->watch_count && epoll_grow(e, (unsigned)fd) != 0)
        return -EAGAIN;
    int error = epoll_set(e->reads, fd, events, (uint64_t)fd);
    if (error)
        return error == -ENOMEM || error == -ENOSPC ? -EAGAIN : error;
    e->watches[fd] = (struct epoll_watch){.token = token, .events = events};
    return 0;
}

static void epoll_unwatch(struct epoll_loop *e, int fd)
{
    (void)epoll_ctl(e->reads, EPOLL_CTL_DEL, fd, NULL);
    e->watches[fd].events = 0;
}

static int epoll_recv(struct io_loop *loop, int fd, io_token token, unsigned flags)
{
    uint32_t events = flags & IO_RECV_STREAM ? EPOLLIN : EPOLLIN | EPOLLONESHOT;
    return epoll_watch(epoll(loop), fd, events, token);
}

static int epoll_cancel(struct io_loop *loop, int fd, io_token token)
{
    (void)token;
    epoll_unwatch(epoll(loop), fd);
    return 0;
}

static int epoll_send(struct io_loop *loop, int fd, const struct msghdr *message, io_token token)
{
    (void)loop;
    (void)token;
    ssize_t sent = sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent >= 0 ? (int)sent : -errno;
}

static int epoll_await_writable(struct io_loop *loop, int fd, io_token token)
{
    int error = epoll_set(epoll(loop)->writes, fd, EPOLLOUT | EPOLLONESHOT, token);
    return error ? -EAGAIN : 0;
}

static int epoll_do_recv(struct epoll_loop *e, int fd, struct io_event *event)
{
    struct epoll_watch *watch = &e->watches[fd];
    bool stream = (watch->events & EPOLLONESHOT) == 0;
    struct io_chunk *chunk = epoll_take_chunk(e);

    *event = (struct io_event){.token = watch->token, .result = -ENOBUFS};
    if (!chunk) {
        epoll_unwatch(e, fd);
        return 1;
    }
    ssize_t got = recv(fd, chunk->data, IO_CHUNK_SIZE, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        io_chunk_unref(chunk);
        if (!stream)
            (void)epoll_watch(e, fd, watch->events, watch->token);
        return 0;
    }
    event->result = got >= 0 ? (int)got : -errno;
    event->more = got > 0 && stream;
    if (got > 0) {
        event->chunk = chunk;
    } else {
        io_chunk_unref(chunk);
        epoll_unwatch(e, fd);
    }
    return 1;
}

static int epoll_do_writes(struct epoll_loop *e, struct io_event *events, int max)
{
    struct epoll_event ready[64];
    int n = epoll_wait(e->writes, ready, max < 64 ? max : 64, 0);
    for (int i = 0; i < n; i++)
        events[i] = (struct io_event){.token = ready[i].data.u64};
    return n > 0 ? n : 0;
}

static int epoll_do(struct epoll_loop *e, uint64_t data, struct io_event *events, int max)
{
    if (data == TOKEN_WAKE) {
        io_loop_woken(&e->base);
        return 0;
    }
    if (data == TOKEN_WRITES)
        return epoll_do_writes(e, events, max);
    if (data == TOKEN_ACCEPTS)
        return io_accepts_take(&e->base.accepts, events, max);
    int fd = (int)data;
    if (e->watches[fd].events == 0)
        return 0;
    return epoll_do_recv(e, fd, events);
}

static int epoll_timeout_ms(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return -1;
    int64_t ms = (timeout_ns + 999999) / 1000000;
    return ms > 3600000 ? 3600000 : (int)ms;
}

static int epoll_poll(struct io_loop *loop, struct io_event *events, int max, int64_t timeout_ns)
{
    struct epoll_loop *e = epoll(loop);
    struct epoll_event ready[128];
    int count = 0;

    int n = epoll_wait(e->reads, ready, max < 128 ? max : 128, epoll_timeout_ms(timeout_ns));
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    /* Level-triggered: what finds no place in events is reported again in the next turn, except for
     * a one-shot watch, which is set anew. */
    for (int i = 0; i < n; i++) {
        if (count < max) {
            count += epoll_do(e, ready[i].data.u64, events + count, max - count);
            continue;
        }
        uint64_t data = ready[i].data.u64;
        if (data >> 56 == 0 && e->watches[data].events & EPOLLONESHOT)
            (void)epoll_watch(e, (int)data, e->watches[data].events, e->watches[data].token);
    }
    return count;
}

static int epoll_signal(struct io_loop *loop)
{
    return epoll(loop)->reads;
}

static const struct io_engine_ops epoll_ops = {
    .destroy = epoll_destroy,
    .attach = epoll_attach,
    .recv = epoll_recv,
    .cancel = epoll_cancel,
    .send = epoll_send,
    .await_writable = epoll_await_writable,
    .poll = epoll_poll,
    .signal = epoll_signal,
};

int io_epoll_loop_new(struct io_loop **out, unsigned chunks)
{
    struct epoll_loop *e = memory_calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    int error = io_loop_base_init(&e->base, &epoll_ops, chunks, epoll_give_back);
    if (error) {
        memory_free(e);
        return error;
    }
    e->reads = epoll_create1(EPOLL_CLOEXEC);
    e->writes = epoll_create1(EPOLL_CLOEXEC);
    e->free_chunks = memory_alloc(chunks * sizeof(*e->free_chunks));
    if (e->reads < 0 || e->writes < 0 || !e->free_chunks) {
        error = e->free_chunks ? -errno : -ENOMEM;
        epoll_destroy(&e->base);
        return error;
    }
    for (unsigned i = chunks; i > 0; i--)
        e->free_chunks[e->free_count++] = (uint16_t)(i - 1);
    *out = &e->base;
    return 0;
}
