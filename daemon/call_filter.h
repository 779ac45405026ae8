/* SPDX-License-Identifier: BSD-3-Clause */
/* The system calls that the daemon may make (seccomp). */
#ifndef DAEMON_CALL_FILTER_H
#define DAEMON_CALL_FILTER_H

/*
 * Leaves the process, and all threads that it makes from now on, the system calls that the daemon
 * and its libraries need. Those by which a program that was taken over would go on ends the
 * process (SIGSYS): starting programs, reaching into other processes, changing mounts and the
 * kernel. All others fail with ENOSYS, as on a kernel without them, so that a newer C library takes
 * its older way. What io_uring does is bound by the engine's own ring.
 * Cannot be undone. 0, -EOPNOTSUPP where there is nothing of the kind, or another -errno.
 */
int call_filter_load(void);

/*
 * Takes away the calls that the start alone needs, for all threads: no further ring can be made,
 * and those that there are do only what their engine lets them. After call_filter_load(). As above.
 */
int call_filter_seal(void);

#endif
