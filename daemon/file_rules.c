/* SPDX-License-Identifier: BSD-3-Clause */
/* Landlock's system calls, for which there is no library on all of the systems that we run on. */
#include "file_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Linux 6.1. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ull << 14)
#endif
#define ACCESS_FS_IOCTL_DEV (1ull << 15)

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                      \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG |   \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)
/* What a rule for something else than a folder may name. */
#define OF_FILES                                                                                   \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

/* The rights that each version of the interface knows: the first 13, then REFER, TRUNCATE, none
 * for files, IOCTL_DEV. */
static const uint64_t known[] = {
    0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0x7fff | ACCESS_FS_IOCTL_DEV,
};
#define KNOWN_VERSIONS (sizeof(known) / sizeof(known[0]))

/* Those that may be reached, kept to tell what a reload asks for in vain. */
struct folder {
    char *path; /* without links */
    bool written;
};

static struct {
    uint64_t handled;
    int fd;
    int error; /* the first */
    struct folder *folders;
    size_t count;
    bool enforced;
} rules;

static void remember(const char *path, bool written)
{
    struct folder *more = realloc(rules.folders, (rules.count + 1) * sizeof(*more));
    char *copy = realpath(path, NULL);

    if (more)
        rules.folders = more;
    if (!more || !copy) {
        free(copy);
        rules.error = rules.error ? rules.error : -ENOMEM;
        return;
    }
    rules.folders[rules.count++] = (struct folder){copy, written};
}

/* What is not there needs no rule: who opens it will say so. */
static void allow(const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr beneath = {.allowed_access = rights & rules.handled};
    struct stat info;

    beneath.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (beneath.parent_fd < 0)
        return;
    if (fstat(beneath.parent_fd, &info) != 0 || !S_ISDIR(info.st_mode))
        beneath.allowed_access &= OF_FILES;
    if (syscall(SYS_landlock_add_rule, rules.fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0 &&
        rules.error == 0)
        rules.error = -errno;
    else
        remember(path, (rights & LANDLOCK_ACCESS_FS_MAKE_REG) != 0);
    close(beneath.parent_fd);
}

/* The folder of a file. One right below the root is allowed alone, not all that there is. */
static void allow_folder_of(const char *path, uint64_t rights)
{
    char *copy = strdup(path);

    if (!copy)
        rules.error = -ENOMEM;
    else if (strcmp(dirname(copy), "/") != 0)
        allow(copy, rights);
    else
        allow(path, rights & OF_FILES);
    free(copy);
}

/* Where the file, or a folder on the way to it, is a link: the folder of what it leads to, where
 * the next one that it is exchanged for lies, too. */
static void allow_links(const char *path, uint64_t rights)
{
    char *copy = strdup(path);
    struct stat info;

    if (!copy)
        rules.error = -ENOMEM;
    for (size_t len = strlen(path); copy && len > 0; len--) {
        if (path[len] != '\0' && path[len] != '/')
            continue;
        copy[len] = '\0';
        if (lstat(copy, &info) != 0 || !S_ISLNK(info.st_mode))
            continue;
        char *target = realpath(copy, NULL);
        if (target)
            allow_folder_of(target, rights);
        free(target);
    }
    free(copy);
}

static void allow_file(void *context, const char *key, const char *path, bool written)
{
    const uint64_t rights = written ? READ | WRITE : READ;

    (void)context;
    (void)key;
    allow_folder_of(path, rights);
    allow_links(path, rights);
}

void file_rules_each(const struct config *config, file_rules_visit *visit, void *context)
{
    static const char unix_socket[] = "unix:";
    const struct {
        const char *key, *path;
        bool written;
    } files[] = {
        {"key_file", config->key_file, true},
        {"tls.cert", config->tls.cert, false},
        {"tls.key", config->tls.key, false},
        {"metrics.tls_cert", config->metrics.tls_cert, false},
        {"metrics.tls_key", config->metrics.tls_key, false},
        {"mesh.key_file", config->mesh.key_file, false},
        {"mesh.ca_file", config->mesh.ca_file, false},
        {"access.allow_keys_file", config->access.allow_keys_file, false},
        {"takeover.socket", config->takeover.socket, true},
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (*files[i].path)
            visit(context, files[i].key, files[i].path, files[i].written);
    for (size_t i = 0; i < config->listener_count; i++) {
        const char *address = config->listeners[i].address;
        if (strncmp(address, unix_socket, sizeof(unix_socket) - 1) == 0)
            visit(context, "listener", address + sizeof(unix_socket) - 1, true);
    }
}

/* Names, addresses, time zones, certificates of authorities, shared libraries that are loaded when
 * they are needed, and what the process is told of itself. */
static void allow_system(void)
{
    static const char *const read[] = {
        /* of libraries, and what they read */
        "/usr", "/lib", "/lib64", "/opt", "/nix/store", "/etc/ld.so.cache", "/etc/ssl", "/etc/pki",
        "/etc/ca-certificates", "/etc/crypto-policies", "/etc/gnutls", "/etc/localtime",
        /* of names */
        "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
        "/etc/services", "/etc/protocols", "/etc/passwd", "/etc/group",
        /* of the kernel */
        "/proc", "/sys/devices/system/cpu", "/dev/urandom", "/dev/random"};

    for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++)
        allow(read[i], READ);
    allow("/dev/null", OF_FILES);
    allow_links("/etc/resolv.conf", READ);
    /* A rule is about the file that is there now, and some of these are exchanged for others. The
     * folder has them all; what is secret in it is open to root alone, by whom it is not allowed.
     */
    if (geteuid() != 0)
        allow("/etc", READ);
}

static int make_ruleset(void)
{
    struct landlock_ruleset_attr attributes = {0};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version <= 0)
        return -EOPNOTSUPP;
    rules.handled = known[(size_t)version < KNOWN_VERSIONS ? (size_t)version : KNOWN_VERSIONS - 1];
    attributes.handled_access_fs = rules.handled;
    rules.fd = (int)syscall(SYS_landlock_create_ruleset, &attributes,
                            sizeof(attributes.handled_access_fs), 0);
    return rules.fd >= 0 ? 0 : -errno;
}

int file_rules_enforce(const struct config *config, const char *config_file)
{
    int error = make_ruleset();

    if (error)
        return error;
    allow_system();
    if (config_file)
        allow_file(NULL, NULL, config_file, false);
    file_rules_each(config, allow_file, NULL);
    error = rules.error;
    if (error == 0 && syscall(SYS_landlock_restrict_self, rules.fd, 0) != 0)
        error = -errno;
    close(rules.fd);
    rules.enforced = error == 0;
    return error;
}

static bool lies_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 &&
           (path[len] == '/' || path[len] == '\0' || strcmp(folder, "/") == 0);
}

static bool reach(const char *path, bool written)
{
    for (size_t i = 0; i < rules.count; i++)
        if (lies_in(path, rules.folders[i].path) && (!written || rules.folders[i].written))
            return true;
    return false;
}

bool file_rules_reach(const char *path, bool written)
{
    char *copy = strdup(path), *target = realpath(path, NULL);
    /* Of a file that is not there yet its folder tells. */
    char *folder = !target && copy ? realpath(dirname(copy), NULL) : NULL;
    const char *what = target ? target : folder;
    bool can = !rules.enforced || !what || reach(what, written);

    free(copy);
    free(target);
    free(folder);
    return can;
}
