/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening listeners. */
#include "relay/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "relay/address.h"

#define DEFAULT_BACKLOG 4096

/* What the kernel may hold of a connection unsent: short, so that packets wait where the relay can
 * drop the oldest and let disco pass. */
#define NOTSENT_LOWAT 131072

void listener_format_address(const struct sockaddr *address, char out[LISTENER_ADDRESS_SIZE])
{
    char host[INET6_ADDRSTRLEN];

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(out, LISTENER_ADDRESS_SIZE, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
            snprintf(out, LISTENER_ADDRESS_SIZE, "%s:%u", host, ntohs(in6->sin6_port));
        } else {
            inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
            snprintf(out, LISTENER_ADDRESS_SIZE, "[%s]:%u", host, ntohs(in6->sin6_port));
        }
    } else {
        snprintf(out, LISTENER_ADDRESS_SIZE, "%s",
                 address->sa_family == AF_UNIX ? "unix" : "unknown");
    }
}

void listener_set_tcp_options(int fd)
{
    const int on = 1, lowat = NOTSENT_LOWAT;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
}

void listener_set_user_timeout(struct listener *listener, unsigned ms)
{
    pthread_mutex_lock(&listener->lock);
    if (listener->fd >= 0)
        (void)setsockopt(listener->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    pthread_mutex_unlock(&listener->lock);
}

/* One direction's buffer: beyond the system's limit where we may. Says once when the kernel gives
 * less; it tells twice what it was asked for, as it counts its own overhead. */
static void set_buffer(int fd, int forced, int option, unsigned bytes, const char *limit,
                       const struct log *log)
{
    int got = 0;
    socklen_t size = sizeof(got);

    if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof(bytes));
    if (getsockopt(fd, SOL_SOCKET, option, &got, &size) == 0 && (unsigned)got / 2 < bytes)
        log_line(log, HYPERDERP_LOG_WARN,
                 "socket buffers of %u bytes were asked for, and the kernel gives %d: raise %s",
                 bytes, got / 2, limit);
}

static void set_buffers(int fd, unsigned bytes, const struct log *log)
{
    if (bytes == 0)
        return;
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, bytes, "net.core.wmem_max", log);
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes, "net.core.rmem_max", log);
}

static int open_address(const char *address, int backlog, const struct log *log)
{
    int fd = address_bind(address, SOCK_STREAM);
    if (fd >= 0 && listen(fd, backlog) != 0) {
        int error = -errno;
        close(fd);
        fd = error;
    }
    if (fd < 0)
        log_line(log, HYPERDERP_LOG_ERROR, "listener %s: %s%s", address, address_error(fd),
                 address_advice(fd));
    return fd;
}

/* Checks that a socket of the caller's is one that listens. */
static int check_socket(int fd, const struct log *log)
{
    int listens = 0;
    socklen_t size = sizeof(listens);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens)
        return 0;
    log_line(log, HYPERDERP_LOG_ERROR, "listener on file descriptor %d: not a listening socket",
             fd);
    return -EINVAL;
}

int listener_open(struct listener *listener, const hyperderp_listener_options *options,
                  unsigned socket_buffer, const struct log *log)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof(bound);
    int fd = options->fd;

    if ((fd >= 0) == (options->address != NULL) || options->backlog < 0)
        return -EINVAL;
    if (options->address)
        fd = open_address(options->address, options->backlog ? options->backlog : DEFAULT_BACKLOG,
                          log);
    else if (check_socket(fd, log) != 0)
        return -EINVAL;
    if (fd < 0)
        return fd;
    listener_set_tcp_options(fd);
    set_buffers(fd, socket_buffer, log);
    pthread_mutex_init(&listener->lock, NULL);
    (void)getsockname(fd, (struct sockaddr *)&bound, &size);
    listener->fd = fd;
    listener_format_address((struct sockaddr *)&bound, listener->address);
    return 0;
}

void listener_close(struct listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
    pthread_mutex_unlock(&listener->lock);
}

struct tls_server *listener_tls_server(struct listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    struct tls_server *server = listener->server ? tls_server_ref(listener->server) : NULL;
    pthread_mutex_unlock(&listener->lock);
    return server;
}

void listener_set_tls_server(struct listener *listener, struct tls_server *server)
{
    pthread_mutex_lock(&listener->lock);
    struct tls_server *before = listener->server;
    listener->server = server;
    pthread_mutex_unlock(&listener->lock);
    tls_server_unref(before);
}

void listener_destroy(struct listener *listener)
{
    tls_server_unref(listener->server);
    pthread_mutex_destroy(&listener->lock);
}
