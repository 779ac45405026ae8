/* SPDX-License-Identifier: BSD-3-Clause */
/* The set of listening sockets, and of those with datagrams. */
#include "io/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "memory/memory.h"

/* Connections taken from one socket before others get their turn. */
#define ACCEPTS_PER_TURN 16

struct io_acceptor {
    int fd;
    io_token token;
};

int io_accepts_init(struct io_accepts *accepts)
{
    *accepts = (struct io_accepts){.set = epoll_create1(EPOLL_CLOEXEC)};
    return accepts->set < 0 ? -errno : 0;
}

void io_accepts_destroy(struct io_accepts *accepts)
{
    if (accepts->set >= 0)
        close(accepts->set);
    memory_free(accepts->acceptors);
}

static struct io_acceptor *find(const struct io_accepts *accepts, int fd)
{
    for (unsigned i = 0; i < accepts->count; i++)
        if (accepts->acceptors[i].fd == fd)
            return &accepts->acceptors[i];
    return NULL;
}

int io_accepts_add(struct io_accepts *accepts, int fd, io_token token)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    size_t size = (accepts->count + 1) * sizeof(*accepts->acceptors);
    struct io_acceptor *acceptors = memory_realloc(accepts->acceptors, size);

    if (!acceptors)
        return -EAGAIN;
    accepts->acceptors = acceptors;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        epoll_ctl(accepts->set, EPOLL_CTL_ADD, fd, &event) != 0)
        return -EAGAIN;
    acceptors[accepts->count++] = (struct io_acceptor){.fd = fd, .token = token};
    return 0;
}

void io_accepts_remove(struct io_accepts *accepts, int fd)
{
    struct io_acceptor *acceptor = find(accepts, fd);
    if (!acceptor)
        return;
    (void)epoll_ctl(accepts->set, EPOLL_CTL_DEL, fd, NULL);
    *acceptor = accepts->acceptors[--accepts->count];
}

static int take_from(struct io_accepts *accepts, int fd, struct io_event *events, int max)
{
    const struct io_acceptor *acceptor = find(accepts, fd);
    int count = 0;

    if (!acceptor)
        return 0;
    io_token token = acceptor->token;
    if (io_token_op(token) == IO_OP_READABLE) {
        *events = (struct io_event){.token = token, .more = true};
        return 1;
    }
    while (count < max && count < ACCEPTS_PER_TURN) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0) {
            events[count++] = (struct io_event){.token = token, .result = client, .more = true};
            continue;
        }
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            break;
        /* The set would stay readable: without this the loop turned at full speed while files are
         * short. */
        events[count++] = (struct io_event){.token = token, .result = -errno};
        io_accepts_remove(accepts, fd);
        break;
    }
    return count;
}

int io_accepts_take(struct io_accepts *accepts, struct io_event *events, int max)
{
    struct epoll_event ready[8];
    int count = 0;

    int n = max > 0 ? epoll_wait(accepts->set, ready, 8, 0) : 0;
    for (int i = 0; i < n && count < max; i++)
        count += take_from(accepts, ready[i].data.fd, events + count, max - count);
    return count;
}
