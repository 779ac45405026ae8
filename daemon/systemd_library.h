/* SPDX-License-Identifier: BSD-3-Clause */
/* libsystemd, which only a service needs: with libgcrypt and the compressors, which it needs for
 * journals, 0.9 MB. */
#ifndef DAEMON_SYSTEMD_LIBRARY_H
#define DAEMON_SYSTEMD_LIBRARY_H

#include <stdbool.h>

#include <systemd/sd-daemon.h>

/* The functions that are called, without their prefix. */
#define SYSTEMD_FUNCTIONS(each)                                                                    \
    each(notify) each(pid_notify_with_fds) each(watchdog_enabled) each(listen_fds_with_names)

struct systemd_library {
#define SYSTEMD_FUNCTION(name) __typeof__(sd_##name) *name;
    SYSTEMD_FUNCTIONS(SYSTEMD_FUNCTION)
#undef SYSTEMD_FUNCTION
};

/* Fixed once it is loaded. */
extern struct systemd_library sd;

/* Loads it when this variable of the environment is set, by which the service manager tells that it
 * wants the purpose served. False when it does not, or, with the reason logged once, when the
 * library is missing. The main thread alone. */
bool systemd_library_is_wanted(const char *variable, const char *purpose);

#endif
