/* SPDX-License-Identifier: BSD-3-Clause */
/* The record layer against OpenSSL's, against itself, and against what a hostile client sends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls/record.h"
#include "tls_peer.h"

static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                     "TLS_CHACHA20_POLY1305_SHA256"};
#define SUITES (sizeof(suites) / sizeof(suites[0]))

/* Of the one thread of this program: all connections of a test take turns in it. */
static struct tls_ciphers ciphers;

struct pair {
    struct tls_peers peers;
    struct tls_tx tx;
    struct tls_rx rx;
};

static void connect_pair(struct pair *pair, const char *suite)
{
    tls_peers_connect(&pair->peers, suite);
    assert_int_equal(tls_tx_init(&pair->tx, pair->peers.suite, pair->peers.server_secret), 0);
    assert_int_equal(tls_rx_init(&pair->rx, pair->peers.suite, pair->peers.client_secret), 0);
}

static void free_pair(struct pair *pair)
{
    tls_tx_wipe(&pair->tx);
    tls_rx_wipe(&pair->rx);
    tls_peers_free(&pair->peers);
}

/* A sender whose records our own receiver opens: for what OpenSSL would never send. */
struct loop {
    struct tls_tx tx;
    struct tls_rx rx;
    uint8_t record[TLS_MAX_RECORD];
};

static struct loop *new_loop(uint16_t suite)
{
    static const uint8_t secret[TLS_MAX_SECRET] = {1, 2, 3};
    struct loop *loop = calloc(1, sizeof(*loop));

    assert_non_null(loop);
    assert_int_equal(tls_tx_init(&loop->tx, tls_suite_find(suite), secret), 0);
    assert_int_equal(tls_rx_init(&loop->rx, tls_suite_find(suite), secret), 0);
    return loop;
}

static void free_loop(struct loop *loop)
{
    tls_tx_wipe(&loop->tx);
    tls_rx_wipe(&loop->rx);
    free(loop);
}

static size_t seal(struct loop *loop, int type, const void *bytes, size_t len)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    ssize_t size = tls_seal(&ciphers, &loop->tx, (enum tls_content)type, &piece, 1, loop->record);

    assert_int_equal(size, len + TLS_OVERHEAD);
    assert_int_equal(tls_record_size(loop->record, TLS_HEADER_SIZE), size);
    return (size_t)size;
}

static enum tls_event open_record(struct loop *loop, size_t size, uint8_t **content, size_t *len)
{
    return tls_open(&ciphers, &loop->rx, loop->record, size, content, len);
}

static enum tls_event pass(struct loop *loop, int type, const void *bytes, size_t len)
{
    uint8_t *content;
    size_t content_len, size = seal(loop, type, bytes, len);

    return open_record(loop, size, &content, &content_len);
}

static void assert_fault(struct loop *loop, enum tls_event event, enum tls_alert alert)
{
    assert_int_equal(event, TLS_EVENT_FAULT);
    assert_int_equal(loop->rx.alert, alert);
    free_loop(loop);
}

/* Fills with bytes that differ from their neighbours. */
static void fill(uint8_t *bytes, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

static void openssl_reads_what_we_seal(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 16, 1437, 16383, 16384};
    uint8_t *sent = malloc(TLS_MAX_PLAINTEXT), *got = malloc(TLS_MAX_PLAINTEXT);
    uint8_t *record = malloc(TLS_MAX_RECORD);
    struct pair pair;

    for (size_t s = 0; s < SUITES; s++) {
        connect_pair(&pair, suites[s]);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t half = sizes[i] / 2;
            fill(sent, sizes[i], (unsigned)i);
            const struct iovec pieces[] = {{.iov_base = sent, .iov_len = half},
                                           {.iov_base = sent, .iov_len = 0},
                                           {.iov_base = sent + half, .iov_len = sizes[i] - half}};
            ssize_t size = tls_seal(&ciphers, &pair.tx, TLS_CONTENT_DATA, pieces, 3, record);
            assert_int_equal(size, sizes[i] + TLS_OVERHEAD);
            tls_peers_to_client(&pair.peers, record, (size_t)size);
            assert_int_equal(SSL_read(pair.peers.client, got, TLS_MAX_PLAINTEXT), sizes[i]);
            assert_memory_equal(got, sent, sizes[i]);
            if (i == 2)
                tls_ciphers_wipe(&ciphers);
        }
        ssize_t size = tls_seal_alert(&ciphers, &pair.tx, TLS_ALERT_CLOSE_NOTIFY, record);
        tls_peers_to_client(&pair.peers, record, (size_t)size);
        assert_int_equal(SSL_read(pair.peers.client, got, 1), 0);
        assert_int_equal(SSL_get_error(pair.peers.client, 0), SSL_ERROR_ZERO_RETURN);
        free_pair(&pair);
    }
    free(sent);
    free(got);
    free(record);
}

