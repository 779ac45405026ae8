/* SPDX-License-Identifier: BSD-3-Clause */
/* From the test program to a restricted daemon; what is asked for is passed in the environment. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "service.h"

#define WORD     "--launch"
#define SPACE    "LAUNCH_ADDRESS_SPACE"
#define NO_URING "LAUNCH_NO_IO_URING"
#define CGROUP   "LAUNCH_CGROUP"
#define PRELOAD  "LAUNCH_PRELOAD"
#define LOG      "LAUNCH_LOG"
#define SELF     "LAUNCH_SELF"
#define CANNOT   125 /* the exit status where a restriction cannot be had */

static bool forbid_io_uring(unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool open_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    return fd >= 0 && dup2(fd, STDERR_FILENO) >= 0 && close(fd) == 0;
}

static bool enter_cgroup(const char *path)
{
    char pid[16];
    int fd = open(path, O_WRONLY | O_CLOEXEC),
        len = snprintf(pid, sizeof(pid), "%d", (int)getpid());

    return fd >= 0 && write(fd, pid, (size_t)len) == len && close(fd) == 0;
}

static bool restrict_self(void)
{
    const char *value;

    if ((value = getenv(CGROUP)) && !enter_cgroup(value))
        return false;
    if ((value = getenv(LOG)) && !open_log(value))
        return false;
    if ((value = getenv(PRELOAD)))
        setenv("LD_PRELOAD", value, 1);
    if ((value = getenv(NO_URING)) && !forbid_io_uring((unsigned)atoi(value)))
        return false;
    if ((value = getenv(SPACE))) {
        rlim_t bytes = strtoul(value, NULL, 10) * 1024;
        const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
        return setrlimit(RLIMIT_AS, &limit) == 0;
    }
    return true;
}

void launch_main(int argc, char **argv)
{
    static char self[PATH_MAX];

    if (argc > 2 && strcmp(argv[1], WORD) == 0) {
        if (restrict_self())
            execv(getenv(DAEMON), argv + 1);
        _exit(CANNOT);
    }
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len > 0)
        setenv(SELF, self, 1);
}

static void ask(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

struct process *launch(const struct restriction *restriction)
{
    static const char *const names[] = {SPACE, NO_URING, CGROUP, PRELOAD, LOG};
    char space[32], no_uring[16];

    snprintf(space, sizeof(space), "%ld", restriction->address_space_kib);
    snprintf(no_uring, sizeof(no_uring), "%d", restriction->no_io_uring);
    ask(SPACE, restriction->address_space_kib ? space : NULL);
    ask(NO_URING, restriction->no_io_uring ? no_uring : NULL);
    ask(CGROUP, restriction->cgroup);
    ask(PRELOAD, restriction->preload);
    ask(LOG, restriction->log);
    struct process *process =
        process_spawn(SELF, (const char *[]){WORD, "-c", service_file, NULL}, -1);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    return process;
}

struct process *launch_ready(const struct restriction *restriction)
{
    struct process *process = launch(restriction);

    process_await_ready(process);
    return process;
}
