/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading and making the key file. */
#include "key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "private_file.h"

/* derper's JSON has some hundred bytes. */
#define MAX_FILE 4096

static int say(char *fault, const char *path, const char *what, int error)
{
    snprintf(fault, KEY_FILE_FAULT, "key file %s: %s: %s", path, what, strerror(-error));
    return error;
}

/* derper's form. What jansson has copied of the text is wiped as it is freed (wiped_memory.h). */
static int parse_json(const char *text, hyperderp_private_key *key)
{
    json_t *root = json_loads(text, 0, NULL);
    const char *value = json_string_value(json_object_get(root, "PrivateKey"));
    int error = value ? hyperderp_private_key_parse(key, value) : -EINVAL;

    json_decref(root);
    return error ? -EINVAL : 0;
}

static int parse_text(char *text, hyperderp_private_key *key)
{
    text += strspn(text, " \t\r\n");
    if (*text == '{')
        return parse_json(text, key);
    size_t len = strcspn(text, " \t\r\n");
    if (text[len + strspn(text + len, " \t\r\n")] != '\0')
        return -EINVAL; /* something stands behind it */
    text[len] = '\0';
    return hyperderp_private_key_parse(key, text) ? -EINVAL : 0;
}

int key_file_parse(FILE *in, hyperderp_private_key *key)
{
    char text[MAX_FILE + 1];
    size_t len = fread(text, 1, MAX_FILE, in);
    int error = -EINVAL;

    text[len] = '\0';
    if (!ferror(in) && fgetc(in) == EOF && strlen(text) == len)
        error = parse_text(text, key);
    explicit_bzero(text, sizeof(text));
    return error;
}

int key_file_read(const char *path, hyperderp_private_key *key, char *fault)
{
    char text[MAX_FILE + 1], why[PRIVATE_FILE_WHY];
    size_t len;
    int error = private_file_read(path, text, sizeof(text), &len, why);

    if (error && error != -EINVAL) {
        snprintf(fault, KEY_FILE_FAULT, "key file %s: %s", path, why);
    } else {
        if (error == 0)
            error = strlen(text) == len ? parse_text(text, key) : -EINVAL;
        if (error)
            snprintf(fault, KEY_FILE_FAULT,
                     "key file %s: expected a line privkey:<64 hexadecimal digits>, or derper's "
                     "JSON",
                     path);
    }
    explicit_bzero(text, sizeof(text));
    return error;
}

static int write_key(int fd, const hyperderp_private_key *key)
{
    char text[HYPERDERP_PRIVATE_KEY_TEXT_SIZE + 1];

    hyperderp_private_key_format(key, text);
    size_t len = strlen(text);
    text[len++] = '\n';
    ssize_t n = write(fd, text, len);
    int error = n == (ssize_t)len ? 0 : n < 0 ? -errno : -ENOSPC;
    if (error == 0 && fsync(fd) != 0)
        error = -errno;
    explicit_bzero(text, sizeof(text));
    return error;
}

/* Written under another name and linked to its own, so that the file is there whole or not at all,
 * and never in the place of another. */
static int make_file(const char *path, const hyperderp_private_key *key, char *fault)
{
    char temporary[4096];

    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
        return say(fault, path, "cannot be made", -ENAMETOOLONG);
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return say(fault, path, "cannot be made; make its folder writable, or set key_file",
                   -errno);
    int error = write_key(fd, key);
    close(fd);
    if (error == 0 && link(temporary, path) != 0)
        error = -errno;
    unlink(temporary);
    return error ? say(fault, path, "cannot be made", error) : 0;
}

int key_file_make(const char *path, hyperderp_private_key *key, char *fault)
{
    int error = private_folder_make(path);

    if (error)
        return say(fault, path, "its folder cannot be made; make it, or set key_file", error);
    error = hyperderp_private_key_generate(key);
    if (error)
        return say(fault, path, "no random bytes", error);
    error = make_file(path, key, fault);
    if (error)
        hyperderp_private_key_wipe(key);
    return error;
}