static void we_open_what_openssl_seals(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 1437, 16384, 40000};
    uint8_t *sent = malloc(40000), *got = malloc(40000), *wire = malloc(50000);
    struct pair pair;

    for (size_t s = 0; s < SUITES; s++) {
        connect_pair(&pair, suites[s]);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            fill(sent, sizes[i], (unsigned)i);
            assert_int_equal(SSL_write(pair.peers.client, sent, (int)sizes[i]), sizes[i]);
            size_t len = tls_peers_from_client(&pair.peers, wire, 50000), at = 0, opened = 0;
            while (at < len) {
                uint8_t *content;
                size_t content_len;
                int size = tls_record_size(wire + at, len - at);
                assert_true(size > 0 && at + (size_t)size <= len);
                assert_int_equal(
                    tls_open(&ciphers, &pair.rx, wire + at, (size_t)size, &content, &content_len),
                    TLS_EVENT_DATA);
                memcpy(got + opened, content, content_len);
                opened += content_len;
                at += (size_t)size;
            }
            assert_int_equal(opened, sizes[i]);
            assert_memory_equal(got, sent, opened);
            tls_ciphers_wipe(&ciphers);
        }
        free_pair(&pair);
    }
    free(sent);
    free(got);
    free(wire);
}

/* Opens the only record that the client has sent. */
static enum tls_event open_from_client(struct pair *pair, char *text, size_t room)
{
    uint8_t wire[512], *content;
    size_t len = tls_peers_from_client(&pair->peers, wire, sizeof(wire)), content_len;

    assert_int_equal(tls_record_size(wire, len), len);
    enum tls_event event = tls_open(&ciphers, &pair->rx, wire, len, &content, &content_len);
    assert_true(content_len < room);
    memcpy(text, content, content_len);
    text[content_len] = '\0';
    return event;
}

