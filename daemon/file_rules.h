/* SPDX-License-Identifier: BSD-3-Clause */
/* The folders that the daemon may read and write (Landlock). */
#ifndef DAEMON_FILE_RULES_H
#define DAEMON_FILE_RULES_H

#include <stdbool.h>

#include "config.h"

/*
 * Leaves the calling thread, and all that it makes from now on, the files that a configuration
 * names: by their folders, as files are exchanged by renaming, and where they are links, by the
 * folders that they lead to. And what libraries read: /etc, /usr, /proc and the like. Nothing can
 * be executed. Cannot be undone. 0, -EOPNOTSUPP where the kernel has nothing of the kind, or
 * another -errno; config_file may be NULL.
 */
int file_rules_enforce(const struct config *config, const char *config_file);

/* Calls visit for each file that a configuration names, with the name of its key; written is true
 * where the daemon makes files. */
typedef void file_rules_visit(void *context, const char *key, const char *path, bool written);
void file_rules_each(const struct config *config, file_rules_visit *visit, void *context);

/* Whether a file that a configuration names lies where the rules let it be reached; true without
 * rules. Any thread, after file_rules_enforce(). */
bool file_rules_reach(const char *path, bool written);

#endif
