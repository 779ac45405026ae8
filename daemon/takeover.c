/* SPDX-License-Identifier: BSD-3-Clause */
/* Both ends of the socket. */
#include "takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

#define TAKEOVER_GREETING "hyper-derp takeover 1"
#define TAKEOVER_READY    "ready"

/* Listeners, STUN, metrics and the socket itself, and room; the kernel takes 253. */
#define MAX_SOCKETS 128

/* How long the old one may take to answer. */
#define ANSWER_SECONDS 10

void takeover_init(struct takeover *takeover)
{
    *takeover = (struct takeover){.listener = -1, .peer = -1};
}

static void fill_address(struct sockaddr_un *un, const char *path)
{
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
}

static void hang_up(struct takeover *takeover)
{
    if (takeover->peer >= 0)
        close(takeover->peer);
    takeover->peer = -1;
}

/* Sockets are given to, and taken from, the same user and root alone. */
static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

/* ---- The new one ---- */

static int connect_to(const char *path)
{
    const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    struct sockaddr_un un;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    fill_address(&un, path);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* Adds what a message brings; what cannot be added is closed. */
static int add_sockets(struct handed_sockets *handed, struct msghdr *message)
{
    int fds[MAX_SOCKETS], error = 0;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(part), count * sizeof(int));
        for (size_t i = 0; i < count; i++) {
            int added = handed_sockets_add(handed, fds[i]);
            error = error ? error : added;
        }
    }
    return error;
}

static int receive_sockets(int fd, struct handed_sockets *handed)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_SOCKETS * sizeof(int))];
    char greeting[sizeof(TAKEOVER_GREETING) + 1];
    struct iovec piece = {greeting, sizeof(greeting)};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t len = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

    if (len < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    int error = add_sockets(handed, &message);
    if (error)
        return error;
    if (len == 0)
        return -ECONNRESET;
    return (size_t)len == strlen(TAKEOVER_GREETING) && !(message.msg_flags & MSG_CTRUNC) &&
                   memcmp(greeting, TAKEOVER_GREETING, (size_t)len) == 0
               ? 0
               : -EPROTO;
}

int takeover_ask(struct takeover *takeover, const char *path, struct handed_sockets *handed)
{
    size_t before = handed->count;
    int fd = connect_to(path);

    if (fd == -ENOENT || fd == -ECONNREFUSED) {
        log_print(HYPERDERP_LOG_INFO, "nobody at %s to take over from", path);
        return 0;
    }
    int error = fd < 0 ? fd : is_trusted(fd) ? receive_sockets(fd, handed) : -EPERM;
    if (error) {
        log_print(HYPERDERP_LOG_ERROR, "taking over by %s: %s", path, strerror(-error));
        if (fd >= 0)
            close(fd);
        return error;
    }
    takeover->peer = fd;
    log_print(HYPERDERP_LOG_INFO, "taking over %zu sockets by %s", handed->count - before, path);
    return 0;
}

void takeover_finish(struct takeover *takeover)
{
    if (takeover->peer >= 0 &&
        send(takeover->peer, TAKEOVER_READY, strlen(TAKEOVER_READY), MSG_NOSIGNAL) < 0)
        log_print(HYPERDERP_LOG_WARN, "the process before has ended already: %s", strerror(errno));
    hang_up(takeover);
}

/* ---- The old one ---- */

/* The kernel raises the signal whenever something comes. */
static int signal_on_input(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETOWN, getpid()) == 0 &&
                   fcntl(fd, F_SETFL, flags | O_ASYNC | O_NONBLOCK) == 0
               ? 0
               : -errno;
}

/* The file of one that has died is replaced. */
static int bind_path(int fd, const char *path)
{
    struct sockaddr_un un;
    struct stat info;

    fill_address(&un, path);
    if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) == 0)
        return 0;
    if (errno != EADDRINUSE || lstat(path, &info) != 0 || !S_ISSOCK(info.st_mode))
        return -errno;
    int other = connect_to(path);
    if (other >= 0)
        close(other);
    if (other != -ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(path) == 0 && bind(fd, (const struct sockaddr *)&un, sizeof(un)) == 0 ? 0
                                                                                        : -errno;
}

/* Nobody can connect before listen(), so the mode comes in time. */
static int open_listener(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int error = bind_path(fd, path);
    if (error == 0 && (chmod(path, 0600) != 0 || listen(fd, 4) != 0))
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

int takeover_listen(struct takeover *takeover, const char *path, struct sockets *sockets)
{
    char address[sizeof("unix:") + 108];

    snprintf(address, sizeof(address), "unix:%s", path);
    int fd = handed_sockets_claim(&sockets->handed, SOCK_SEQPACKET, address);
    if (fd < 0)
        fd = open_listener(path);
    int error = fd < 0 ? fd : signal_on_input(fd);
    if (error == 0)
        error = sockets_copy(sockets, fd);
    if (error) {
        log_print(HYPERDERP_LOG_ERROR, "takeover.socket %s: %s%s", path, strerror(-error),
                  error == -EADDRINUSE ? "; another process runs: --takeover takes its place" : "");
        if (fd >= 0)
            close(fd);
        return error;
    }
    takeover->listener = fd;
    return 0;
}

static int send_sockets(int fd, const struct sockets *sockets)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_SOCKETS * sizeof(int))] = {0};
    char greeting[] = TAKEOVER_GREETING;
    struct iovec piece = {greeting, strlen(greeting)};
    size_t size = sockets->copy_count * sizeof(int);
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(size)};

    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    if (!part || sockets->copy_count > MAX_SOCKETS)
        return -E2BIG;
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(part), sockets->copies, size);
    return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void greet(struct takeover *takeover, const struct sockets *sockets)
{
    int fd = accept4(takeover->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    int error = is_trusted(fd) ? signal_on_input(fd) : -EPERM;
    if (error == 0)
        error = send_sockets(fd, sockets);
    if (error) {
        log_print(HYPERDERP_LOG_WARN, "a process that would take over was turned away: %s",
                  strerror(-error));
        close(fd);
        return;
    }
    log_print(HYPERDERP_LOG_INFO, "another process prepares to take over");
    takeover->peer = fd;
}

/* 1: it is ready; 0: not yet; -1: it has gone. */
static int hear(int fd)
{
    char text[sizeof(TAKEOVER_READY) + 1];
    ssize_t len = recv(fd, text, sizeof(text), MSG_DONTWAIT);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return (size_t)len == strlen(TAKEOVER_READY) && memcmp(text, TAKEOVER_READY, (size_t)len) == 0
               ? 1
               : -1;
}

bool takeover_look(struct takeover *takeover, const struct sockets *sockets)
{
    if (takeover->listener < 0)
        return false;
    if (takeover->peer < 0)
        greet(takeover, sockets);
    int heard = takeover->peer >= 0 ? hear(takeover->peer) : 0;
    if (heard < 0)
        log_print(HYPERDERP_LOG_WARN, "the process that would take over has ended: going on");
    if (heard != 0)
        hang_up(takeover);
    return heard > 0;
}

void takeover_close(struct takeover *takeover, const char *path)
{
    hang_up(takeover);
    if (takeover->listener >= 0) {
        if (path)
            (void)unlink(path);
        close(takeover->listener);
    }
    takeover->listener = -1;
}
