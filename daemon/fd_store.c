/* SPDX-License-Identifier: BSD-3-Clause */
/* FDSTORE=1 and FDSTOREREMOVE=1. */
#include "fd_store.h"

#include <stdio.h>
#include <string.h>

#include "log.h"
#include "socket_address.h"
#include "systemd_library.h"

/* What is found by name is of a socket unit; ours are found by address. */
#define PREFIX "kept."

bool fd_store_is_there(void)
{
    return systemd_library_is_wanted("NOTIFY_SOCKET", "sockets that outlive a restart");
}

bool fd_store_has_named(const char *name)
{
    return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

void fd_store_put(int fd)
{
    char name[FD_STORE_NAME_SIZE] = PREFIX, state[FD_STORE_NAME_SIZE + 32];

    if (!fd_store_is_there())
        return;
    socket_address_name(fd, name + strlen(PREFIX), sizeof(name) - strlen(PREFIX));
    snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s", name);
    int told = sd.pid_notify_with_fds(0, 0, state, &fd, 1);
    if (told < 0)
        log_print(HYPERDERP_LOG_WARN, "%s: systemd cannot be given it to keep: %s", name,
                  strerror(-told));
}

void fd_store_remove(const char *name)
{
    char state[FD_STORE_NAME_SIZE + 32];

    if (!fd_store_is_there())
        return;
    snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    (void)sd.notify(0, state);
}
