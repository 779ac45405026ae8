/* SPDX-License-Identifier: BSD-3-Clause */
/* From an address text to a listening socket. */
#include "web_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 64

static int listen_on(const struct addrinfo *info, bool any)
{
    const int on = 1, off = 0;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof(on));
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* Every address: one socket for IPv6 and IPv4, or without IPv6 one for IPv4. */
static int open_any(const char *port)
{
    struct addrinfo hints = {
        .ai_family = AF_INET6, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int fd = -EAFNOSUPPORT;

    for (int i = 0; i < 2 && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL); i++) {
        struct addrinfo *info;
        hints.ai_family = i ? AF_INET : AF_INET6;
        if (getaddrinfo(NULL, port, &hints, &info) != 0)
            continue;
        fd = listen_on(info, true);
        freeaddrinfo(info);
    }
    return fd;
}

static int open_host(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *info;

    if (getaddrinfo(host, port, &hints, &info) != 0)
        return -ENOENT;
    int fd = listen_on(info, false);
    freeaddrinfo(info);
    return fd;
}

void web_socket_describe(int fd, char *out, size_t room)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    char host[64] = "?", port[8] = "?";

    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    (void)getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, room, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

int web_socket_open(const char *address, char *bound, size_t room)
{
    const char *colon = strrchr(address, ':');
    char host[256];

    if (!colon || (size_t)(colon - address) >= sizeof(host))
        return -EINVAL;
    size_t len = (size_t)(colon - address);
    const char *start = address;
    if (len >= 2 && *start == '[' && colon[-1] == ']') {
        start++;
        len -= 2;
    }
    memcpy(host, start, len);
    host[len] = '\0';
    int fd = len == 0 ? open_any(colon + 1) : open_host(host, colon + 1);
    if (fd >= 0)
        web_socket_describe(fd, bound, room);
    return fd;
}
