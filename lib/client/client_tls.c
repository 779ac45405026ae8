/* SPDX-License-Identifier: BSD-3-Clause */
/* A DERP client's bytes to records and back. */
#include "client/client_tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int client_tls_begin(struct client_tls *tls, struct tls_client *client, const char *name)
{
    *tls = (struct client_tls){.handshake = tls_client_handshake_new(client, name)};
    return tls->handshake ? 0 : -EINVAL;
}

void client_tls_wipe(struct client_tls *tls)
{
    tls_handshake_free(tls->handshake);
    tls_tx_wipe(&tls->tx);
    tls_rx_wipe(&tls->rx);
    explicit_bzero(tls, sizeof(*tls));
}

size_t client_tls_output(struct client_tls *tls, const uint8_t **bytes)
{
    return tls_handshake_output(tls->handshake, bytes);
}

int client_tls_input(struct client_tls *tls, const uint8_t *bytes, size_t len)
{
    switch (tls_handshake_input(tls->handshake, bytes, len)) {
    case TLS_PROGRESS_MORE:
        return 0;
    case TLS_PROGRESS_DONE:
        tls->suite = tls_handshake_suite(tls->handshake);
        tls->has_relay_key = tls_handshake_relay_key(tls->handshake, &tls->relay_key);
        return 1;
    case TLS_PROGRESS_FAILED:
        break;
    }
    snprintf(tls->fault, sizeof(tls->fault), "%s", tls_handshake_fault(tls->handshake));
    return -EPROTO;
}

ssize_t client_tls_take_over(struct client_tls *tls, uint8_t *out, size_t room)
{
    uint8_t *rest;
    size_t len;
    int err = tls_handshake_finish(tls->handshake, &tls->tx, &tls->rx, &rest, &len);

    if (err == 0 && len > room)
        err = -ENOSPC;
    if (err == 0 && len > 0)
        memcpy(out, rest, len);
    tls_handshake_free(tls->handshake);
    tls->handshake = NULL;
    tls->done = err == 0;
    return err < 0 ? err : (ssize_t)len;
}

/* At most one KeyUpdate: the next is due only after millions of records. */
size_t client_tls_sealed_size(size_t len)
{
    return len + (len / TLS_MAX_PLAINTEXT + 1) * TLS_OVERHEAD + TLS_KEY_UPDATE_SIZE + TLS_OVERHEAD;
}

/* Moves what a record takes from the front of the pieces. Returns how many pieces that is. */
static unsigned take_content(struct iovec *from, unsigned count, struct iovec *record)
{
    size_t left = TLS_MAX_PLAINTEXT;
    unsigned taken = 0;

    for (unsigned i = 0; i < count && left > 0; i++) {
        size_t part = from[i].iov_len < left ? from[i].iov_len : left;

        if (part == 0)
            continue;
        record[taken++] = (struct iovec){.iov_base = from[i].iov_base, .iov_len = part};
        from[i].iov_base = (uint8_t *)from[i].iov_base + part;
        from[i].iov_len -= part;
        left -= part;
    }
    return taken;
}

ssize_t client_tls_seal(struct client_tls *tls, struct tls_ciphers *ciphers,
                        const struct iovec *pieces, unsigned count, uint8_t *out)
{
    struct iovec left[CLIENT_TLS_MAX_PIECES], record[CLIENT_TLS_MAX_PIECES];
    size_t size = 0;
    unsigned taken;
    ssize_t n = 0;

    if (!tls->done || count > CLIENT_TLS_MAX_PIECES)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++)
        left[i] = pieces[i];
    while ((taken = take_content(left, count, record)) > 0) {
        if (tls->update_due || tls_tx_wants_update(&tls->tx)) {
            tls->update_due = false;
            n = tls_seal_key_update(ciphers, &tls->tx, false, out + size);
            if (n < 0)
                return n;
            size += (size_t)n;
        }
        n = tls_seal(ciphers, &tls->tx, TLS_CONTENT_DATA, record, taken, out + size);
        if (n < 0)
            return n;
        size += (size_t)n;
    }
    return (ssize_t)size;
}

/* What an event means for who receives. */
static int error_of(enum tls_event event)
{
    switch (event) {
    case TLS_EVENT_DATA:
    case TLS_EVENT_KEY_UPDATE:
    case TLS_EVENT_UPDATE_REQUEST:
        return 0;
    case TLS_EVENT_CLOSE:
        return -EPIPE;
    case TLS_EVENT_ALERT:
        return -ECONNABORTED;
    case TLS_EVENT_FAULT:
        break;
    }
    return -EPROTO;
}

void client_tls_open(struct client_tls *tls, struct tls_ciphers *ciphers, uint8_t *bytes,
                     size_t len, size_t *content, size_t *rest)
{
    size_t at = 0, opened = 0, held;
    uint8_t *inside;

    while (tls->error == 0) {
        int size = tls_record_size(bytes + at, len - at);
        if (size < 0) {
            tls->rx.alert = (uint8_t)-size;
            tls->error = -EPROTO;
        }
        if (size <= 0 || (size_t)size > len - at)
            break;
        enum tls_event event =
            tls_open(ciphers, &tls->rx, bytes + at, (size_t)size, &inside, &held);
        tls->error = error_of(event);
        tls->update_due = tls->update_due || event == TLS_EVENT_UPDATE_REQUEST;
        if (held > 0)
            memmove(bytes + opened, inside, held);
        opened += held;
        at += (size_t)size;
    }
    *content = opened;
    *rest = tls->error == 0 ? len - at : 0;
    if (*rest > 0)
        memmove(bytes + opened, bytes + at, *rest);
}
