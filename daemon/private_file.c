/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing under another name first, then the rename. */
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

int private_file_write(const char *path, const char *text)
{
    int folder = with_folder(path, open_folder);

    if (folder < 0)
        return folder;
    int error = replace(path, text, folder);
    close(folder);
    return error;
}