static void keys_are_updated_with_openssl(void **state)
{
    (void)state;
    char text[64];
    uint8_t record[128];
    struct pair pair;

    for (size_t s = 0; s < SUITES; s++) {
        connect_pair(&pair, suites[s]);
        SSL *client = pair.peers.client;
        for (int i = 0; i < 3; i++) {
            /* The client's direction; from the second on it asks for ours too. */
            assert_int_equal(
                SSL_key_update(client, i ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
                1);
            assert_int_equal(SSL_do_handshake(client), 1);
            assert_int_equal(open_from_client(&pair, text, sizeof(text)),
                             i ? TLS_EVENT_UPDATE_REQUEST : TLS_EVENT_KEY_UPDATE);
            assert_int_equal(SSL_write(client, "after", 5), 5);
            assert_int_equal(open_from_client(&pair, text, sizeof(text)), TLS_EVENT_DATA);
            assert_string_equal(text, "after");

            ssize_t size = tls_seal_key_update(&ciphers, &pair.tx, false, record);
            assert_int_equal(size, TLS_KEY_UPDATE_SIZE + TLS_OVERHEAD);
            tls_peers_to_client(&pair.peers, record, (size_t)size);
            const struct iovec piece = {.iov_base = (char[]){"new key"}, .iov_len = 7};
            size = tls_seal(&ciphers, &pair.tx, TLS_CONTENT_DATA, &piece, 1, record);
            tls_peers_to_client(&pair.peers, record, (size_t)size);
            assert_int_equal(SSL_read(client, text, sizeof(text)), 7);
            assert_memory_equal(text, "new key", 7);
        }
        free_pair(&pair);
    }
}

static void an_update_is_due_before_the_limit(void **state)
{
    (void)state;
    struct loop *loop = new_loop(0x1301);

    assert_false(tls_tx_wants_update(&loop->tx));
    loop->tx.half.sequence = loop->tx.half.suite->record_limit;
    assert_true(tls_tx_wants_update(&loop->tx));
    assert_true(tls_seal_key_update(&ciphers, &loop->tx, false, loop->record) > 0);
    assert_false(tls_tx_wants_update(&loop->tx));
    free_loop(loop);
}

static void a_record_is_opened_once_whole_and_in_its_place(void **state)
{
    (void)state;
    uint8_t *content, copy[128];
    size_t len;

    for (uint16_t suite = 0x1301; suite <= 0x1303; suite++) {
        /* Every bit counts. */
        struct loop *loop = new_loop(suite);
        size_t size = seal(loop, TLS_CONTENT_DATA, "content", 7);
        memcpy(copy, loop->record, size);
        free_loop(loop);
        for (size_t bit = 8 * TLS_HEADER_SIZE; bit < 8 * size; bit++) {
            loop = new_loop(suite);
            memcpy(loop->record, copy, size);
            loop->record[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_fault(loop, open_record(loop, size, &content, &len), TLS_ALERT_BAD_RECORD_MAC);
        }
        /* Replayed. */
        loop = new_loop(suite);
        memcpy(loop->record, copy, size);
        assert_int_equal(open_record(loop, size, &content, &len), TLS_EVENT_DATA);
        assert_int_equal(len, 7);
        assert_memory_equal(content, "content", 7);
        memcpy(loop->record, copy, size);
        assert_fault(loop, open_record(loop, size, &content, &len), TLS_ALERT_BAD_RECORD_MAC);
        /* One before it was lost. */
        loop = new_loop(suite);
        seal(loop, TLS_CONTENT_DATA, "lost", 4);
        size = seal(loop, TLS_CONTENT_DATA, "content", 7);
        assert_fault(loop, open_record(loop, size, &content, &len), TLS_ALERT_BAD_RECORD_MAC);
        /* None at all. */
        loop = new_loop(suite);
        assert_fault(loop, open_record(loop, 0, &content, &len), TLS_ALERT_INTERNAL_ERROR);
        /* Truncated, with a length that says so. */
        loop = new_loop(suite);
        size = seal(loop, TLS_CONTENT_DATA, "content", 7) - 1;
        loop->record[4]--;
        assert_fault(loop, open_record(loop, size, &content, &len), TLS_ALERT_BAD_RECORD_MAC);
    }
}

static void headers_are_judged_by_their_bytes(void **state)
{
    (void)state;
    const uint8_t least[] = {23, 3, 3, 0, 17}, most[] = {23, 3, 3, 0x41, 0x00};
    const uint8_t less[] = {23, 3, 3, 0, 16}, more[] = {23, 3, 3, 0x41, 0x01};
    const uint8_t plain_alert[] = {21, 3, 3, 0, 2}, any_version[] = {23, 9, 9, 1, 0};

    assert_int_equal(tls_record_size(least, 5), 22);
    assert_int_equal(tls_record_size(most, 5), TLS_MAX_RECORD);
    assert_int_equal(tls_record_size(any_version, 5), 261);
    for (size_t len = 0; len < 5; len++)
        assert_int_equal(tls_record_size(least, len), 0);
    assert_int_equal(tls_record_size(less, 5), -TLS_ALERT_BAD_RECORD_MAC);
    assert_int_equal(tls_record_size(more, 5), -TLS_ALERT_RECORD_OVERFLOW);
    assert_int_equal(tls_record_size(plain_alert, 1), -TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void content_ends_where_the_padding_begins(void **state)
{
    (void)state;
    static uint8_t padded[TLS_MAX_PLAINTEXT];
    uint8_t *content;
    size_t len;

    /* A sealed record ends with its type: padding is made by sealing content and its type as if
     * they were content of type 0. */
    struct loop *loop = new_loop(0x1301);
    memset(padded, 0, sizeof(padded));
    memcpy(padded, "text\0", 5);
    padded[5] = TLS_CONTENT_DATA;
    size_t size = seal(loop, 0, padded, sizeof(padded));
    assert_int_equal(open_record(loop, size, &content, &len), TLS_EVENT_DATA);
    assert_int_equal(len, 5);
    assert_memory_equal(content, "text\0", 5);
    free_loop(loop);

    loop = new_loop(0x1301);
    memset(padded, 0, sizeof(padded));
    assert_fault(loop, pass(loop, 0, padded, 100), TLS_ALERT_UNEXPECTED_MESSAGE);
    loop = new_loop(0x1301);
    assert_fault(loop, pass(loop, 0, padded, 0), TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void a_record_may_not_hold_more_than_its_limit(void **state)
{
    (void)state;
    static uint8_t big[TLS_MAX_PLAINTEXT + 1];
    const struct iovec piece = {.iov_base = big, .iov_len = sizeof(big)};
    struct loop *loop = new_loop(0x1301);
    uint8_t *content;
    size_t len;

    assert_int_equal(tls_seal(&ciphers, &loop->tx, TLS_CONTENT_DATA, &piece, 1, loop->record),
                     -EINVAL);
    size_t size = seal(loop, TLS_CONTENT_DATA, big, TLS_MAX_PLAINTEXT);
    assert_int_equal(open_record(loop, size, &content, &len), TLS_EVENT_DATA);
    assert_int_equal(len, TLS_MAX_PLAINTEXT);
    free_loop(loop);
}

static void records_that_bring_nothing_are_bounded(void **state)
{
    (void)state;
    struct loop *loop = new_loop(0x1303);

    for (int i = 0; i < TLS_MAX_IDLE_RECORDS; i++)
        assert_int_equal(pass(loop, TLS_CONTENT_DATA, "", 0), TLS_EVENT_DATA);
    assert_int_equal(pass(loop, TLS_CONTENT_DATA, "x", 1), TLS_EVENT_DATA);
    for (int i = 0; i < TLS_MAX_IDLE_RECORDS; i++)
        assert_int_equal(pass(loop, TLS_CONTENT_DATA, "", 0), TLS_EVENT_DATA);
    assert_fault(loop, pass(loop, TLS_CONTENT_DATA, "", 0), TLS_ALERT_UNEXPECTED_MESSAGE);

    loop = new_loop(0x1303);
    for (int i = 0; i < TLS_MAX_IDLE_RECORDS; i++) {
        ssize_t size = tls_seal_key_update(&ciphers, &loop->tx, false, loop->record);
        uint8_t *content;
        size_t len;
        assert_int_equal(open_record(loop, (size_t)size, &content, &len), TLS_EVENT_KEY_UPDATE);
    }
    assert_fault(loop, pass(loop, TLS_CONTENT_HANDSHAKE, "\x18\0\0\1\0", 5),
                 TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void a_key_update_may_be_split_but_nothing_else_may_come(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        enum tls_alert alert;
    } bad[] = {
        {"", 0, TLS_ALERT_UNEXPECTED_MESSAGE},                 /* an empty fragment */
        {"\x18\0\0\1\2", 5, TLS_ALERT_ILLEGAL_PARAMETER},      /* neither asked nor not */
        {"\x18\0\0\2\0", 5, TLS_ALERT_DECODE_ERROR},           /* of another length */
        {"\x18\0\0\1\0\x18", 6, TLS_ALERT_UNEXPECTED_MESSAGE}, /* more behind it */
        {"\x01\0\0\1\0", 5, TLS_ALERT_UNEXPECTED_MESSAGE},     /* ClientHello: renegotiation */
        {"\x04", 1, TLS_ALERT_UNEXPECTED_MESSAGE},             /* a ticket from a client */
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct loop *loop = new_loop(0x1301);
        assert_fault(loop, pass(loop, TLS_CONTENT_HANDSHAKE, bad[i].bytes, bad[i].len),
                     bad[i].alert);
    }

    struct loop *loop = new_loop(0x1301);
    static const char update[] = "\x18\0\0\1\1";
    for (int i = 0; i < 4; i++)
        assert_int_equal(pass(loop, TLS_CONTENT_HANDSHAKE, update + i, 1), TLS_EVENT_DATA);
    assert_int_equal(pass(loop, TLS_CONTENT_HANDSHAKE, update + 4, 1), TLS_EVENT_UPDATE_REQUEST);
    free_loop(loop);

    loop = new_loop(0x1301);
    assert_int_equal(pass(loop, TLS_CONTENT_HANDSHAKE, update, 2), TLS_EVENT_DATA);
    assert_fault(loop, pass(loop, TLS_CONTENT_DATA, "x", 1), TLS_ALERT_UNEXPECTED_MESSAGE);
}

/* A server sends them unasked; they may be split, and stand with other messages in a record. */
static void a_client_skips_tickets(void **state)
{
    (void)state;
    static const char messages[] = "\x04\0\0\3abc\x04\0\0\1d\x18\0\0\1\1";
    static const char long_one[] = "\x04\x02\x02\x0d"; /* a byte more than can be */
    struct loop *loop;

    for (size_t first = 1; first < sizeof(messages) - 1; first++) {
        loop = new_loop(0x1301);
        loop->rx.skips_tickets = true;
        assert_int_equal(pass(loop, TLS_CONTENT_HANDSHAKE, messages, first), TLS_EVENT_DATA);
        assert_int_equal(
            pass(loop, TLS_CONTENT_HANDSHAKE, messages + first, sizeof(messages) - 1 - first),
            TLS_EVENT_UPDATE_REQUEST);
        free_loop(loop);
    }
    for (size_t len = 1; len <= 5; len++) { /* no data inside a message */
        loop = new_loop(0x1301);
        loop->rx.skips_tickets = true;
        assert_int_equal(pass(loop, TLS_CONTENT_HANDSHAKE, messages, len), TLS_EVENT_DATA);
        assert_fault(loop, pass(loop, TLS_CONTENT_DATA, "x", 1), TLS_ALERT_UNEXPECTED_MESSAGE);
    }
    loop = new_loop(0x1301);
    loop->rx.skips_tickets = true;
    assert_int_equal(pass(loop, TLS_CONTENT_HANDSHAKE, messages, 12), TLS_EVENT_DATA);
    assert_int_equal(pass(loop, TLS_CONTENT_DATA, "x", 1), TLS_EVENT_DATA);
    assert_fault(loop, pass(loop, TLS_CONTENT_HANDSHAKE, long_one, 4), TLS_ALERT_DECODE_ERROR);
}

static void alerts_end_the_stream(void **state)
{
    (void)state;
    struct loop *loop = new_loop(0x1302);

    assert_int_equal(pass(loop, TLS_CONTENT_ALERT, "\1\x5a", 2), TLS_EVENT_DATA);
    assert_int_equal(pass(loop, TLS_CONTENT_ALERT, "\1\0", 2), TLS_EVENT_CLOSE);
    assert_int_equal(pass(loop, TLS_CONTENT_DATA, "x", 1), TLS_EVENT_FAULT);
    free_loop(loop);

    loop = new_loop(0x1302);
    assert_int_equal(pass(loop, TLS_CONTENT_ALERT, "\2\x14", 2), TLS_EVENT_ALERT);
    assert_string_equal(tls_alert_name(loop->rx.alert), "bad_record_mac");
    free_loop(loop);

    loop = new_loop(0x1302);
    assert_fault(loop, pass(loop, TLS_CONTENT_ALERT, "\1\0\1", 3), TLS_ALERT_DECODE_ERROR);
    loop = new_loop(0x1302);
    assert_fault(loop, pass(loop, 20, "\1", 1), TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void keys_are_wiped(void **state)
{
    (void)state;
    static const uint8_t zero[sizeof(struct tls_rx)];
    struct loop *loop = new_loop(0x1302);

    assert_int_equal(pass(loop, TLS_CONTENT_DATA, "x", 1), TLS_EVENT_DATA);
    tls_tx_wipe(&loop->tx);
    tls_rx_wipe(&loop->rx);
    assert_memory_equal(&loop->tx, zero, sizeof(loop->tx));
    assert_memory_equal(&loop->rx, zero, sizeof(loop->rx));
    tls_ciphers_wipe(&ciphers);
    static const struct tls_ciphers none;
    assert_memory_equal(&ciphers.ciphers, &none.ciphers, sizeof(none.ciphers));
    tls_tx_wipe(&loop->tx); /* again is allowed */
    free(loop);
}

static int by_openssl_alone(void **state)
{
    (void)state;
    ciphers.openssl_alone = true;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openssl_reads_what_we_seal),
        cmocka_unit_test(we_open_what_openssl_seals),
        cmocka_unit_test(keys_are_updated_with_openssl),
        cmocka_unit_test(an_update_is_due_before_the_limit),
        cmocka_unit_test(a_record_is_opened_once_whole_and_in_its_place),
        cmocka_unit_test(headers_are_judged_by_their_bytes),
        cmocka_unit_test(content_ends_where_the_padding_begins),
        cmocka_unit_test(a_record_may_not_hold_more_than_its_limit),
        cmocka_unit_test(records_that_bring_nothing_are_bounded),
        cmocka_unit_test(a_key_update_may_be_split_but_nothing_else_may_come),
        cmocka_unit_test(a_client_skips_tickets),
        cmocka_unit_test(alerts_end_the_stream),
        cmocka_unit_test(keys_are_wiped),
    };
    int failed = cmocka_run_group_tests_name("with the ciphers that are here", tests, NULL, NULL);
    return failed +
           cmocka_run_group_tests_name("with OpenSSL's alone", tests, by_openssl_alone, NULL);
}
