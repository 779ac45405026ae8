/* SPDX-License-Identifier: BSD-3-Clause */
/* Names to sockets, with poll() and a deadline around each step. */
#include "client/dial.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "memory/memory.h"

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t dial_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

int dial_time_left(int64_t deadline)
{
    int64_t left;

    if (deadline < 0)
        return -1;
    left = deadline - now_ms();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

int dial_wait(int fd, short events, int64_t deadline)
{
    struct pollfd item = {.fd = fd, .events = events};
    int n;

    for (;;) {
        n = poll(&item, 1, dial_time_left(deadline));
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

int dial_split(const char *address, char **host, char **port)
{
    const char *colon = strrchr(address, ':');
    const char *begin = address, *end = colon;

    if (colon == NULL || colon == address || colon[1] == '\0')
        return -EINVAL;
    if (*address == '[') {
        if (end[-1] != ']' || end - begin < 3)
            return -EINVAL;
        begin++;
        end--;
    } else if (memchr(address, ':', (size_t)(colon - address)) != NULL) {
        return -EINVAL; /* an IPv6 address without brackets: its port would be a guess */
    }
    *host = memory_strndup(begin, (size_t)(end - begin));
    *port = memory_strdup(colon + 1);
    if (*host != NULL && *port != NULL)
        return 0;
    memory_free(*host);
    memory_free(*port);
    return -ENOMEM;
}

int dial_look_up(const char *address, struct addrinfo **list)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char *host, *port;
    int err = dial_split(address, &host, &port);

    *list = NULL;
    if (err < 0)
        return err;
    switch (getaddrinfo(host, port, &hints, list)) {
    case 0:
        break;
    case EAI_MEMORY:
        err = -ENOMEM;
        break;
    default:
        err = -ENOENT;
    }
    memory_free(host);
    memory_free(port);
    return err;
}

int dial_begin(const struct addrinfo *to)
{
    int fd, err, one = 1;

    fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

void dial_watch(int fd)
{
    static const int one = 1, idle_s = 60, between_s = 10, count = 3, unanswered_ms = 30000;

    /* What cannot be set leaves the system's own values, which are longer. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof(between_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
}

int dial_finish(int fd)
{
    socklen_t len = sizeof(int);
    int err = 0;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno : -err;
}

/* Returns a connected socket or a negative errno. */
static int connect_one(const struct addrinfo *to, int64_t deadline)
{
    int fd = dial_begin(to), err;

    if (fd < 0)
        return fd;
    err = dial_wait(fd, POLLOUT, deadline);
    if (err == 0)
        err = dial_finish(fd);
    if (err < 0)
        close(fd);
    return err < 0 ? err : fd;
}

int dial(const char *address, int64_t deadline)
{
    struct addrinfo *list;
    int fd = dial_look_up(address, &list);

    if (fd < 0)
        return fd;
    fd = -ENOENT;
    for (struct addrinfo *each = list; each != NULL && fd < 0; each = each->ai_next)
        fd = connect_one(each, deadline);
    freeaddrinfo(list);
    return fd;
}
