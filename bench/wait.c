/* SPDX-License-Identifier: BSD-3-Clause */
/* The waiting of bench/wait.h: an epoll set with a timerfd in it. */
#include "wait.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"

int load_wait_init(struct load_wait *wait)
{
    /* Once for each time that it expires: it need not be read. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};

    *wait = (struct load_wait){.epoll = -1, .timer = -1};
    wait->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (wait->epoll < 0)
        return -errno;
    wait->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (wait->timer < 0)
        return -errno;
    return epoll_ctl(wait->epoll, EPOLL_CTL_ADD, wait->timer, &event) < 0 ? -errno : 0;
}

void load_wait_free(struct load_wait *wait)
{
    if (wait->timer >= 0)
        close(wait->timer);
    if (wait->epoll >= 0)
        close(wait->epoll);
    wait->timer = wait->epoll = -1;
}

/* Sets the timer, unless it will expire by then anyhow. */
static int set_timer(struct load_wait *wait, uint64_t now_ns, uint64_t wake_ns)
{
    const struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(wake_ns / NS_PER_SECOND),
                     .tv_nsec = (long)(wake_ns % NS_PER_SECOND)},
    };

    if (wait->set_ns > now_ns && wait->set_ns <= wake_ns)
        return 0;
    wait->set_ns = wake_ns;
    return timerfd_settime(wait->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Takes the timer's event out. */
static int drop_timer(struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr != NULL)
            continue;
        events[i] = events[n - 1];
        return n - 1;
    }
    return n;
}

/* Counts a look in vain; one that took long was interrupted, and its time was another's. */
static void note_idle(struct load_wait *wait, uint64_t ns)
{
    if (ns <= LOAD_WAIT_SHORT_NS)
        atomic_fetch_add_explicit(&wait->idle_ns, ns, memory_order_relaxed);
}

int load_wait(struct load_wait *wait, uint64_t now_ns, uint64_t wake_ns, struct epoll_event *events,
              int room)
{
    bool sleeps = wake_ns > now_ns + LOAD_WAIT_SHORT_NS;
    int n;

    if (sleeps && set_timer(wait, now_ns, wake_ns) < 0)
        return -1;
    n = epoll_wait(wait->epoll, events, room, sleeps ? -1 : 0);
    if (!sleeps && n == 0 && wake_ns > now_ns)
        note_idle(wait, clock_ns() - now_ns);
    return n < 0 ? n : drop_timer(events, n);
}
