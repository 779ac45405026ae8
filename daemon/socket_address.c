/* SPDX-License-Identifier: BSD-3-Clause */
/* Comparing what a socket is bound to with what was asked for. */
#include "socket_address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_PREFIX "unix:"

struct bound {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t size;
    bool v6only;
};

static bool get_option(int fd, int level, int option, int *value)
{
    socklen_t size = sizeof(*value);

    *value = 0;
    return getsockopt(fd, level, option, value, &size) == 0;
}

static bool read_bound(int fd, struct bound *bound)
{
    int v6only;

    memset(bound, 0, sizeof(*bound));
    bound->size = sizeof(bound->un);
    if (getsockname(fd, &bound->any, &bound->size) != 0)
        return false;
    bound->v6only = get_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only) && v6only;
    return true;
}

/* The kernel need not end the path with a NUL. */
static size_t path_len(const struct bound *bound)
{
    size_t before = offsetof(struct sockaddr_un, sun_path);

    return bound->size > before ? strnlen(bound->un.sun_path, bound->size - before) : 0;
}

/* One whose file has been removed cannot be reached any more. */
static bool is_at_path(const struct bound *bound, const char *path)
{
    struct stat info;

    return bound->any.sa_family == AF_UNIX && strlen(path) == path_len(bound) && *path &&
           memcmp(bound->un.sun_path, path, path_len(bound)) == 0 && lstat(path, &info) == 0 &&
           S_ISSOCK(info.st_mode);
}

/* IPv6 may be turned off, which shows only now. */
static bool has_ipv6(void)
{
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool works = fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0;

    if (fd >= 0)
        close(fd);
    return works;
}

static bool same_port(in_port_t bound, const char *wanted)
{
    uint16_t port = (uint16_t)strtoul(wanted, NULL, 10);

    return port == 0 || bound == htons(port);
}

/* ":PORT" is one socket for IPv6 and IPv4; without IPv6, for IPv4. */
static bool is_anywhere(const struct bound *bound, const char *port)
{
    if (bound->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&bound->in6.sin6_addr) && !bound->v6only &&
               same_port(bound->in6.sin6_port, port);
    return bound->any.sa_family == AF_INET && bound->in.sin_addr.s_addr == htonl(INADDR_ANY) &&
           same_port(bound->in.sin_port, port) && !has_ipv6();
}

static bool is_there(const struct bound *bound, const struct sockaddr *wanted)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)wanted;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)wanted;

    if (bound->any.sa_family != wanted->sa_family)
        return false;
    if (wanted->sa_family == AF_INET)
        return bound->in.sin_addr.s_addr == in->sin_addr.s_addr;
    return wanted->sa_family == AF_INET6 && bound->v6only &&
           memcmp(&bound->in6.sin6_addr, &in6->sin6_addr, sizeof(in6->sin6_addr)) == 0 &&
           bound->in6.sin6_scope_id == in6->sin6_scope_id;
}

static bool is_at_host(const struct bound *bound, int type, const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *info;
    in_port_t at = bound->any.sa_family == AF_INET6 ? bound->in6.sin6_port : bound->in.sin_port;

    if (!same_port(at, port) || getaddrinfo(host, port, &hints, &info) != 0)
        return false;
    bool same = is_there(bound, info->ai_addr);
    freeaddrinfo(info);
    return same;
}

static bool is_at(const struct bound *bound, int type, const char *address)
{
    const char *colon = strrchr(address, ':');
    char host[256];

    if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return is_at_path(bound, address + strlen(UNIX_PREFIX));
    if (!colon || (size_t)(colon - address) >= sizeof(host) || bound->any.sa_family == AF_UNIX)
        return false;
    size_t len = (size_t)(colon - address);
    if (len == 0)
        return is_anywhere(bound, colon + 1);
    bool bracketed = len >= 2 && address[0] == '[' && colon[-1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(bracketed ? len - 2 : len), address + bracketed);
    return is_at_host(bound, type, host, colon + 1);
}

bool socket_address_matches(int fd, int type, const char *address)
{
    struct bound bound;
    int got, listens;

    return get_option(fd, SOL_SOCKET, SO_TYPE, &got) && got == type &&
           get_option(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens) && (listens || type == SOCK_DGRAM) &&
           read_bound(fd, &bound) && is_at(&bound, type, address);
}

bool socket_address_has_any_port(const char *address)
{
    const char *colon = strrchr(address, ':');

    return strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) != 0 && colon &&
           strtoul(colon + 1, NULL, 10) == 0;
}

void socket_address_name(int fd, char *out, size_t room)
{
    char host[64] = "unknown", port[8] = "0";
    struct bound bound;
    int type;

    (void)get_option(fd, SOL_SOCKET, SO_TYPE, &type);
    if (read_bound(fd, &bound) && bound.any.sa_family == AF_UNIX) {
        snprintf(out, room, "unix.%.*s", (int)path_len(&bound), bound.un.sun_path);
    } else {
        (void)getnameinfo(&bound.any, bound.size, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
        snprintf(out, room, "%s.%s.%s", type == SOCK_DGRAM ? "udp" : "tcp", host, port);
    }
    /* What systemd does not take in a name. */
    for (char *at = out; *at; at++)
        if (*at == ':' || *at <= ' ' || *at >= 0x7f)
            *at = '.';
}
