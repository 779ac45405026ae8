/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A loop that another one drives: an epoll set, readable when the loop wants to be polled. In it
 * are what the engine has events by, the eventfd of io_wake(), a timer, and an eventfd for what
 * wants a turn at once.
 */
#include "io/engine.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "memory/memory.h"

#define NS_PER_S 1000000000
#define NEVER    INT64_MAX

struct io_driven {
    int set;
    int timer;   /* timerfd, of CLOCK_MONOTONIC */
    int ready;   /* eventfd */
    int64_t due; /* what the timer is set to, or NEVER */
    bool is_ready;
};

void io_driven_free(struct io_driven *driven)
{
    if (!driven)
        return;
    int files[] = {driven->set, driven->timer, driven->ready};
    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (files[i] >= 0)
            close(files[i]);
    memory_free(driven);
}

static int add(const struct io_driven *driven, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (fd < 0)
        return fd;
    return epoll_ctl(driven->set, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* Opens the files and brings them together. It begins readable: the first turn is wanted. */
static int make(struct io_driven *driven, struct io_loop *loop)
{
    driven->set = epoll_create1(EPOLL_CLOEXEC);
    if (driven->set < 0)
        return -errno;
    driven->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (driven->timer < 0)
        return -errno;
    driven->ready = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (driven->ready < 0)
        return -errno;
    int error = add(driven, driven->timer);
    if (error == 0)
        error = add(driven, driven->ready);
    if (error == 0)
        error = add(driven, loop->wake_fd);
    return error ? error : add(driven, loop->ops->signal(loop));
}

int io_driven_begin(struct io_loop *loop)
{
    struct io_driven *driven = memory_alloc(sizeof(*driven));

    if (!driven)
        return -ENOMEM;
    *driven =
        (struct io_driven){.set = -1, .timer = -1, .ready = -1, .due = NEVER, .is_ready = true};
    loop->driven = driven;
    int error = make(driven, loop);
    if (error)
        io_driven_end(loop);
    return error;
}

void io_driven_end(struct io_loop *loop)
{
    if (!loop->driven)
        return;
    if (loop->ops->unsignal)
        loop->ops->unsignal(loop);
    io_driven_free(loop->driven);
    loop->driven = NULL;
}

int io_driven_fd(const struct io_loop *loop)
{
    return loop->driven->set;
}

void io_driven_enter(struct io_loop *loop)
{
    /* Whoever has said so may not have written yet. Cleared before that, it would never be read. */
    if (atomic_load_explicit(&loop->woken, memory_order_relaxed) && io_eventfd_clear(loop->wake_fd))
        atomic_exchange_explicit(&loop->woken, false, memory_order_acq_rel);
}

bool io_driven_submit(struct io_loop *loop)
{
    return loop->ops->submit && loop->ops->submit(loop);
}

static void set_ready(struct io_driven *driven, bool is_ready)
{
    uint64_t one = 1;

    if (is_ready == driven->is_ready)
        return;
    driven->is_ready = is_ready;
    if (!is_ready)
        io_eventfd_clear(driven->ready);
    else
        while (write(driven->ready, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
}

/* One that would fire too early is left as it is: deadlines move on with each packet, and that
 * costs a turn now and then, not a system call each time. Setting it ends its being readable. */
static void set_timer(struct io_driven *driven, int64_t now, int64_t due)
{
    struct itimerspec when = {0};

    if (due == driven->due || (driven->due > now && driven->due < due))
        return;
    if (due != NEVER) {
        when.it_value.tv_sec = due / NS_PER_S;
        when.it_value.tv_nsec = due % NS_PER_S;
    }
    (void)timerfd_settime(driven->timer, TFD_TIMER_ABSTIME, &when, NULL);
    driven->due = due;
}

void io_driven_leave(struct io_loop *loop, int64_t now, int64_t timeout_ns)
{
    struct io_driven *driven = loop->driven;

    set_ready(driven, timeout_ns == 0);
    if (timeout_ns != 0)
        set_timer(driven, now, timeout_ns < 0 ? NEVER : now + timeout_ns);
}

void io_driven_abandon(struct io_loop *loop)
{
    if (loop->ops->abandon)
        loop->ops->abandon(loop);
}
