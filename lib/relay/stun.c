/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets of STUN, and their place in the worker's turn. */
#include "relay/stun.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "memory/memory.h"
#include "relay/address.h"
#include "relay/stun_batch.h"
#include "relay/within.h"
#include "relay/worker.h"

#define RETRY_NS 100000000

/* Datagrams that came before the start and are thrown away; the kernel holds fewer. */
#define MAX_EARLY 4096

int stun_open(struct stun_socket *socket, const char *address, const struct log *log)
{
    int fd = address_bind(address, SOCK_DGRAM);
    if (fd < 0) {
        log_line(log, HYPERDERP_LOG_ERROR, "STUN on %s: %s%s", address, address_error(fd),
                 address_advice(fd));
        return fd;
    }
    int error = stun_use(socket, fd);
    if (error)
        close(fd);
    return error;
}

int stun_use(struct stun_socket *socket, int fd)
{
    *socket = (struct stun_socket){.fd = -1, .batch = memory_calloc(1, sizeof(*socket->batch))};
    if (!socket->batch)
        return -ENOMEM;
    socket->fd = fd;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    stun_batch_prepare(fd);
    listener_format_address(fd, socket->address);
    return 0;
}

void stun_close(struct stun_socket *socket)
{
    if (socket->fd >= 0)
        close(socket->fd);
    socket->fd = -1;
}

void stun_destroy(struct stun_socket *socket)
{
    memory_free(socket->batch);
    socket->batch = NULL;
}

/* Whether another one may be added. */
static int has_place(const hyperderp_relay *relay)
{
    if (relay_phase(relay) != RELAY_NEW || within_relay(&relay->log))
        return -EBUSY;
    return relay->stun_count == RELAY_MAX_STUNS ? -ENOSPC : 0;
}

static int added(hyperderp_relay *relay)
{
    log_line(&relay->log, HYPERDERP_LOG_INFO, "answering STUN on %s",
             relay->stuns[relay->stun_count].address);
    return (int)relay->stun_count++;
}

int hyperderp_relay_add_stun(hyperderp_relay *relay, const char *address)
{
    if (!relay || !address)
        return -EINVAL;
    int error = has_place(relay);
    if (error == 0)
        error = stun_open(&relay->stuns[relay->stun_count], address, &relay->log);
    return error ? error : added(relay);
}

static bool is_udp(int fd)
{
    int type = 0, protocol = 0;
    socklen_t size = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && type == SOCK_DGRAM &&
           protocol == IPPROTO_UDP;
}

int hyperderp_relay_add_stun_fd(hyperderp_relay *relay, int fd)
{
    if (!relay || !is_udp(fd))
        return -EINVAL;
    int error = has_place(relay);
    if (error == 0)
        error = stun_use(&relay->stuns[relay->stun_count], fd);
    return error ? error : added(relay);
}

int hyperderp_relay_stun_fd(const hyperderp_relay *relay, int stun)
{
    if (!relay || stun < 0 || (unsigned)stun >= relay->stun_count)
        return -EINVAL;
    if (relay_phase(relay) != RELAY_NEW)
        return -EBUSY;
    int fd = fcntl(relay->stuns[stun].fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int hyperderp_relay_stun_address(const hyperderp_relay *relay, int stun, char *text, size_t room)
{
    if (!relay || stun < 0 || (unsigned)stun >= relay->stun_count || !text)
        return -EINVAL;
    const char *address = relay->stuns[stun].address;
    if (strlen(address) >= room)
        return -ENOSPC;
    memcpy(text, address, strlen(address) + 1);
    return 0;
}

/* The last worker takes the first socket: the first one has the first listener already. */
static bool serves(const struct worker *worker, unsigned i)
{
    unsigned count = worker->relay->worker_count;
    return count - 1 - i % count == worker->index;
}

static io_token token_of(const struct stun_socket *socket)
{
    return io_token_make(IO_OP_READABLE, (uint32_t)(socket - socket->worker->relay->stuns), 0);
}

static void arm(struct stun_socket *socket)
{
    struct worker *worker = socket->worker;

    if (io_await_readable(worker->loop, socket->fd, token_of(socket)) != 0)
        timer_set(&worker->timers, &socket->retry, worker->now + RETRY_NS);
}

static void retry(struct timer *timer)
{
    arm((struct stun_socket *)((char *)timer - offsetof(struct stun_socket, retry)));
}

void stun_forget_early(const struct hyperderp_relay *relay)
{
    for (unsigned i = 0; i < relay->stun_count; i++)
        for (unsigned n = 0;
             n < MAX_EARLY && recv(relay->stuns[i].fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0; n++)
            ;
}

void stun_start(struct worker *worker)
{
    struct hyperderp_relay *relay = worker->relay;

    for (unsigned i = 0; i < relay->stun_count; i++) {
        if (!serves(worker, i))
            continue;
        struct stun_socket *socket = &relay->stuns[i];
        socket->worker = worker;
        socket->retry.fire = retry;
        arm(socket);
    }
}

void stun_event(struct worker *worker, const struct io_event *event)
{
    struct stun_socket *socket = &worker->relay->stuns[io_token_slot(event->token)];

    /* An event that was fetched before the socket was closed may come behind that. */
    if (socket->fd >= 0 && relay_phase(worker->relay) == RELAY_RUNNING)
        stun_batch_serve(socket->batch, socket->fd, worker->counters);
}

void stun_stop(struct worker *worker)
{
    struct hyperderp_relay *relay = worker->relay;

    for (unsigned i = 0; i < relay->stun_count; i++) {
        struct stun_socket *socket = &relay->stuns[i];
        if (!serves(worker, i) || socket->fd < 0)
            continue;
        timer_stop(&worker->timers, &socket->retry);
        (void)io_cancel(worker->loop, socket->fd, token_of(socket));
        stun_close(socket);
    }
}
