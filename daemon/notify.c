/* SPDX-License-Identifier: BSD-3-Clause */
/* sd_notify(3). */
#include "notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "systemd_library.h"

/* sd_notify(3) allows for no more than a datagram; what is sent here is a line or two. */
#define MAX_STATE 512

static void notify(const char *state)
{
    if (systemd_library_is_wanted("NOTIFY_SOCKET", "Type=notify of the service"))
        (void)sd.notify(0, state);
}

void notify_ready(void)
{
    notify("READY=1");
}

/* The time lets the manager tell this reload from an earlier one that it still hears of. */
void notify_reloading(void)
{
    char state[MAX_STATE];
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    notify(state);
}

void notify_stopping(void)
{
    notify("STOPPING=1");
}

void notify_status(const char *text)
{
    char state[MAX_STATE];

    snprintf(state, sizeof(state), "STATUS=%s", text);
    notify(state);
}

void notify_watchdog(void)
{
    notify("WATCHDOG=1");
}

uint64_t notify_watchdog_usec(void)
{
    uint64_t usec;

    if (!systemd_library_is_wanted("WATCHDOG_USEC", "WatchdogSec= of the service"))
        return 0;
    return sd.watchdog_enabled(0, &usec) > 0 ? usec : 0;
}
