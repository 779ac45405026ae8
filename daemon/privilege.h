/* SPDX-License-Identifier: BSD-3-Clause */
/* From root to a user of its own, with the one capability that the daemon has a use for. */
#ifndef DAEMON_PRIVILEGE_H
#define DAEMON_PRIVILEGE_H

/*
 * Gives up what the process does not need, for good: it becomes user and the groups of that user,
 * keeps of all capabilities CAP_NET_BIND_SERVICE alone, and can gain none by starting programs.
 * Without a user ("") root stays root, as whom it may also go past the modes of files, and whoever
 * else it is stays as well. Before there are threads. 0, or -ENOENT (no such user), -EPERM (a user
 * is named and the process is neither root nor that user) or another -errno, with the reason
 * logged.
 */
int privilege_drop(const char *user);

#endif
