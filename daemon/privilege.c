/* SPDX-License-Identifier: BSD-3-Clause */
/* setresuid() and capset(). */
#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

#define BIT(capability) (1u << (capability))

static int failed(const char *what)
{
    int error = -errno;

    log_print(HYPERDERP_LOG_ERROR, "user: cannot %s: %s", what, strerror(-error));
    return error;
}

/* What of its capabilities a process may have left, all of them among the first 32. Those that it
 * lacks already stay away. */
static int keep_capabilities(unsigned wanted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, sets) != 0)
        return failed("read the capabilities");
    /* A service manager may have done it, and have taken capset() away. */
    if ((sets[0].permitted & ~wanted) == 0 && sets[1].permitted == 0 &&
        sets[0].effective == sets[0].permitted)
        return 0;
    sets[0].permitted &= wanted;
    sets[0].effective = sets[0].permitted;
    sets[0].inheritable = 0;
    sets[1] = (struct __user_cap_data_struct){0};
    /* The ambient set follows the inheritable one. What the bounding set has is of no use to a
     * process that can gain nothing by execve(). */
    if (syscall(SYS_capset, &header, sets) != 0)
        return failed("drop capabilities");
    return 0;
}

/* Across the change of user the permitted capabilities stay, for keep_capabilities(). */
static int become(const struct passwd *user)
{
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return failed("keep capabilities");
    if (initgroups(user->pw_name, user->pw_gid) != 0)
        return failed("take the user's groups");
    if (setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0)
        return failed("take the user's group");
    if (setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0)
        return failed("become the user");
    (void)prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    return 0;
}

static int become_named(const char *name)
{
    errno = 0;
    const struct passwd *user = getpwnam(name);

    if (!user) {
        int error = errno ? -errno : -ENOENT;
        log_print(HYPERDERP_LOG_ERROR, "user %s: %s", name,
                  errno ? strerror(errno) : "there is no such user");
        return error;
    }
    if (geteuid() != 0) {
        if (user->pw_uid == geteuid() && user->pw_uid == getuid())
            return 0;
        log_print(HYPERDERP_LOG_ERROR,
                  "user %s: only root can become another user: start as root, or as that user",
                  name);
        return -EPERM;
    }
    return become(user);
}

static int forbid_return(const char *user)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed("forbid new privileges");
    if (*user && geteuid() != 0 && (setresuid(0, 0, 0) == 0 || seteuid(0) == 0)) {
        log_print(HYPERDERP_LOG_ERROR, "user %s: could become root again", user);
        return -EPERM;
    }
    return 0;
}

int privilege_drop(const char *user)
{
    unsigned wanted = BIT(CAP_NET_BIND_SERVICE);
    int error = *user ? become_named(user) : 0;

    /* Files of a user that it runs for: root opened and made them by these two so far. */
    if (geteuid() == 0)
        wanted |= BIT(CAP_DAC_OVERRIDE) | BIT(CAP_CHOWN);
    if (error == 0)
        error = keep_capabilities(wanted);
    return error ? error : forbid_return(user);
}
