/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening records (RFC 8446 section 5.2), and what else than data may stand in them. */
#include <errno.h>
#include <string.h>

#include "tls/cipher.h"
#include "tls/half.h"

/* Handshake messages' types (section 4), their header's size. */
#define NEW_SESSION_TICKET 4
#define KEY_UPDATE         24
#define MESSAGE_HEADER     4

/* Lifetime, age_add, nonce, ticket, extensions, the last three with their lengths (4.6.1). */
#define MAX_TICKET (4 + 4 + (1 + 255) + (2 + 65535) + (2 + 65535))

int tls_rx_init(struct tls_rx *rx, const struct tls_suite *suite, const uint8_t *secret)
{
    *rx = (struct tls_rx){0};
    return half_init(&rx->half, suite, secret);
}

void tls_rx_wipe(struct tls_rx *rx)
{
    half_wipe(&rx->half);
    explicit_bzero(rx, sizeof(*rx));
}

const char *tls_alert_name(uint8_t alert)
{
    switch (alert) {
    case TLS_ALERT_CLOSE_NOTIFY:
        return "close_notify";
    case TLS_ALERT_UNEXPECTED_MESSAGE:
        return "unexpected_message";
    case TLS_ALERT_BAD_RECORD_MAC:
        return "bad_record_mac";
    case TLS_ALERT_RECORD_OVERFLOW:
        return "record_overflow";
    case TLS_ALERT_ILLEGAL_PARAMETER:
        return "illegal_parameter";
    case TLS_ALERT_DECODE_ERROR:
        return "decode_error";
    case TLS_ALERT_INTERNAL_ERROR:
        return "internal_error";
    case TLS_ALERT_USER_CANCELED:
        return "user_canceled";
    }
    return "unknown";
}

/* After the handshake every record is an encrypted one, which calls itself application data; its
 * version says nothing (section 5.2). */
int tls_record_size(const uint8_t *bytes, size_t len)
{
    if (len > 0 && bytes[0] != TLS_CONTENT_DATA)
        return -TLS_ALERT_UNEXPECTED_MESSAGE;
    if (len < TLS_HEADER_SIZE)
        return 0;
    size_t size = TLS_HEADER_SIZE + ((size_t)bytes[3] << 8 | bytes[4]);
    if (size > TLS_MAX_RECORD)
        return -TLS_ALERT_RECORD_OVERFLOW;
    /* Too short for a type and a tag: it cannot be authentic. */
    if (size < TLS_OVERHEAD)
        return -TLS_ALERT_BAD_RECORD_MAC;
    return (int)size;
}

static enum tls_event fault(struct tls_rx *rx, enum tls_alert alert)
{
    rx->closed = true;
    rx->alert = (uint8_t)alert;
    return TLS_EVENT_FAULT;
}

/* An alert is one record of two bytes; all but two of them are the end (section 6). */
static enum tls_event take_alert(struct tls_rx *rx, const uint8_t *content, size_t len)
{
    if (len != 2)
        return fault(rx, TLS_ALERT_DECODE_ERROR);
    rx->alert = content[1];
    if (rx->alert == TLS_ALERT_USER_CANCELED) /* close_notify follows, section 6.1 */
        return TLS_EVENT_DATA;
    rx->closed = true;
    return rx->alert == TLS_ALERT_CLOSE_NOTIFY ? TLS_EVENT_CLOSE : TLS_EVENT_ALERT;
}

/* Skips what stands here of NewSessionTickets. Behind them is the beginning or the rest of another
 * message, or nothing. False when no ticket is that long. */
static bool skip_tickets(struct tls_rx *rx, const uint8_t **content, size_t *len)
{
    while (*len > 0) {
        size_t skipped = *len < rx->ticket_left ? *len : rx->ticket_left;
        if (skipped == 0) {
            uint8_t type = rx->message_len > 0 ? rx->message[0] : **content;
            if (type != NEW_SESSION_TICKET)
                return true;
            rx->message[rx->message_len++] = **content;
            skipped = 1;
        } else {
            rx->ticket_left -= (uint32_t)skipped;
        }
        *content += skipped;
        *len -= skipped;
        if (rx->message_len == MESSAGE_HEADER && rx->message[0] == NEW_SESSION_TICKET) {
            rx->message_len = 0;
            rx->ticket_left = (uint32_t)rx->message[1] << 16 | (uint32_t)rx->message[2] << 8 |
                              (uint32_t)rx->message[3];
            if (rx->ticket_left > MAX_TICKET)
                return false;
        }
    }
    return true;
}

/* But for tickets, KeyUpdate is the only message that may come after the handshake: nobody is asked
 * for a certificate that late who has not offered one (section 4.6). It may be split, but the
 * record with its end must end there too, as the next one is under another key (section 5.1). */
