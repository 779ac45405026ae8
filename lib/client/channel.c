/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers in both directions, and what TLS makes of them. */
#include "client/channel.h"

#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "client/client.h"
#include "memory/memory.h"

#define FIRST_BUFFER 16384
#define KEPT_BUFFER  131072 /* a larger one is given back when it is empty */

int channel_begin_tls(struct channel *ch, struct tls_client *client, const char *name)
{
    const uint8_t *bytes;
    size_t len;
    int err;

    ch->tls = memory_calloc(1, sizeof(*ch->tls));
    if (ch->tls == NULL)
        return -ENOMEM;
    err = client_tls_begin(ch->tls, client, name);
    if (err < 0)
        return err;
    len = client_tls_output(ch->tls, &bytes);
    return channel_send_unsealed(ch, bytes, len);
}

/* What a buffer holds, packets that were decrypted, shall not be left in freed memory. */
static void wipe_and_free(uint8_t *buffer, size_t room)
{
    if (buffer != NULL)
        sodium_memzero(buffer, room);
    memory_free(buffer);
}

void channel_wipe(struct channel *ch)
{
    if (ch->tls != NULL)
        client_tls_wipe(ch->tls);
    tls_ciphers_wipe(&ch->ciphers);
    memory_free(ch->tls);
    wipe_and_free(ch->in, ch->in_room);
    wipe_and_free(ch->out, ch->out_room);
    *ch = (struct channel){.cut = true};
}

bool channel_is_ready(const struct channel *ch)
{
    return ch->tls == NULL || ch->tls->done;
}

/* ---- What comes ---- */

/* What a hostile relay can make a client keep: a frame and a record that are not whole, and what
 * may come at once. */
static size_t input_limit(const struct channel *ch)
{
    return CLIENT_MAX_FRAME + (ch->tls != NULL ? TLS_MAX_RECORD : 0) + CHANNEL_MAX_INPUT;
}

/* Moves what waits to the front of the buffer. */
static void compact(struct channel *ch)
{
    if (ch->start == 0)
        return;
    memmove(ch->in, ch->in + ch->start, ch->raw_end - ch->start);
    ch->end -= ch->start;
    ch->raw_end -= ch->start;
    ch->start = 0;
}

static int resize_input(struct channel *ch, size_t room)
{
    uint8_t *grown = memory_alloc(room);

    if (grown == NULL)
        return -ENOMEM;
    if (ch->raw_end > 0)
        memcpy(grown, ch->in, ch->raw_end);
    wipe_and_free(ch->in, ch->in_room);
    ch->in = grown;
    ch->in_room = room;
    return 0;
}

/* Nothing waits: begins anew, and gives back what one large frame has needed. */
static void rewind_input(struct channel *ch)
{
    ch->start = ch->end = ch->raw_end = 0;
    if (ch->in_room <= KEPT_BUFFER)
        return;
    wipe_and_free(ch->in, ch->in_room);
    ch->in = NULL;
    ch->in_room = 0;
}

int channel_room(struct channel *ch, uint8_t **at, size_t *room)
{
    size_t limit = input_limit(ch), wanted = FIRST_BUFFER;
    int err = 0;

    if (ch->start == ch->raw_end)
        rewind_input(ch);
    if (ch->raw_end == ch->in_room)
        compact(ch);
    if (ch->raw_end == limit)
        return -ENOBUFS;
    if (ch->in_room > 0)
        wanted = ch->in_room * 2 < limit ? ch->in_room * 2 : limit;
    if (ch->raw_end == ch->in_room)
        err = resize_input(ch, wanted);
    *at = ch->in + ch->raw_end;
    *room = ch->in_room - ch->raw_end;
    return err;
}

bool channel_has_room(const struct channel *ch)
{
    return ch->raw_end - ch->start < input_limit(ch);
}

int channel_room_for(struct channel *ch, size_t len, uint8_t **at)
{
    size_t room;
    int err = channel_room(ch, at, &room);

    if (err < 0 || room >= len)
        return err;
    compact(ch);
    if (len > input_limit(ch) - ch->raw_end)
        return -ENOBUFS;
    if (len > ch->in_room - ch->raw_end)
        err = resize_input(ch, ch->raw_end + len);
    *at = ch->in + ch->raw_end;
    return err;
}

static void open_records(struct channel *ch)
{
    size_t content, rest;

    client_tls_open(ch->tls, &ch->ciphers, ch->in + ch->end, ch->raw_end - ch->end, &content,
                    &rest);
    ch->end += content;
    ch->raw_end = ch->end + rest;
    if (ch->tls->error == -EPROTO)
        (void)channel_send_alert(ch, ch->tls->rx.alert);
}

