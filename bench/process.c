/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads /proc for bench/process.h. */
#include "process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define TCP_STATE_LISTEN 0x0a

/* The kernel prints addresses as 32-bit words of the machine's own byte order. Returns how many
 * words there were, or 0. */
static size_t parse_words(const char *hex, uint32_t words[4])
{
    size_t count = strlen(hex) / 8;

    if (strlen(hex) % 8 != 0 || count > 4)
        return 0;
    for (size_t i = 0; i < count; i++) {
        char word[9] = "";

        memcpy(word, hex + 8 * i, 8);
        words[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    return count;
}

static bool all_zero(const uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (words[i] != 0)
            return false;
    return true;
}

/* Tells whether a socket bound to these words gets connections to the address. One bound to all
 * IPv6 addresses usually gets those to IPv4 addresses too. */
static bool takes(const uint32_t *words, size_t count, const struct sockaddr *address)
{
    if (all_zero(words, count))
        return address->sa_family == AF_INET || count == 4;
    if (address->sa_family == AF_INET)
        return count == 1 &&
               words[0] == ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr;
    return count == 4 &&
           memcmp(words, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16) == 0;
}

static unsigned port_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

bool process_parse_listener(const char *line, const struct sockaddr *address, unsigned long *inode)
{
    char hex[33];
    unsigned port, state;
    uint32_t words[4];
    size_t count;

    if (sscanf(line,
               " %*d: %32[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*x %2x %*x:%*x %*x:%*x %*x %*u %*u %lu",
               hex, &port, &state, inode) != 4)
        return false;
    count = parse_words(hex, words);
    return state == TCP_STATE_LISTEN && port == port_of(address) && count > 0 &&
           takes(words, count, address);
}

static int find_inode(const char *path, const struct sockaddr *address, unsigned long *inode)
{
    FILE *file = fopen(path, "re");
    char line[512];
    bool found = false;

    if (file == NULL)
        return -errno;
    while (!found && fgets(line, sizeof(line), file) != NULL)
        found = process_parse_listener(line, address, inode);
    fclose(file);
    return found ? 0 : -ENOENT;
}

static bool has_socket(const char *pid, unsigned long inode)
{
    char path[300], wanted[40], link[40];
    struct dirent *entry;
    bool found = false;
    ssize_t n;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    dir = opendir(path);
    if (dir == NULL)
        return false;
    while (!found && (entry = readdir(dir)) != NULL) {
        n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
        if (n > 0) {
            link[n] = '\0';
            found = strcmp(link, wanted) == 0;
        }
    }
    closedir(dir);
    return found;
}

int process_find_listener(const struct sockaddr *address, pid_t *pid)
{
    struct dirent *entry;
    unsigned long inode;
    DIR *dir;
    int err = -ENOENT;

    if (find_inode("/proc/net/tcp", address, &inode) < 0 &&
        find_inode("/proc/net/tcp6", address, &inode) < 0)
        return -ENOENT;
    dir = opendir("/proc");
    if (dir == NULL)
        return -errno;
    while (err < 0 && (entry = readdir(dir)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && has_socket(entry->d_name, inode)) {
            *pid = (pid_t)strtol(entry->d_name, NULL, 10);
            err = 0;
        }
    closedir(dir);
    return err;
}

int process_sample_cpu(pid_t pid, struct process_sample *out)
{
    struct timespec cpu;
    clockid_t clock;
    int err = clock_getcpuclockid(pid, &clock);

    if (err != 0)
        return -err;
    out->at_ns = clock_ns();
    /* The sum of utime and stime in /proc/PID/stat, but not in steps of 10 ms. */
    if (clock_gettime(clock, &cpu) < 0)
        return errno == EINVAL ? -ESRCH : -errno;
    out->cpu_ns = (uint64_t)cpu.tv_sec * NS_PER_SECOND + (uint64_t)cpu.tv_nsec;
    return 0;
}

/* Reads "NAME:  123 kB" from a file of a process. */
static uint64_t read_size(pid_t pid, const char *file_name, const char *name)
{
    char path[64], line[256];
    unsigned long kilobytes = 0;
    size_t len = strlen(name);
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, file_name);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, len) == 0 && sscanf(line + len, ": %lu kB", &kilobytes) == 1)
            break;
    fclose(file);
    return (uint64_t)kilobytes * 1024;
}

int process_sample(pid_t pid, struct process_sample *out)
{
    int err = process_sample_cpu(pid, out);

    if (err < 0)
        return err;
    /* The counter behind VmRSS lags by some pages for each thread; this one counts them. */
    out->rss = read_size(pid, "smaps_rollup", "Rss");
    if (out->rss == 0)
        out->rss = read_size(pid, "status", "VmRSS");
    return 0;
}

void process_name(pid_t pid, char *name, size_t room)
{
    char path[64];
    FILE *file;

    name[0] = '\0';
    snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(name, (int)room, file) == NULL)
        name[0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    fclose(file);
}
