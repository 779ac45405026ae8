/* SPDX-License-Identifier: BSD-3-Clause */
/* Binding sockets to addresses that people have typed. */
#include "relay/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Splits "HOST:PORT" into copies; brackets around an IPv6 address go. Returns 0 or -EINVAL. */
static int split(const char *address, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *colon = strrchr(address, ':');
    if (!colon)
        return -EINVAL;
    size_t len = (size_t)(colon - address);
    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    } else if (memchr(address, ':', len)) {
        return -EINVAL; /* an IPv6 address without brackets */
    }
    size_t digits = strspn(colon + 1, "0123456789");
    if (len >= host_size || digits == 0 || digits >= port_size || colon[1 + digits] != '\0' ||
        strtoul(colon + 1, NULL, 10) > 65535)
        return -EINVAL;
    memcpy(host, address, len);
    host[len] = '\0';
    memcpy(port, colon + 1, digits + 1);
    return 0;
}

static int bind_to(const struct addrinfo *info, int type, bool any)
{
    const int on = 1, off = 0;
    int fd = socket(info->ai_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* For UDP it would let two programs share the port, each with some of what comes. */
    if (type == SOCK_STREAM)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof(on));
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* ":PORT" is one socket for IPv6 and IPv4; on a machine without IPv6, for IPv4. */
static int bind_any(const char *port, int type)
{
    uint16_t number = htons((uint16_t)strtoul(port, NULL, 10));
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = number};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = number};
    struct addrinfo info = {
        .ai_family = AF_INET6, .ai_addr = (struct sockaddr *)&in6, .ai_addrlen = sizeof(in6)};
    int fd = bind_to(&info, type, true);
    if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
        return fd;
    info.ai_family = AF_INET;
    info.ai_addr = (struct sockaddr *)&in;
    info.ai_addrlen = sizeof(in);
    return bind_to(&info, type, true);
}

static int bind_host(const char *host, const char *port, int type)
{
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *info;
    int error = getaddrinfo(host, port, &hints, &info);
    if (error)
        return error == EAI_MEMORY ? -ENOMEM : -ENOENT;
    int fd = bind_to(info, type, false);
    freeaddrinfo(info);
    return fd;
}

int address_bind(const char *address, int type)
{
    char host[256], port[6];
    int error = split(address, host, sizeof(host), port, sizeof(port));
    if (error)
        return error;
    return host[0] ? bind_host(host, port, type) : bind_any(port, type);
}

const char *address_error(int error)
{
    return error == -ENOENT ? "no such host" : strerror(-error);
}

const char *address_advice(int error)
{
    switch (error) {
    case -ENOENT:
        return "; give a numeric address";
    case -EACCES:
        return "; run as root or grant CAP_NET_BIND_SERVICE";
    case -EADDRINUSE:
        return "; another program listens there, or choose another port";
    case -EADDRNOTAVAIL:
        return "; no interface of this machine has that address";
    case -EINVAL:
        return "; expected HOST:PORT, [IPV6]:PORT or :PORT";
    default:
        return "";
    }
}
