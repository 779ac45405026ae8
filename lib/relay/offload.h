/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending half of a connection whose records the kernel makes (tls/ktls.h): its drainer sends
 * frames as in the clear. What is left to do is keys that are used up, and the alert at the end.
 * For the drainer, or whoever knows that there is none.
 */
#ifndef RELAY_OFFLOAD_H
#define RELAY_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/record.h"

struct drainer;
struct sink;
struct sink_tls;

/* Gives the kernel the keys of a socket. False when it does not take them: then the socket is as it
 * was, for records of our own. */
bool offload_begin(int fd, const struct tls_tx *tx);

/* Notes what the kernel has taken. */
void offload_sent(struct sink_tls *tls, size_t bytes);

/* Sends a KeyUpdate if one is due. 0; -EAGAIN when the socket is full; -EKEYEXPIRED when the keys
 * are used up and the kernel cannot change them, or another error: the stream cannot go on. */
int offload_renew(struct drainer *drainer) __attribute__((warn_unused_result));

/* Sends the alert that is the last record. Returns false when the socket is full: it is to be tried
 * again. */
bool offload_end(struct sink *sink, uint8_t alert) __attribute__((warn_unused_result));

#endif
