/* SPDX-License-Identifier: BSD-3-Clause */
/* Making a socket's file, and removing it. */
#include "relay/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* For the relay's user, and the group that the proxy belongs to. */
#define MODE 0660

#define PREFIX_LEN (sizeof(UNIX_PREFIX) - 1)

_Static_assert(UNIX_PATH_SIZE == sizeof(((struct sockaddr_un *)0)->sun_path), "the kernel's size");

bool unix_address(const char *address)
{
    return strncmp(address, UNIX_PREFIX, PREFIX_LEN) == 0;
}

/* 0 when nobody listens on the socket that is there; as unix_listen(). */
static int is_stale(const struct sockaddr_un *address)
{
    struct stat info;
    int error = 0;

    if (lstat(address->sun_path, &info) != 0)
        return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
    if (!S_ISSOCK(info.st_mode))
        return -EEXIST;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Only the refusal tells: a full backlog is somebody who listens, another type of socket
     * somebody who does something else there. */
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
        errno != ECONNREFUSED)
        error = -EADDRINUSE;
    close(fd);
    return error;
}

static int bind_file(int fd, const struct sockaddr_un *address)
{
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    int error = is_stale(address);
    if (error)
        return error;
    if (unlink(address->sun_path) != 0 && errno != ENOENT)
        return -errno;
    return bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : -errno;
}

static int note_file(const char *path, struct unix_file *file)
{
    struct stat info;

    if (lstat(path, &info) != 0)
        return -errno;
    if (!S_ISSOCK(info.st_mode))
        return -EEXIST;
    strcpy(file->path, path);
    file->device = info.st_dev;
    file->inode = info.st_ino;
    return 0;
}

/* Nobody can connect before listen(), so the mode comes in time. */
static int open_to_group(int fd, int backlog, const char *path, struct unix_file *file)
{
    int error = note_file(path, file);
    if (error)
        return error;
    if (chmod(path, MODE) == 0 && listen(fd, backlog) == 0)
        return 0;
    error = -errno;
    unix_remove(file);
    return error;
}

static bool has_path(const char *address)
{
    const char *path = address + PREFIX_LEN;
    return unix_address(address) && path[0] == '/' && strlen(path) < UNIX_PATH_SIZE;
}

int unix_listen(const char *address, int backlog, struct unix_file *file)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const char *path = address + PREFIX_LEN;

    *file = (struct unix_file){0};
    if (!has_path(address))
        return -EINVAL;
    strcpy(un.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = bind_file(fd, &un);
    if (error == 0)
        error = open_to_group(fd, backlog, path, file);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

int unix_adopt(const char *address, struct unix_file *file)
{
    *file = (struct unix_file){0};
    return has_path(address) ? note_file(address + PREFIX_LEN, file) : -EINVAL;
}

const char *unix_advice(int error)
{
    switch (error) {
    case -EEXIST:
        return "; what is there is no socket, and was left alone";
    case -ENOENT:
        return "; make the folder first";
    case -EACCES:
    case -EROFS:
        return "; the folder must be one that this user may write to";
    case -EADDRINUSE:
        return "; another program listens there";
    case -EINVAL:
        return "; expected unix:/PATH, the path at most 107 bytes";
    default:
        return "";
    }
}

void unix_remove(struct unix_file *file)
{
    struct stat info;

    if (file->path[0] && lstat(file->path, &info) == 0 && info.st_dev == file->device &&
        info.st_ino == file->inode)
        (void)unlink(file->path);
    file->path[0] = '\0';
}
