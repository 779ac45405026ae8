/* SPDX-License-Identifier: BSD-3-Clause */
/* What is left of the machine to a daemon that somebody has taken over: call_filter.h,
 * file_rules.h. */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include "config.h"

/*
 * Enters the sandbox that the configuration asks for, after privilege_drop() and before there are
 * threads. 0; or, for SANDBOX_ON alone, -EOPNOTSUPP where the kernel lacks a part of it or -errno.
 * What is missing has been logged. keeps_key is false where no file is made at the start.
 */
int sandbox_enter(const struct config *config, const char *config_file, bool keeps_key);

/* Takes away what the start alone needed, once there are the threads. As above. */
int sandbox_seal(const struct config *config);

/* Logs which files of a newly read configuration the sandbox does not let this process reach. */
void sandbox_check(const struct config *config);

#endif
