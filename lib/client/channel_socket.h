/* SPDX-License-Identifier: BSD-3-Clause */
/* A channel on a socket that does not block. Deadlines are those of dial.h. */
#ifndef CLIENT_CHANNEL_SOCKET_H
#define CLIENT_CHANNEL_SOCKET_H

#include "client/channel.h"

/* ---- These do not wait ---- */

/* Sends what waits, as far as the socket takes it. 0 when nothing waits any more, -EAGAIN, or
 * -EPIPE, -ECONNRESET and the like: then the channel is cut. */
int channel_write_some(struct channel *channel, int fd);

/* Receives once. 0; -EAGAIN; -EPIPE at the end; as channel_room() and channel_received() have it;
 * what recv() said. */
int channel_read_some(struct channel *channel, int fd);

/* ---- These do ---- */

/* Waits until the socket takes something, so that nothing is lost when the time runs out before
 * that. 0, -ETIMEDOUT, -EPIPE when the channel is cut. */
int channel_await_writing(struct channel *channel, int fd, int64_t deadline);

/* Sends all that waits, at most `part` bytes at once, 0: whatever the socket takes. When the time
 * runs out the channel is cut. 0; -EPIPE, -ECONNRESET, -ETIMEDOUT. */
int channel_write_all(struct channel *channel, int fd, size_t part, int64_t deadline);

/* All of that for pieces: 0, or nothing was sent, or the channel is cut. */
int channel_transmit(struct channel *channel, int fd, const struct iovec *pieces, unsigned count,
                     int64_t deadline);

/* Receives at least once; of TLS that may be no byte to read yet. 0; -ETIMEDOUT; -EPIPE at the end,
 * -ECONNABORTED for an alert, and all else as channel_read_some() has it. */
int channel_read(struct channel *channel, int fd, int64_t deadline);

/* The last words: close_notify, if TLS can say that and the socket takes it at once. */
void channel_say_goodbye(struct channel *channel, int fd);

#endif