/* Nothing was read before the handshake is done: the buffer holds what has just come. */
static int shake_hands(struct channel *ch)
{
    const uint8_t *bytes;
    size_t len = ch->raw_end;
    ssize_t rest;
    int done, err;

    ch->raw_end = 0;
    done = client_tls_input(ch->tls, ch->in, len);
    len = client_tls_output(ch->tls, &bytes);
    err = len > 0 ? channel_send_unsealed(ch, bytes, len) : 0;
    if (done <= 0 || err < 0)
        return done < 0 ? done : err;
    rest = client_tls_take_over(ch->tls, ch->in, ch->in_room);
    if (rest < 0)
        return (int)rest;
    ch->raw_end = (size_t)rest;
    open_records(ch);
    return 0;
}

int channel_received(struct channel *ch, size_t len)
{
    ch->raw_end += len;
    if (ch->tls == NULL)
        ch->end = ch->raw_end;
    else if (!ch->tls->done)
        return shake_hands(ch);
    else if (ch->tls->error < 0)
        ch->raw_end = ch->end; /* nothing counts behind the end */
    else
        open_records(ch);
    return 0;
}

/* ---- What is to be sent ---- */

void channel_sent(struct channel *ch, size_t len)
{
    ch->out_start += len;
    if (ch->out_start == ch->out_end)
        ch->out_start = ch->out_end = 0;
}

void channel_cut(struct channel *ch)
{
    ch->out_start = ch->out_end = 0;
    ch->cut = true;
}

/* Makes room for so many bytes at out_end. */
static int make_room(struct channel *ch, size_t len)
{
    size_t waiting = channel_waiting(ch), room = ch->out_room * 2;
    uint8_t *grown;

    if (ch->cut || ch->ended)
        return -EPIPE;
    if (len <= ch->out_room - ch->out_end)
        return 0;
    if (waiting > 0)
        memmove(ch->out, ch->out + ch->out_start, waiting);
    ch->out_start = 0;
    ch->out_end = waiting;
    if (len <= ch->out_room - waiting)
        return 0;
    if (room < waiting + len)
        room = waiting + len;
    grown = memory_alloc(room);
    if (grown == NULL)
        return -ENOMEM;
    if (waiting > 0)
        memcpy(grown, ch->out, waiting);
    wipe_and_free(ch->out, ch->out_room);
    ch->out = grown;
    ch->out_room = room;
    return 0;
}

/* Once records have their numbers, one that is not made leaves a gap. */
static int add_sealed(struct channel *ch, ssize_t size)
{
    if (size < 0) {
        channel_cut(ch);
        return (int)size;
    }
    ch->out_end += (size_t)size;
    return 0;
}

int channel_send(struct channel *ch, const struct iovec *pieces, unsigned count, size_t limit)
{
    size_t len = 0;
    int err;

    if (!channel_is_ready(ch))
        return -EAGAIN;
    for (unsigned i = 0; i < count; i++)
        len += pieces[i].iov_len;
    if (ch->tls != NULL)
        len = client_tls_sealed_size(len);
    if (channel_waiting(ch) > limit || len > limit - channel_waiting(ch))
        return ch->cut ? -EPIPE : -ENOBUFS;
    err = make_room(ch, len);
    if (err < 0)
        return err;
    if (ch->tls != NULL)
        return add_sealed(
            ch, client_tls_seal(ch->tls, &ch->ciphers, pieces, count, ch->out + ch->out_end));
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].iov_len > 0)
            memcpy(ch->out + ch->out_end, pieces[i].iov_base, pieces[i].iov_len);
        ch->out_end += pieces[i].iov_len;
    }
    return 0;
}

int channel_send_unsealed(struct channel *ch, const void *bytes, size_t len)
{
    int err = make_room(ch, len);

    if (err < 0)
        return err;
    if (len > 0)
        memcpy(ch->out + ch->out_end, bytes, len);
    ch->out_end += len;
    return 0;
}

/* Makes room for a record of len bytes of content. */
static int begin_record(struct channel *ch, size_t len)
{
    if (ch->tls == NULL || len > TLS_MAX_PLAINTEXT)
        return -EINVAL;
    return ch->tls->done ? make_room(ch, len + TLS_OVERHEAD) : -EAGAIN;
}

int channel_send_record(struct channel *ch, enum tls_content type, const void *bytes, size_t len)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    int err = begin_record(ch, len);

    if (err < 0)
        return err;
    return add_sealed(ch,
                      tls_seal(&ch->ciphers, &ch->tls->tx, type, &piece, 1, ch->out + ch->out_end));
}

int channel_send_key_update(struct channel *ch, bool request)
{
    int err = begin_record(ch, TLS_KEY_UPDATE_SIZE);

    if (err < 0)
        return err;
    return add_sealed(
        ch, tls_seal_key_update(&ch->ciphers, &ch->tls->tx, request, ch->out + ch->out_end));
}

int channel_send_alert(struct channel *ch, enum tls_alert alert)
{
    int err = begin_record(ch, 2);

    if (err < 0)
        return err;
    return add_sealed(ch, tls_seal_alert(&ch->ciphers, &ch->tls->tx, alert, ch->out + ch->out_end));
}
