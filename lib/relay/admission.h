/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking the embedder whether a client may join, and taking its answer from whatever thread. */
#ifndef RELAY_ADMISSION_H
#define RELAY_ADMISSION_H

#include "relay/conn.h"
#include "wire/info.h"

/* Asks; the answer, now or later, arrives at handshake_decided(). Without an admit callback
 * everyone is let in. */
void admission_ask(struct conn *conn, const struct client_info *info);

#endif
