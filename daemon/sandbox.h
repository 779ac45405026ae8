/* SPDX-License-Identifier: BSD-3-Clause */
/* What is left of the machine to a daemon that somebody has taken over: call_filter.h,
 * file_rules.h. */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include "config.h"

/* Whether this build does without it: sanitizers start programs, and look into the process from
 * outside. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_LEFT_OUT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_LEFT_OUT 1
#endif
#endif
#ifndef SANDBOX_LEFT_OUT
#define SANDBOX_LEFT_OUT 0
#endif

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
