/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket activation. */
#include "handed_sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "systemd_library.h"

int handed_sockets_take(struct handed_sockets *handed)
{
    *handed = (struct handed_sockets){0};
    if (!systemd_library_is_wanted("LISTEN_FDS", "listeners of systemd sockets"))
        return 0;
    int count = sd.listen_fds_with_names(1, &handed->names);
    if (count < 0)
        return count;
    handed->count = count;
    return 0;
}

void handed_sockets_free(struct handed_sockets *handed)
{
    for (int i = 0; i < handed->count && handed->names; i++)
        free(handed->names[i]);
    free(handed->names);
    *handed = (struct handed_sockets){0};
}

static void log_missing(const struct handed_sockets *handed, const char *name)
{
    char list[512] = "";
    size_t at = 0;

    for (int i = 0; i < handed->count && at < sizeof(list); i++)
        at +=
            (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", handed->names[i]);
    log_print(HYPERDERP_LOG_ERROR,
              "listener systemd:%s: systemd handed over %s%s; the socket unit needs "
              "FileDescriptorName=%s",
              name, handed->count ? "only " : "no sockets", list, name);
}

int handed_sockets_find(struct handed_sockets *handed, const char *name)
{
    for (int i = 0; i < handed->count; i++) {
        if (strcmp(handed->names[i], name) != 0)
            continue;
        handed->names[i][0] = '\0'; /* each is found once */
        return SD_LISTEN_FDS_START + i;
    }
    log_missing(handed, name);
    return -ENOENT;
}
