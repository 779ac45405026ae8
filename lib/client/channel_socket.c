/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes between a channel and its socket, with poll() and a deadline around each step. */
#include "client/channel_socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "client/dial.h"

/* Sends at most so many of the bytes that wait. Their number, or -errno. */
static ssize_t write_once(struct channel *ch, int fd, size_t part)
{
    size_t len = channel_waiting(ch);
    ssize_t n;

    do
        n = send(fd, ch->out + ch->out_start, part > 0 && part < len ? part : len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    channel_sent(ch, (size_t)n);
    return n;
}

int channel_write_some(struct channel *ch, int fd)
{
    while (channel_waiting(ch) > 0) {
        ssize_t n = write_once(ch, fd, 0);

        if (n < 0 && n != -EAGAIN)
            channel_cut(ch);
        if (n < 0)
            return (int)n;
    }
    return 0;
}

int channel_read_some(struct channel *ch, int fd)
{
    uint8_t *at;
    size_t room;
    ssize_t n;
    int err = channel_room(ch, &at, &room);

    if (err < 0)
        return err;
    do
        n = recv(fd, at, room, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n == 0 ? -EPIPE : -errno;
    return channel_received(ch, (size_t)n);
}

int channel_await_writing(struct channel *ch, int fd, int64_t deadline)
{
    return ch->cut ? -EPIPE : dial_wait(fd, POLLOUT, deadline);
}

int channel_write_all(struct channel *ch, int fd, size_t part, int64_t deadline)
{
    int err = 0;

    while (err == 0 && channel_waiting(ch) > 0) {
        ssize_t n = write_once(ch, fd, part);

        if (n < 0)
            err = n == -EAGAIN ? dial_wait(fd, POLLOUT, deadline) : (int)n;
    }
    if (err < 0)
        channel_cut(ch);
    return err;
}

int channel_transmit(struct channel *ch, int fd, const struct iovec *pieces, unsigned count,
                     int64_t deadline)
{
    int err = channel_await_writing(ch, fd, deadline);

    if (err == 0)
        err = channel_send(ch, pieces, count, SIZE_MAX);
    return err < 0 ? err : channel_write_all(ch, fd, 0, deadline);
}

int channel_read(struct channel *ch, int fd, int64_t deadline)
{
    int err;

    if (ch->tls != NULL && ch->tls->error < 0)
        return ch->tls->error;
    while ((err = channel_read_some(ch, fd)) == -EAGAIN) {
        err = dial_wait(fd, POLLIN, deadline);
        if (err < 0)
            return err;
    }
    /* An alert that says what is wrong with what came. */
    if (ch->tls != NULL && ch->tls->error < 0)
        (void)channel_write_some(ch, fd);
    return err;
}

void channel_say_goodbye(struct channel *ch, int fd)
{
    if (ch->tls != NULL && ch->tls->done && !ch->cut &&
        channel_send_alert(ch, TLS_ALERT_CLOSE_NOTIFY) == 0)
        (void)channel_write_some(ch, fd);
}
