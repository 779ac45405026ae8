/* SPDX-License-Identifier: BSD-3-Clause */
/* Matching, and keeping. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd_store.h"
#include "socket_address.h"

static bool is_of_systemd(const struct config_listener *listener)
{
    return strncmp(listener->address, "systemd:", strlen("systemd:")) == 0;
}

static int claim(struct sockets *sockets, int type, const char *address)
{
    return *address ? handed_sockets_claim(&sockets->handed, type, address) : -1;
}

/* Those that say their port come first: the others take what is left. */
static void match_listeners(struct sockets *sockets, const struct config *config, bool any_port)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        if (sockets->listeners[i] < 0 && !is_of_systemd(listener) &&
            socket_address_has_any_port(listener->address) == any_port)
            sockets->listeners[i] = claim(sockets, SOCK_STREAM, listener->address);
    }
}

int sockets_match(struct sockets *sockets, const struct config *config)
{
    const char *metrics = config->metrics.address;
    bool any = socket_address_has_any_port(metrics);

    sockets->keeps_copies = *config->takeover.socket != '\0';
    sockets->stun = sockets->metrics = -1;
    sockets->listeners = malloc((config->listener_count + 1) * sizeof(*sockets->listeners));
    if (!sockets->listeners)
        return -ENOMEM;
    sockets->listener_count = config->listener_count;
    for (size_t i = 0; i < config->listener_count; i++)
        sockets->listeners[i] = -1;
    match_listeners(sockets, config, false);
    if (!any)
        sockets->metrics = claim(sockets, SOCK_STREAM, metrics);
    match_listeners(sockets, config, true);
    if (any)
        sockets->metrics = claim(sockets, SOCK_STREAM, metrics);
    sockets->stun = claim(sockets, SOCK_DGRAM, config->stun_address);
    return 0;
}

int sockets_copy(struct sockets *sockets, int fd)
{
    if (!sockets->keeps_copies)
        return 0;
    size_t size = (sockets->copy_count + 1) * sizeof(*sockets->copies);
    int *copies = realloc(sockets->copies, size);

    if (!copies)
        return -ENOMEM;
    sockets->copies = copies;
    copies[sockets->copy_count] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copies[sockets->copy_count] < 0 ? -errno : (sockets->copy_count++, 0);
}

int sockets_keep(struct sockets *sockets, int fd)
{
    fd_store_put(fd);
    return sockets_copy(sockets, fd);
}

/* Takes the descriptor in any case. */
static int keep_and_close(struct sockets *sockets, int fd)
{
    if (fd < 0)
        return fd;
    int error = sockets_keep(sockets, fd);
    close(fd);
    return error;
}

int sockets_keep_relay(struct sockets *sockets, const hyperderp_relay *relay,
                       const struct config *config)
{
    int error = 0;

    if (!sockets->keeps_copies && !fd_store_is_there())
        return 0;
    for (size_t i = 0; i < config->listener_count && error == 0; i++)
        if (!is_of_systemd(&config->listeners[i]))
            error = keep_and_close(sockets, hyperderp_relay_listener_fd(relay, (int)i));
    if (error == 0 && *config->stun_address)
        error = keep_and_close(sockets, hyperderp_relay_stun_fd(relay, 0));
    return error;
}

void sockets_drop_copies(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->copy_count; i++)
        close(sockets->copies[i]);
    free(sockets->copies);
    sockets->copies = NULL;
    sockets->copy_count = 0;
}

int sockets_take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* What nobody came to take, as the start has failed before. */
static void close_rest(int *fd)
{
    if (*fd >= 0)
        close(sockets_take(fd));
}

void sockets_free(struct sockets *sockets)
{
    if (sockets->listeners) {
        for (size_t i = 0; i < sockets->listener_count; i++)
            close_rest(&sockets->listeners[i]);
        close_rest(&sockets->stun);
        close_rest(&sockets->metrics);
    }
    free(sockets->listeners);
    sockets->listeners = NULL;
    sockets_drop_copies(sockets);
    handed_sockets_free(&sockets->handed);
}
