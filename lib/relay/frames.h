/* SPDX-License-Identifier: BSD-3-Clause */
/* The frames of a client: found in the stream of bytes, checked, and acted upon. */
#ifndef RELAY_FRAMES_H
#define RELAY_FRAMES_H

#include "relay/conn.h"

/* Reads frames until the bytes or the state (CONN_HELLO or CONN_OPEN) come to an end. Returns the
 * bytes used. What is left of a frame waits in the conn. */
size_t frames_read(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t len);

#endif
