/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening listeners. */
#include "relay/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/address.h"
#include "relay/proxied.h"

#define DEFAULT_BACKLOG 4096

/* What the kernel may hold of a connection unsent: short, so that packets wait where the relay can
 * drop the oldest and let disco pass. */
#define NOTSENT_LOWAT 32768

void listener_format_address(int fd, char out[LISTENER_ADDRESS_SIZE])
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof(bound);

    (void)getsockname(fd, (struct sockaddr *)&bound, &size);
    if (bound.ss_family == AF_UNIX) {
        /* The kernel need not end the path with a NUL, and one without a name has none. */
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&bound;
        size_t room = size > offsetof(struct sockaddr_un, sun_path)
                          ? size - offsetof(struct sockaddr_un, sun_path)
                          : 0;
        snprintf(out, LISTENER_ADDRESS_SIZE, UNIX_PREFIX "%.*s", (int)room, un->sun_path);
        return;
    }
    struct endpoint endpoint = endpoint_read((struct sockaddr *)&bound);
    endpoint_format(&endpoint, out);
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

static int open_unix(const char *address, int backlog, struct unix_file *file,
                     const struct log *log)
{
    int fd = unix_listen(address, backlog, file);
    if (fd < 0)
        log_line(log, HYPERDERP_LOG_ERROR, "listener %s: %s%s", address, strerror(-fd),
                 unix_advice(fd));
    return fd;
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

static bool is_unix_socket(int fd)
{
    int domain = 0;
    socklen_t size = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

/* A socket of the caller's whose file is the relay's from now on. */
static int adopt_file(struct listener *listener, const hyperderp_listener_options *options,
                      bool is_unix, const struct log *log)
{
    int error = is_unix ? unix_adopt(options->address, &listener->file) : -EINVAL;

    if (error)
        log_line(log, HYPERDERP_LOG_ERROR, "listener on file descriptor %d with the file %s: %s%s",
                 options->fd, options->address, strerror(-error), unix_advice(error));
    return error;
}

int listener_open(struct listener *listener, const hyperderp_listener_options *options,
                  unsigned socket_buffer, const struct log *log)
{
    int fd = options->fd, backlog = options->backlog ? options->backlog : DEFAULT_BACKLOG;

    *listener = (struct listener){.fd = -1};
    if ((fd < 0 && !options->address) || options->backlog < 0 ||
        (fd >= 0 && check_socket(fd, log) != 0))
        return -EINVAL;
    bool is_unix = fd >= 0 ? is_unix_socket(fd) : unix_address(options->address);
    int error = fd >= 0 && options->address ? adopt_file(listener, options, is_unix, log) : 0;
    if (error)
        return error;
    error = proxied_set_up(listener, options, is_unix, log);
    if (error)
        return error;
    if (fd < 0)
        fd = is_unix ? open_unix(options->address, backlog, &listener->file, log)
                     : open_address(options->address, backlog, log);
    if (fd < 0) {
        proxied_free(listener);
        return fd;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!is_unix)
        listener_set_tcp_options(fd);
    set_buffers(fd, socket_buffer, log);
    pthread_mutex_init(&listener->lock, NULL);
    listener->fd = fd;
    listener->keep_file = options->keep_file;
    listener_format_address(fd, listener->address);
    return 0;
}

void listener_close(struct listener *listener, bool keep_file)
{
    pthread_mutex_lock(&listener->lock);
    if (listener->fd >= 0) {
        if (!keep_file && !listener->keep_file)
            unix_remove(&listener->file);
        close(listener->fd);
    }
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
    proxied_free(listener);
    pthread_mutex_destroy(&listener->lock);
}
