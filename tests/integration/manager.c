/* SPDX-License-Identifier: BSD-3-Clause */
/* NOTIFY_SOCKET, FDSTORE and LISTEN_FDS from the other side. */
#include "manager.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "service.h"

#define MAX_STORED 16

/* Where the sockets lie for the shell that becomes the daemon. */
#define FIRST_FD 100

struct stored {
    int fd;
    char name[256];
};

struct manager {
    int fd;
    struct stored stored[MAX_STORED];
    unsigned count;
};

struct manager *manager_new(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct manager *manager = calloc(1, sizeof(*manager));

    assert_non_null(manager);
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", service_folder);
    assert_int_equal(bind(manager->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    setenv("SHELL_OF_TEST", "/bin/bash", 1);
    return manager;
}

void manager_free(struct manager *manager)
{
    unsetenv("NOTIFY_SOCKET");
    for (unsigned i = 0; i < manager->count; i++)
        close(manager->stored[i].fd);
    close(manager->fd);
    free(manager);
}

/* systemd asks kcmp(2); the inode of a socket tells the same. */
static bool is_stored(const struct manager *manager, int fd)
{
    struct stat wanted, there;

    assert_int_equal(fstat(fd, &wanted), 0);
    for (unsigned i = 0; i < manager->count; i++)
        if (fstat(manager->stored[i].fd, &there) == 0 && there.st_ino == wanted.st_ino)
            return true;
    return false;
}

static void store(struct manager *manager, int fd, const char *name)
{
    assert_true(fd >= 0);
    assert_null(strchr(name, ':'));
    if (is_stored(manager, fd)) {
        close(fd);
        return;
    }
    assert_true(manager->count < MAX_STORED);
    struct stored *place = &manager->stored[manager->count++];
    place->fd = fd;
    snprintf(place->name, sizeof(place->name), "%s", name);
}

static void drop(struct manager *manager, const char *name)
{
    for (unsigned i = 0; i < manager->count; i++) {
        if (strcmp(manager->stored[i].name, name) != 0)
            continue;
        close(manager->stored[i].fd);
        manager->stored[i--] = manager->stored[--manager->count];
    }
}

/* Receives a message; fd gets the socket that came with it, or -1. */
static void receive(struct manager *manager, char *text, size_t room, int *fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec piece = {text, room - 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct pollfd item = {.fd = manager->fd, .events = POLLIN};

    assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
    ssize_t len = recvmsg(manager->fd, &message, MSG_CMSG_CLOEXEC);
    assert_true(len > 0);
    text[len] = '\0';
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    *fd = -1;
    if (part && part->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(part), sizeof(*fd));
}

/* Does what messages ask for, up to the one that says that the daemon is ready. */
static void await_ready(struct manager *manager)
{
    char text[512], name[256];
    int fd;

    do {
        receive(manager, text, sizeof(text), &fd);
        if (sscanf(text, "FDSTORE=1\nFDNAME=%255[^\n]", name) == 1)
            store(manager, fd, name);
        else if (sscanf(text, "FDSTOREREMOVE=1\nFDNAME=%255[^\n]", name) == 1)
            drop(manager, name);
    } while (strcmp(text, "READY=1") != 0);
}

struct process *manager_start(struct manager *manager)
{
    char command[4096] = "", names[2048] = "";
    size_t at = 0, names_at = 0;

    for (unsigned i = 0; i < manager->count; i++) {
        assert_true(dup2(manager->stored[i].fd, (int)(FIRST_FD + i)) >= 0);
        at += (size_t)snprintf(command + at, sizeof(command) - at, "exec %u<&%u %u<&-; ", 3 + i,
                               FIRST_FD + i, FIRST_FD + i);
        names_at += (size_t)snprintf(names + names_at, sizeof(names) - names_at, "%s%s",
                                     i ? ":" : "", manager->stored[i].name);
    }
    if (manager->count > 0)
        at += (size_t)snprintf(command + at, sizeof(command) - at,
                               "export LISTEN_PID=$$ LISTEN_FDS=%u LISTEN_FDNAMES='%s'; ",
                               manager->count, names);
    snprintf(command + at, sizeof(command) - at, "exec \"$HYPER_DERP\" -c '%s'", service_file);
    struct process *daemon =
        process_spawn("SHELL_OF_TEST", (const char *[]){"-c", command, NULL}, -1);
    for (unsigned i = 0; i < manager->count; i++)
        close((int)(FIRST_FD + i));
    await_ready(manager);
    process_await_ready(daemon);
    return daemon;
}

unsigned manager_stored(const struct manager *manager)
{
    return manager->count;
}

bool manager_has(const struct manager *manager, const char *part)
{
    for (unsigned i = 0; i < manager->count; i++)
        if (strstr(manager->stored[i].name, part))
            return true;
    return false;
}
