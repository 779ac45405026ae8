/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record layer in the kernel (kTLS): a connected TCP socket gets the keys that the handshake
 * left in a struct tls_tx and a struct tls_rx, one direction independently of the other, and from
 * then on takes and gives plaintext. The halves stay with the caller, for the keys that follow.
 *
 * Sending: what send() takes becomes records of type application data. Receiving: recv() gives
 * application data alone. When another record is next it ends with -EIO: ktls_recv_record() gets
 * that one, and tls_take() (record.h) says what it means.
 *
 * Keys that follow (KeyUpdate): kernels before 6.14 keep the first ones for ever. There a client
 * that updates its keys is lost, and so is a connection of ours whose key is used up: it must be
 * closed, and the client connects anew. struct ktls_support says which kernel it is.
 */
#ifndef TLS_KTLS_H
#define TLS_KTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tls/record.h"

/* What the kernel can do. */
struct ktls_support {
    bool suites[TLS_SUITES]; /* by struct tls_suite's index; both directions */
    bool updates;            /* the keys of a socket can be changed */
};

/* Finds out, by means of a connection to itself. 0 when AES-128-GCM works, which every client has;
 * otherwise a negative errno, -ENOENT where the kernel has no TLS or its module is not loaded. A
 * process with CAP_NET_ADMIN makes the kernel load the module. */
int ktls_probe(struct ktls_support *support);

/* What to do about an error of ktls_probe(), in words for the log. */
const char *ktls_advice(int error);

/* Makes a connected socket ready to be given keys, once. 0; -ENOTCONN when it is not connected any
 * more; -ENOENT as above. Nothing changes for its data. */
int ktls_attach(int fd) __attribute__((warn_unused_result));

/*
 * Gives the socket the keys and the sequence number of a half; again, with the next keys. For
 * receiving, all bytes of earlier records must have been read and none of the next. 0; -EBUSY when
 * it has keys already and the kernel cannot change them; -EOPNOTSUPP when the kernel lacks the
 * suite; another negative errno. When that was the first time, the socket is as before.
 */
int ktls_set_tx(int fd, const struct tls_tx *tx) __attribute__((warn_unused_result));
int ktls_set_rx(int fd, const struct tls_rx *rx) __attribute__((warn_unused_result));

/* Sends a record of another type than application data, at once or not at all. 0 or a negative
 * errno, -EAGAIN when the socket is full. */
int ktls_send_record(int fd, enum tls_content type, const void *bytes, size_t len)
    __attribute__((warn_unused_result));
int ktls_send_alert(int fd, enum tls_alert alert) __attribute__((warn_unused_result));

/* Sends a KeyUpdate and goes on to the next key. 0 or a negative errno; unless that is -EAGAIN, the
 * stream cannot go on then. Not for kernels without support->updates. */
int ktls_update_tx(int fd, struct tls_tx *tx, bool request) __attribute__((warn_unused_result));

/* Content that is enough to judge a record that is not application data: longer ones are faults. */
#define KTLS_CONTROL_SIZE 16

/* Receives from one record, whose type is put into *type. Returns the bytes, 0 with *type 0 at the
 * end of the stream, a negative errno, -EAGAIN when nothing has come. What does not fit into room
 * stays for the next call. */
ssize_t ktls_recv_record(int fd, uint8_t *type, void *buffer, size_t room)
    __attribute__((warn_unused_result));

/* The alert to send when receiving ended with this error (negative), or -1 when that is none of TLS
 * but one of the connection. The kernel remembers such an error: this forgets it, as sending fails
 * otherwise. */
int ktls_fault(int fd, int error);

#endif
