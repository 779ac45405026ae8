/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * OpenSSL frees an SSL object with the secrets of its handshake in it, from which the keys of the
 * connection can be derived. jansson copies what it reads, and frees the copies as they are: the
 * mesh key is in the JSON that mesh partners send and are sent, the relay's own key in derper's
 * form of the key file. So here all memory of these two is wiped when it is freed. It is a matter
 * of the whole process, and thus the daemon's rather than the library's.
 */
#ifndef DAEMON_WIPED_MEMORY_H
#define DAEMON_WIPED_MEMORY_H

/* Before any other use of either. */
void wiped_memory_use(void);

#endif
