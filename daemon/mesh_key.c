/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the mesh key. */
#include "mesh_key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "private_file.h"

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

int mesh_key_read(const char *path, uint8_t key[HYPERDERP_MESH_KEY_SIZE], char *fault)
{
    char text[MAX_FILE + 1], why[PRIVATE_FILE_WHY];
    size_t len;
    int error = private_file_read(path, text, sizeof(text), &len, why);

    if (error && error != -EINVAL) {
        snprintf(fault, MESH_KEY_FAULT, "mesh key file %s: %s", path, why);
    } else {
        if (error == 0)
            error = strlen(text) == len ? parse(text, key) : -EINVAL;
        if (error)
            snprintf(fault, MESH_KEY_FAULT,
                     "mesh key file %s: expected 64 hexadecimal digits that are not all 0", path);
    }
    explicit_bzero(text, sizeof(text));
    if (error)
        explicit_bzero(key, HYPERDERP_MESH_KEY_SIZE);
    return error;
}
