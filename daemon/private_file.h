/* SPDX-License-Identifier: BSD-3-Clause */
/* Files with secrets, and the folder that they lie in. */
#ifndef DAEMON_PRIVATE_FILE_H
#define DAEMON_PRIVATE_FILE_H

/* Makes the folder of a file, mode 0700, where it is missing; not those above it. 0 or -errno. */
int private_folder_make(const char *path);

/* Holds off every other program that locks the folder of this file, until the descriptor that is
 * returned is closed. -errno when the folder cannot be opened. */
int private_folder_lock(const char *path);

/* Writes a file, mode 0600, in the place of one that is there: readers see the one or the other,
 * whole, also after a crash. A superuser gives it to the owner of its folder. 0 or -errno. */
int private_file_write(const char *path, const char *text);

#endif
