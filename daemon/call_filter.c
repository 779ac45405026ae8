/* SPDX-License-Identifier: BSD-3-Clause */
/* The lists. */
#include "call_filter.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* By name, as not every architecture and libseccomp has each; such a one is left out. */
static const char *const allowed[] = {
    /* Files. What of them can be reached is another matter (file_rules.h). */
    "access", "chmod", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2",
    "fadvise64", "fallocate", "fchmod", "fchmodat", "fchown", "fchownat", "fcntl", "fdatasync",
    "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd", "getdents64", "link", "linkat",
    "lseek", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "pread64", "preadv",
    "pwrite64", "pwritev", "read", "readlink", "readlinkat", "readv", "rename", "renameat",
    "renameat2", "rmdir", "stat", "statfs", "statx", "umask", "unlink", "unlinkat", "write",
    "writev",
    /* Sockets; socket() itself is below. */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    /* Waiting. */
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait",
    "eventfd2", "io_uring_enter", "io_uring_register", "io_uring_setup", "pipe", "pipe2", "poll",
    "ppoll", "pselect6", "select", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    /* Memory; mmap() and mprotect() are below. */
    "brk", "madvise", "membarrier", "mincore", "mlock", "mlock2", "mremap", "munlock", "munmap",
    /* Threads; clone(), tgkill() and prlimit64() are below. */
    "exit", "exit_group", "futex", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
    "getcpu", "getpid", "gettid", "rseq", "sched_getaffinity", "sched_getparam",
    "sched_getscheduler", "sched_setaffinity", "sched_yield", "set_robust_list", "set_tid_address",
    /* More filters: they can take away, and give nothing back. */
    "seccomp",
    /* Signals. */
    "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack",
    /* Time, and what the process is. */
    "clock_getres", "clock_gettime", "clock_nanosleep", "getegid", "geteuid", "getgid", "getppid",
    "getrandom", "getrlimit", "getrusage", "gettimeofday", "getuid", "nanosleep", "setrlimit",
    "sysinfo", "time", "times", "uname"};

/* No library tries these for want of something better: who calls them means harm. */
static const char *const deadly[] = {"execve",
                                     "execveat",
                                     "fork",
                                     "vfork",
                                     "ptrace",
                                     "process_vm_readv",
                                     "process_vm_writev",
                                     "pidfd_getfd",
                                     "kcmp",
                                     "mount",
                                     "umount2",
                                     "pivot_root",
                                     "chroot",
                                     "move_mount",
                                     "open_tree",
                                     "fsopen",
                                     "fsmount",
                                     "setns",
                                     "unshare",
                                     "init_module",
                                     "finit_module",
                                     "delete_module",
                                     "kexec_load",
                                     "kexec_file_load",
                                     "bpf",
                                     "perf_event_open",
                                     "reboot",
                                     "swapon",
                                     "swapoff",
                                     "iopl",
                                     "ioperm",
                                     "userfaultfd",
                                     "keyctl",
                                     "add_key",
                                     "request_key",
                                     "clock_settime",
                                     "settimeofday",
                                     "clock_adjtime",
                                     "adjtimex",
                                     "acct",
                                     "quotactl"};

/* Adds a rule for a call if it is known here; after a fault nothing more. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
               const struct scmp_arg_cmp *arguments)
{
    int call = seccomp_syscall_resolve_name(name);

    if (call == __NR_SCMP_ERROR || call < 0)
        return 0;
    return seccomp_rule_add_array(filter, action, call, count, arguments);
}

/* A call whose argument may have one of these values. */
static int add_values(scmp_filter_ctx filter, const char *name, unsigned argument,
                      const unsigned long *values, size_t count)
{
    int error = 0;

    for (size_t i = 0; i < count && error == 0; i++) {
        const struct scmp_arg_cmp is = SCMP_CMP(argument, SCMP_CMP_EQ, values[i], 0);
        error = add(filter, SCMP_ACT_ALLOW, name, 1, &is);
    }
    return error;
}

/* A call whose flags must, of those in mask, have these. */
static int add_flags(scmp_filter_ctx filter, const char *name, unsigned argument,
                     unsigned long mask, unsigned long flags)
{
    const struct scmp_arg_cmp has = SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, flags);

    return add(filter, SCMP_ACT_ALLOW, name, 1, &has);
}

static int add_parts(scmp_filter_ctx filter)
{
    static const unsigned long families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
    /* SIOCOUTQ: what a client has not acknowledged, by which a slow one is told from a dead one. */
    static const unsigned long requests[] = {FIONBIO, FIONREAD,     SIOCOUTQ,
                                             TCGETS,  SIOCGIFINDEX, SIOCGIFNAME};
    static const unsigned long controls[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA,
                                             PR_SET_NO_NEW_PRIVS};
    int error = add_values(filter, "socket", 0, families, sizeof(families) / sizeof(families[0]));

    if (error == 0)
        error = add_values(filter, "socketpair", 0, &families[2], 1);
    if (error == 0)
        error = add_values(filter, "ioctl", 1, requests, sizeof(requests) / sizeof(requests[0]));
    if (error == 0)
        error = add_values(filter, "prctl", 0, controls, sizeof(controls) / sizeof(controls[0]));
    /* Threads, no processes. clone3() has its flags in memory, where a filter cannot look: it is
     * not there, and the C library takes clone(). */
    if (error == 0)
        error = add_flags(filter, "clone", 0, CLONE_THREAD, CLONE_THREAD);
    /* Signals and limits of this process alone. */
    const unsigned long self = (unsigned long)getpid();
    static const unsigned long own = 0;
    if (error == 0)
        error = add_values(filter, "tgkill", 0, &self, 1);
    if (error == 0)
        error = add_values(filter, "prlimit64", 0, &own, 1);
    /* Memory that can be written or executed, not both: libraries are loaded, code is not made. */
    static const char *const mappings[] = {"mmap", "mprotect"};
    for (size_t i = 0; i < 2 && error == 0; i++) {
        error = add_flags(filter, mappings[i], 2, PROT_WRITE, 0);
        if (error == 0)
            error = add_flags(filter, mappings[i], 2, PROT_EXEC, 0);
    }
    return error;
}

static int add_all(scmp_filter_ctx filter)
{
    int error = 0;

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && error == 0; i++)
        error = add(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]) && error == 0; i++)
        error = add(filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0, NULL);
    return error == 0 ? add_parts(filter) : error;
}

/* Loads a filter and is done with it, whatever came before. */
static int load(scmp_filter_ctx filter, int error)
{
    /* A search in halves; and no defence that slows down all memory, which kernels before 5.16 turn
     * on for whoever has a filter: no stranger's code runs here. */
    if (error == 0)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (error == 0)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    if (error == 0)
        error = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1); /* what the kernel said */
    if (error == 0)
        error = seccomp_load(filter);
    seccomp_release(filter);
    return error == -EINVAL || error == -ENOSYS ? -EOPNOTSUPP : error;
}

int call_filter_load(void)
{
    /* Calls of 32-bit systems have other names, which are not in the lists. */
    if (sizeof(void *) < sizeof(uint64_t))
        return -EOPNOTSUPP;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));

    return filter ? load(filter, add_all(filter)) : -ENOMEM;
}

int call_filter_seal(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (!filter)
        return -ENOMEM;
    int error = add(filter, SCMP_ACT_ERRNO(ENOSYS), "io_uring_setup", 0, NULL);
    /* For each thread that there is already. */
    if (error == 0)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    return load(filter, error);
}
