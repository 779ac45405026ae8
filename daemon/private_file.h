/* SPDX-License-Identifier: BSD-3-Clause */
/* Files with secrets, and the folder that they lie in. */
#ifndef DAEMON_PRIVATE_FILE_H
#define DAEMON_PRIVATE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Room for the words that say why a file is not taken. */
#define PRIVATE_FILE_WHY 160

/*
 * Whether a file's secret is one: 0, or -EKEYREJECTED when others than its owner may read or change
 * it, or when its owner is neither root nor the user of this process. Root's files may be read by
 * their group, which is how a secret is handed to a service. A file that another program is
 * responsible for, as certificates often are, may be shared: it may belong to anybody, and its
 * group may read it. Other -errno when it cannot be looked at. Links are followed.
 */
int private_file_check(const char *path, bool shared, char why[PRIVATE_FILE_WHY]);

/* Reads a file that passes private_file_check(), which is not shared: at most room - 1 bytes, and a
 * NUL behind them. 0; -EINVAL when it is longer, or no regular file; or -errno. The caller wipes
 * text, whatever has come of it. */
int private_file_read(const char *path, char *text, size_t room, size_t *len,
                      char why[PRIVATE_FILE_WHY]);

/* Makes the folder of a file, mode 0700, where it is missing; not those above it. 0 or -errno. */
int private_folder_make(const char *path);

/* Holds off every other program that locks the folder of this file, until the descriptor that is
 * returned is closed. -errno when the folder cannot be opened. */
int private_folder_lock(const char *path);

/* Writes a file, mode 0600, in the place of one that is there: readers see the one or the other,
 * whole, also after a crash. A superuser gives it to the owner of its folder. 0 or -errno. */
int private_file_write(const char *path, const char *text);

#endif
