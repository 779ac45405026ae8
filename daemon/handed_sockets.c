/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket activation, and what was kept of the process before. */
#include "handed_sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd_store.h"
#include "log.h"
#include "socket_address.h"
#include "systemd_library.h"

/* The name passes. */
static int add(struct handed_sockets *handed, int fd, char *name, bool kept)
{
    struct handed_socket *items = realloc(handed->items, (handed->count + 1) * sizeof(*items));

    if (!items || !name) {
        handed->items = items ? items : handed->items;
        free(name);
        return -ENOMEM;
    }
    handed->items = items;
    items[handed->count++] = (struct handed_socket){.fd = fd, .name = name, .kept = kept};
    return 0;
}

int handed_sockets_take(struct handed_sockets *handed)
{
    char **names = NULL;
    int error = 0;

    *handed = (struct handed_sockets){0};
    if (!systemd_library_is_wanted("LISTEN_FDS", "listeners of systemd sockets"))
        return 0;
    int count = sd.listen_fds_with_names(1, &names);
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++) {
        int added = add(handed, SD_LISTEN_FDS_START + i, names[i], fd_store_has_named(names[i]));
        error = error ? error : added;
    }
    free(names);
    return error;
}

int handed_sockets_add(struct handed_sockets *handed, int fd)
{
    int error = add(handed, fd, strdup(""), true);
    if (error)
        close(fd);
    return error;
}

void handed_sockets_drop(struct handed_sockets *handed)
{
    for (size_t i = 0; i < handed->count; i++) {
        struct handed_socket *item = &handed->items[i];
        if (item->fd < 0 || !item->kept)
            continue;
        char name[FD_STORE_NAME_SIZE];
        socket_address_name(item->fd, name, sizeof(name));
        log_print(HYPERDERP_LOG_INFO, "closing %s: it is for no listener any more", name);
        if (*item->name)
            fd_store_remove(item->name);
        close(item->fd);
        item->fd = -1;
    }
}

void handed_sockets_free(struct handed_sockets *handed)
{
    handed_sockets_drop(handed);
    for (size_t i = 0; i < handed->count; i++)
        free(handed->items[i].name);
    free(handed->items);
    *handed = (struct handed_sockets){0};
}

static void log_missing(const struct handed_sockets *handed, const char *name)
{
    char list[512] = "";
    size_t at = 0;
    bool some = false;

    for (size_t i = 0; i < handed->count && at < sizeof(list); i++) {
        if (handed->items[i].kept)
            continue;
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", some ? ", " : "",
                               handed->items[i].fd < 0 ? "" : handed->items[i].name);
        some = true;
    }
    log_print(HYPERDERP_LOG_ERROR,
              "listener systemd:%s: systemd handed over %s%s; the socket unit needs "
              "FileDescriptorName=%s",
              name, some ? "only " : "no sockets", list, name);
}

int handed_sockets_find(struct handed_sockets *handed, const char *name)
{
    for (size_t i = 0; i < handed->count; i++) {
        struct handed_socket *item = &handed->items[i];
        if (item->kept || item->fd < 0 || strcmp(item->name, name) != 0)
            continue;
        int fd = item->fd;
        item->fd = -1; /* each is found once */
        return fd;
    }
    log_missing(handed, name);
    return -ENOENT;
}

int handed_sockets_claim(struct handed_sockets *handed, int type, const char *address)
{
    for (size_t i = 0; i < handed->count; i++) {
        struct handed_socket *item = &handed->items[i];
        if (item->kept && item->fd >= 0 && socket_address_matches(item->fd, type, address)) {
            int fd = item->fd;
            item->fd = -1;
            return fd;
        }
    }
    return -1;
}
