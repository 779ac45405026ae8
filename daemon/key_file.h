/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file with the relay's private key: a line "privkey:<64 hex digits>", or derper's JSON,
 * {"PrivateKey": "privkey:..."}. Faults are told in words, in a buffer of KEY_FILE_FAULT bytes.
 */
#ifndef DAEMON_KEY_FILE_H
#define DAEMON_KEY_FILE_H

#include <stdio.h>

#include <hyperderp/key.h>

#define KEY_FILE_FAULT 512

/* Reads a key. 0; -ENOENT when there is no such file; -EINVAL for one that holds none,
 * -EKEYREJECTED for one that others can read or change (private_file.h); otherwise -errno. */
int key_file_read(const char *path, hyperderp_private_key *key, char *fault);

/* Makes a key and its file, mode 0600, and its folder, mode 0700, where that is missing. Never over
 * a file that is there: -EEXIST. 0 or -errno. */
int key_file_make(const char *path, hyperderp_private_key *key, char *fault);

/* Reads a key from a stream, until its end. 0 or -EINVAL. */
int key_file_parse(FILE *in, hyperderp_private_key *key);

#endif
