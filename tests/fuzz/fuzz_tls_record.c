/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record layer. The first byte of the input chooses a suite and what the rest is: records as a
 * stranger sends them, which must all fail, or a script of records that the right key has sealed,
 * with whatever type and content, held against what a simpler reading of the RFC says of each; the
 * receiver is a server, or a client, which skips tickets.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "tls/record.h"

static const uint8_t secret[TLS_MAX_SECRET] = {42};
static struct tls_ciphers ciphers;

/* Nothing that was not sealed with the key is opened, and nothing is opened after that. */
static void open_as_a_stranger(struct tls_rx *rx, const uint8_t *data, size_t size)
{
    uint8_t *record = malloc(size + 1), *content;
    size_t len;

    memcpy(record, data, size);
    for (size_t known = 0; known <= size; known++) {
        int expected = tls_record_size(record, known);
        REQUIRE(expected >= -255 && expected <= TLS_MAX_RECORD);
        REQUIRE(expected == 0 || known >= 1);
        REQUIRE(expected <= 0 || (expected >= TLS_OVERHEAD && known >= TLS_HEADER_SIZE));
        if (known > TLS_HEADER_SIZE)
            break;
    }
    REQUIRE(tls_open(&ciphers, rx, record, size, &content, &len) == TLS_EVENT_FAULT);
    REQUIRE(len == 0 && rx->closed && rx->alert != TLS_ALERT_CLOSE_NOTIFY);
    REQUIRE(tls_open(&ciphers, rx, record, size, &content, &len) == TLS_EVENT_FAULT);
    free(record);
}

/* One step of the script: type, length, content. Returns the bytes used; *event is what it was. */
static size_t step(struct tls_tx *tx, struct tls_rx *rx, const uint8_t *data, size_t size,
                   uint8_t *record, enum tls_event *event)
{
    uint8_t type = data[0], *content;
    size_t want = data[1], len = want < size - 2 ? want : size - 2, got;
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)(data + 2), .iov_len = len};
    uint8_t idle = rx->idle_records;
    bool pending = rx->message_len > 0 || rx->ticket_left > 0;

    ssize_t sealed = tls_seal(&ciphers, tx, (enum tls_content)type, &piece, 1, record);
    REQUIRE(sealed == (ssize_t)(len + TLS_OVERHEAD));
    REQUIRE(tls_record_size(record, (size_t)sealed) == sealed);
    *event = tls_open(&ciphers, rx, record, (size_t)sealed, &content, &got);
    REQUIRE(got <= len);
    if (got > 0) {
        REQUIRE(*event == TLS_EVENT_DATA && !pending);
        REQUIRE(memcmp(content, data + 2, got) == 0);
        REQUIRE(rx->idle_records == 0);
    }
    if (type == TLS_CONTENT_DATA && !pending && len > 0)
        REQUIRE(*event == TLS_EVENT_DATA && got == len);
    if (type == TLS_CONTENT_DATA && pending)
        REQUIRE(*event == TLS_EVENT_FAULT);
    if (got == 0 && idle >= TLS_MAX_IDLE_RECORDS)
        REQUIRE(*event == TLS_EVENT_FAULT);
    if (*event == TLS_EVENT_CLOSE)
        REQUIRE(rx->closed && rx->alert == TLS_ALERT_CLOSE_NOTIFY);
    if (*event == TLS_EVENT_FAULT)
        REQUIRE(rx->closed && rx->alert != TLS_ALERT_CLOSE_NOTIFY);
    return 2 + len;
}

static void open_as_sealed(struct tls_tx *tx, struct tls_rx *rx, const uint8_t *data, size_t size)
{
    uint8_t record[2 + 255 + TLS_OVERHEAD];
    size_t at = 0;

    while (size - at >= 2) {
        enum tls_event event;
        at += step(tx, rx, data + at, size - at, record, &event);
        /* The next record is under the next key. */
        if (event == TLS_EVENT_KEY_UPDATE || event == TLS_EVENT_UPDATE_REQUEST) {
            struct tls_tx next;
            uint8_t following[TLS_MAX_SECRET];
            memcpy(following, tx->half.secret, sizeof(following));
            REQUIRE(tls_next_secret(tx->half.suite, following) == 0);
            REQUIRE(tls_tx_init(&next, tx->half.suite, following) == 0);
            tls_tx_wipe(tx);
            *tx = next;
        }
        if (rx->closed)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_tx tx;
    struct tls_rx rx;

    if (size < 1)
        return 0;
    const struct tls_suite *suite = tls_suite_find((uint16_t)(0x1301 + data[0] % 3));
    REQUIRE(tls_tx_init(&tx, suite, secret) == 0);
    REQUIRE(tls_rx_init(&rx, suite, secret) == 0);
    rx.skips_tickets = (data[0] & 0x40) != 0;
    if (data[0] & 0x80)
        open_as_a_stranger(&rx, data + 1, size - 1);
    else
        open_as_sealed(&tx, &rx, data + 1, size - 1);
    tls_tx_wipe(&tx);
    tls_rx_wipe(&rx);
    return 0;
}
