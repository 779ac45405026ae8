/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading what nobody else can read; writing under another name first, then the rename. */
#include "private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens the folder of a file, or makes it. */
static int with_folder(const char *path, int (*act)(const char *folder))
{
    char *copy = strdup(path);

    if (!copy)
        return -ENOMEM;
    int result = act(dirname(copy));
    free(copy);
    return result;
}

static int make_folder(const char *folder)
{
    return mkdir(folder, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

static int open_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

int private_folder_make(const char *path)
{
    return with_folder(path, make_folder);
}

int private_folder_lock(const char *path)
{
    int fd = with_folder(path, open_folder);

    while (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* What root makes for a service would otherwise be closed to its user. */
static int give_to_owner(int fd, int folder)
{
    struct stat info;

    if (geteuid() != 0 || fstat(folder, &info) != 0 || info.st_uid == 0)
        return 0;
    return fchown(fd, info.st_uid, info.st_gid) == 0 ? 0 : -errno;
}

static int write_all(int fd, const char *text, size_t len)
{
    for (ssize_t n; len > 0; text += n, len -= (size_t)n) {
        n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            n = 0;
        else if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
    }
    return fsync(fd) == 0 ? 0 : -errno;
}

static int replace(const char *path, const char *text, int folder)
{
    char temporary[4096];

    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600, a new file */
    if (fd < 0)
        return -errno;
    int error = give_to_owner(fd, folder);
    if (error == 0)
        error = write_all(fd, text, strlen(text));
    close(fd);
    if (error == 0 && rename(temporary, path) != 0)
        error = -errno;
    if (error)
        unlink(temporary);
    else
        (void)fsync(folder); /* the name; some file systems cannot, and have it done already */
    return error;
}

/* Without waiting for the other end of a FIFO. */
static int open_to_read(const char *path, struct stat *info, char *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int error = fd < 0 || fstat(fd, info) != 0 ? -errno : 0;

    if (!error)
        return fd;
    *info = (struct stat){0};
    if (fd >= 0)
        close(fd);
    snprintf(why, PRIVATE_FILE_WHY, "cannot be read: %s", strerror(-error));
    return error;
}

/* Who may do what, as OpenSSH and PostgreSQL ask it of their keys. */
static int judge(const struct stat *info, bool shared, char *why)
{
    uid_t self = geteuid();
    bool handed = shared || info->st_uid == 0;
    mode_t forbidden = handed ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;

    if (info->st_mode & forbidden) {
        snprintf(why, PRIVATE_FILE_WHY, "others can read or change it (mode %04o): chmod %s it",
                 (unsigned)(info->st_mode & 07777), handed ? "640 or 600" : "600");
        return -EKEYREJECTED;
    }
    /* Root may look at what it keeps for a service. */
    if (!shared && self != 0 && info->st_uid != 0 && info->st_uid != self) {
        snprintf(why, PRIVATE_FILE_WHY,
                 "it belongs to the user %u, who could exchange it: chown it to root, or to the "
                 "user that this runs as (%u)",
                 (unsigned)info->st_uid, (unsigned)self);
        return -EKEYREJECTED;
    }
    return 0;
}

int private_file_check(const char *path, bool shared, char why[PRIVATE_FILE_WHY])
{
    struct stat info;
    int fd = open_to_read(path, &info, why);

    if (fd < 0)
        return fd;
    close(fd);
    return judge(&info, shared, why);
}

static int read_all(int fd, char *text, size_t room, size_t *len)
{
    ssize_t n = 1;

    while (*len < room && n != 0) {
        n = read(fd, text + *len, room - *len);
        if (n < 0 && errno != EINTR)
            return -errno;
        *len += n > 0 ? (size_t)n : 0;
    }
    if (*len == room)
        return -EINVAL;
    text[*len] = '\0';
    return 0;
}

int private_file_read(const char *path, char *text, size_t room, size_t *len,
                      char why[PRIVATE_FILE_WHY])
{
    struct stat info;
    int fd = open_to_read(path, &info, why);

    *len = 0;
    if (fd < 0)
        return fd;
    int error = judge(&info, false, why);
    if (error == 0 && !S_ISREG(info.st_mode))
        error = S_ISDIR(info.st_mode) ? -EISDIR : -EINVAL;
    if (error == 0)
        error = read_all(fd, text, room, len);
    close(fd);
    if (error && error != -EKEYREJECTED)
        snprintf(why, PRIVATE_FILE_WHY, "cannot be read: %s",
                 error == -EINVAL ? "it is no file, or longer than one can be" : strerror(-error));
    return error;
}

int private_file_write(const char *path, const char *text)
{
    int folder = with_folder(path, open_folder);

    if (folder < 0)
        return folder;
    int error = replace(path, text, folder);
    close(folder);
    return error;
}
