/* SPDX-License-Identifier: BSD-3-Clause */
/* From a drainer's batch to records of TLS, WebSocket messages, or these in those. */
#ifndef RELAY_SEAL_BATCH_H
#define RELAY_SEAL_BATCH_H

#include "relay/drainer.h"

/*
 * Seals the batch of a drainer whose sink makes sealed frames. With WebSocket what is in messages
 * gets their headers. With TLS of ours the bytes become records, in as few as they fill, with a
 * KeyUpdate in front where one is due; without, they are copied, as half a message that the socket
 * did not take cannot go back into the queue. 0; -ENOMEM: the batch is as it was; -EIO: the stream
 * cannot go on.
 */
int seal_batch(struct drainer *drainer) __attribute__((warn_unused_result));

/* Seals the alert that is the sink's last record. NULL without memory; in any case nothing may be
 * sealed after it. */
struct frame *seal_alert(struct drainer *drainer, uint8_t alert);

#endif
