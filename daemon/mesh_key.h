/* SPDX-License-Identifier: BSD-3-Clause */
/* The file with the secret that the nodes of a region share, as derper's -mesh-psk-file: 64
 * hexadecimal digits, with blanks around them or not. */
#ifndef DAEMON_MESH_KEY_H
#define DAEMON_MESH_KEY_H

#include <stdint.h>

#include <hyperderp/relay.h>

#define MESH_KEY_FAULT 512

/* Reads the key. 0; -errno with the reason in fault, -EINVAL for a file that holds none, or one of
 * zeros, -EKEYREJECTED for one that others can read or change (private_file.h). */
int mesh_key_read(const char *path, uint8_t key[HYPERDERP_MESH_KEY_SIZE], char *fault);

#endif
