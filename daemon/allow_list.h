/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * allow_keys_file: the keys that may join, one nodekey:<hex> a line. Blank lines are skipped, and
 * so is what stands behind a '#'. Never changed once it has been read.
 */
#ifndef DAEMON_ALLOW_LIST_H
#define DAEMON_ALLOW_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <hyperderp/key.h>

#include "problems.h"

/* Bounds of what is read: a file beyond them is refused. */
#define ALLOW_LIST_MAX_KEYS  1000000
#define ALLOW_LIST_MAX_BYTES 134217728

struct allow_list {
    hyperderp_key *keys; /* sorted, each once */
    size_t count;
};

/* Reads a file. 0; -EINVAL with problems added, for each line that is wrong or for a file that
 * cannot be read; -ENOMEM. *list must be freed in each case. */
int allow_list_read(struct allow_list *list, const char *path, struct problems *problems);

bool allow_list_has(const struct allow_list *list, const hyperderp_key *key);

/* One that is of zeros or was freed before is allowed. */
void allow_list_free(struct allow_list *list);

#endif