static enum tls_event take_handshake(struct tls_rx *rx, const uint8_t *content, size_t len)
{
    static const uint8_t start[] = {KEY_UPDATE, 0, 0, 1};

    if (len == 0) /* section 5.1 */
        return fault(rx, TLS_ALERT_UNEXPECTED_MESSAGE);
    if (rx->skips_tickets && !skip_tickets(rx, &content, &len))
        return fault(rx, TLS_ALERT_DECODE_ERROR);
    if (len == 0)
        return TLS_EVENT_DATA;
    if (len > TLS_KEY_UPDATE_SIZE - (size_t)rx->message_len)
        return fault(rx, TLS_ALERT_UNEXPECTED_MESSAGE);
    memcpy(rx->message + rx->message_len, content, len);
    rx->message_len = (uint8_t)(rx->message_len + len);
    size_t known = rx->message_len < sizeof(start) ? rx->message_len : sizeof(start);
    if (rx->message[0] != KEY_UPDATE)
        return fault(rx, TLS_ALERT_UNEXPECTED_MESSAGE);
    if (memcmp(rx->message, start, known) != 0)
        return fault(rx, TLS_ALERT_DECODE_ERROR);
    if (rx->message_len < TLS_KEY_UPDATE_SIZE)
        return TLS_EVENT_DATA;
    uint8_t request = rx->message[TLS_KEY_UPDATE_SIZE - 1];
    rx->message_len = 0;
    if (request > 1)
        return fault(rx, TLS_ALERT_ILLEGAL_PARAMETER);
    if (half_update(&rx->half) != 0)
        return fault(rx, TLS_ALERT_INTERNAL_ERROR);
    return request ? TLS_EVENT_UPDATE_REQUEST : TLS_EVENT_KEY_UPDATE;
}

enum tls_event tls_take(struct tls_rx *rx, uint8_t type, const uint8_t *content, size_t len)
{
    if (rx->closed)
        return TLS_EVENT_FAULT;
    if (type != TLS_CONTENT_HANDSHAKE && (rx->message_len > 0 || rx->ticket_left > 0))
        return fault(rx, TLS_ALERT_UNEXPECTED_MESSAGE); /* inside a message, section 5.1 */
    if (type == TLS_CONTENT_DATA && len > 0) {
        rx->idle_records = 0;
        return TLS_EVENT_DATA;
    }
    if (++rx->idle_records > TLS_MAX_IDLE_RECORDS)
        return fault(rx, TLS_ALERT_UNEXPECTED_MESSAGE);
    switch (type) {
    case TLS_CONTENT_DATA:
        return TLS_EVENT_DATA;
    case TLS_CONTENT_ALERT:
        return take_alert(rx, content, len);
    case TLS_CONTENT_HANDSHAKE:
        return take_handshake(rx, content, len);
    default:
        return fault(rx, TLS_ALERT_UNEXPECTED_MESSAGE);
    }
}

/* Sorts out what was decrypted: content, its type, zeros (section 5.4). */
static enum tls_event take_inner(struct tls_rx *rx, const uint8_t *body, size_t inner, size_t *len)
{
    while (inner > 0 && body[inner - 1] == 0)
        inner--;
    if (inner == 0)
        return fault(rx, TLS_ALERT_UNEXPECTED_MESSAGE);
    uint8_t type = body[inner - 1];
    enum tls_event event = tls_take(rx, type, body, inner - 1);

    if (type == TLS_CONTENT_DATA && event == TLS_EVENT_DATA)
        *len = inner - 1;
    return event;
}

enum tls_event tls_open(struct tls_ciphers *ciphers, struct tls_rx *rx, uint8_t *record,
                        size_t size, uint8_t **content, size_t *len)
{
    *content = record + TLS_HEADER_SIZE;
    *len = 0;
    if (rx->closed)
        return TLS_EVENT_FAULT;
    int expected = tls_record_size(record, size);
    if (expected < 0)
        return fault(rx, (enum tls_alert) - expected);
    if (expected == 0 || (size_t)expected != size)
        return fault(rx, TLS_ALERT_INTERNAL_ERROR);
    size_t inner = size - TLS_HEADER_SIZE - TLS_TAG_SIZE;
    int error = cipher_open(ciphers, &rx->half, record, inner);
    if (error)
        return fault(rx, error == -EBADMSG ? TLS_ALERT_BAD_RECORD_MAC : TLS_ALERT_INTERNAL_ERROR);
    if (inner > TLS_MAX_PLAINTEXT + 1)
        return fault(rx, TLS_ALERT_RECORD_OVERFLOW);
    return take_inner(rx, *content, inner, len);
}
