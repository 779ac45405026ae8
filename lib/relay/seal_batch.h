/* SPDX-License-Identifier: BSD-3-Clause */
/* From a drainer's batch to records of TLS. */
#ifndef RELAY_SEAL_BATCH_H
#define RELAY_SEAL_BATCH_H

#include "relay/drainer.h"

/*
 * Seals the batch of a drainer whose sink has TLS: its pieces become records, in as few as the
 * bytes fill, with a KeyUpdate in front where one is due. 0; -ENOMEM: the batch is as it was; -EIO:
 * the stream cannot go on.
 */
int seal_batch(struct drainer *drainer) __attribute__((warn_unused_result));

/* Seals the alert that is the sink's last record. NULL without memory; in any case nothing may be
 * sealed after it. */
struct frame *seal_alert(struct drainer *drainer, uint8_t alert);

#endif
