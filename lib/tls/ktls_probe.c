/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether the kernel's record layer is there: tried out on a connection of this process to itself.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/ktls.h"

#define PATIENCE_MS 2000

/* A socket that listens on a port of the kernel's choice, and its address. */
static int listen_somewhere(int family, struct sockaddr_storage *address, socklen_t *size)
{
    *address = (struct sockaddr_storage){.ss_family = (sa_family_t)family};
    *size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (family == AF_INET)
        ((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)address)->sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)address, *size) != 0 || listen(fd, TLS_SUITES) != 0 ||
        getsockname(fd, (struct sockaddr *)address, size) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* Waits until connecting has succeeded or failed; a packet filter may have taken it away. */
static int await_connection(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    int result, error = 0;
    socklen_t size = sizeof(error);

    do
        result = poll(&poller, 1, PATIENCE_MS);
    while (result < 0 && errno == EINTR);
    if (result <= 0)
        return result < 0 ? -errno : -ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? -error : -errno;
}

/* Nobody accepts: for the one who connects, the connection is there as soon as the kernel has it in
 * the listener's queue. Without blocking, as a blocking connect() is cut short by any signal, and
 * by what a ring of io_uring that was closed has left to do. */
static int connect_to(const struct sockaddr_storage *address, socklen_t size)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, size) != 0)
        error = errno == EINPROGRESS || errno == EINTR ? await_connection(fd) : -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static int try_suite(const struct sockaddr_storage *address, socklen_t size, uint16_t id,
                     struct ktls_support *support)
{
    static const uint8_t secret[TLS_MAX_SECRET]; /* nothing is sent under it */
    const struct tls_suite *suite = tls_suite_find(id);
    struct tls_tx tx;
    struct tls_rx rx;
    int fd = connect_to(address, size);

    if (fd < 0)
        return fd;
    int error = tls_tx_init(&tx, suite, secret);
    if (error == 0)
        error = tls_rx_init(&rx, suite, secret);
    if (error == 0)
        error = ktls_attach(fd);
    if (error == 0)
        error = ktls_set_tx(fd, &tx);
    if (error == 0)
        error = ktls_set_rx(fd, &rx);
    support->suites[suite->index] = error == 0;
    if (error == 0)
        support->updates = ktls_set_tx(fd, &tx) == 0;
    close(fd);
    return error;
}

int ktls_probe(struct ktls_support *support)
{
    static const uint16_t others[] = {TLS_AES_256_GCM, TLS_CHACHA20_POLY1305};
    struct sockaddr_storage address;
    socklen_t size;

    *support = (struct ktls_support){0};
    int listener = listen_somewhere(AF_INET, &address, &size);
    if (listener < 0)
        listener = listen_somewhere(AF_INET6, &address, &size);
    if (listener < 0)
        return listener;
    int error = try_suite(&address, size, TLS_AES_128_GCM, support);
    for (unsigned i = 0; error == 0 && i < sizeof(others) / sizeof(others[0]); i++)
        (void)try_suite(&address, size, others[i], support);
    close(listener);
    return error;
}

const char *ktls_advice(int error)
{
    switch (error) {
    case -ENOENT:
        return "the kernel has no TLS, or its module is not loaded; run \"modprobe tls\" as root";
    case -EOPNOTSUPP:
        return "the kernel's TLS has no TLS 1.3 with AES-GCM; it may lack the module gcm";
    case -ENOPROTOOPT:
        return "the kernel knows nothing of TLS";
    default:
        return strerror(-error);
    }
}
