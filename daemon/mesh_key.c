/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the mesh key. */
#include "mesh_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The digits, and blanks around them. */
#define MAX_FILE 1024

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int parse(const char *text, uint8_t key[HYPERDERP_MESH_KEY_SIZE])
{
    static const char blanks[] = " \t\r\n";
    uint8_t any = 0;

    text += strspn(text, blanks);
    for (size_t i = 0; i < HYPERDERP_MESH_KEY_SIZE; i++) {
        int high = digit(*text), low = high < 0 ? -1 : digit(text[1]);
        if (low < 0)
            return -EINVAL;
        key[i] = (uint8_t)(high << 4 | low);
        any |= key[i];
        text += 2;
    }
    return any && text[strspn(text, blanks)] == '\0' ? 0 : -EINVAL;
}

int mesh_key_read(const char *path, uint8_t key[HYPERDERP_MESH_KEY_SIZE], bool *open_to_others,
                  char *fault)
{
    char text[MAX_FILE + 1];
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, MAX_FILE);
    int error = len < 0 ? -errno : 0;
    size_t size = len < 0 ? 0 : (size_t)len;

    *open_to_others = fd >= 0 && fstat(fd, &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    if (fd >= 0)
        close(fd);
    if (error) {
        snprintf(fault, MESH_KEY_FAULT, "mesh key file %s: cannot be read: %s", path,
                 strerror(-error));
        return error;
    }
    text[size] = '\0';
    error = strlen(text) == size ? parse(text, key) : -EINVAL;
    explicit_bzero(text, sizeof(text));
    if (error) {
        explicit_bzero(key, HYPERDERP_MESH_KEY_SIZE);
        snprintf(fault, MESH_KEY_FAULT,
                 "mesh key file %s: expected 64 hexadecimal digits that are not all 0", path);
    }
    return error;
}
