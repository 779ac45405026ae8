/* SPDX-License-Identifier: BSD-3-Clause */
/* sd_notify(3). */
#include "notify.h"

#include <inttypes.h>
#include <time.h>

#include <systemd/sd-daemon.h>

void notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

/* The time lets the manager tell this reload from an earlier one that it still hears of. */
void notify_reloading(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                     (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

void notify_status(const char *text)
{
    (void)sd_notifyf(0, "STATUS=%s", text);
}

void notify_watchdog(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}

uint64_t notify_watchdog_usec(void)
{
    uint64_t usec;

    return sd_watchdog_enabled(0, &usec) > 0 ? usec : 0;
}
