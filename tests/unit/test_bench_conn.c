/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection of the load generator over TLS, against OpenSSL's server: joining, packets in
 * records of every size, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "../../bench/conn.c"
#include "tls_relay.h"

static const hyperderp_key other = {{9, 8, 7}};

/* ---- The relay: see tls_relay_fn ---- */

static const char *echo_frame(struct tls_relay *relay, uint8_t *frame, size_t room)
{
    struct frame_header header;

    if (!tls_relay_read(relay, frame, FRAME_HEADER_SIZE) ||
        frame_header_decode(frame, FRAME_HEADER_SIZE, &header) == 0)
        return "no frame came";
    if (header.type != FRAME_SEND_PACKET || header.length > room - FRAME_HEADER_SIZE)
        return "another frame than SendPacket came";
    if (!tls_relay_read(relay, frame + FRAME_HEADER_SIZE, header.length))
        return "half a frame came";
    frame_header_encode(frame, FRAME_RECV_PACKET, header.length);
    /* Records that end anywhere. */
    for (size_t at = 0, left = FRAME_HEADER_SIZE + header.length, part; left > 0; at += part) {
        part = left < 5000 ? left : 5000;
        left -= part;
        if (!tls_relay_write(relay, frame + at, part))
            return "the frame could not be sent";
    }
    return NULL;
}

static const char *echo(struct tls_relay *relay)
{
    static uint8_t frame[FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET];
    const char *wrong = NULL;
    uint8_t byte;

    while (wrong == NULL && SSL_peek(relay->ssl, &byte, 1) > 0) {
        if (SSL_key_update(relay->ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
            return "OpenSSL changes no keys";
        wrong = echo_frame(relay, frame, sizeof(frame));
    }
    return wrong;
}

static const char *close_with_notify(struct tls_relay *relay)
{
    SSL_shutdown(relay->ssl);
    return NULL;
}

/* ---- The connection ---- */

struct fixture {
    struct tls_relay relay;
    struct load_tls tls;
    struct load_conn conn;
    uint8_t *scratch, *burst;
    size_t packets, bytes; /* that came and are right */
    int epoll;
};

static void on_packet(void *user, struct load_conn *conn, const struct client_message *message,
                      uint64_t now_ns)
{
    struct fixture *f = user;

    (void)now_ns;
    assert_ptr_equal(conn, &f->conn);
    assert_memory_equal(message->peer.bytes, other.bytes, HYPERDERP_KEY_SIZE);
    for (size_t i = 0; i < message->len; i++)
        assert_int_equal(message->payload[i], (uint8_t)(i * 7 + message->len));
    f->packets++;
    f->bytes += message->len;
}

/* Handles the next events; what load_conn_event() says of them. */
static int step(struct fixture *f)
{
    struct epoll_event event;

    assert_int_equal(epoll_wait(f->epoll, &event, 1, TLS_RELAY_PATIENCE_MS), 1);
    return load_conn_event(&f->conn, event.events, f->scratch, on_packet, f);
}

static void start(struct fixture *f, tls_relay_fn *run, const char *name)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned port;

    *f = (struct fixture){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    tls_relay_start(&f->relay, run, NULL);
    f->tls = (struct load_tls){.client = f->relay.client, .name = name};
    f->scratch = malloc(LOAD_CONN_SCRATCH_SIZE);
    f->burst = malloc(4 * (FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET));
    assert_true(f->scratch != NULL && f->burst != NULL);
    assert_int_equal(sscanf(f->relay.address, "127.0.0.1:%u", &port), 1);
    address.sin_port = htons((uint16_t)port);
    assert_int_equal(load_conn_init(&f->conn, 7, "relay", &f->tls), 0);
    assert_int_equal(
        load_conn_start(&f->conn, f->epoll, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void end(struct fixture *f)
{
    load_conn_free(&f->conn);
    tls_ciphers_wipe(&f->tls.ciphers);
    free(f->tls.sealed);
    free(f->scratch);
    free(f->burst);
    close(f->epoll);
    tls_relay_end(&f->relay);
}

static void join(struct fixture *f)
{
    while (f->conn.state != LOAD_CONN_OPEN) {
        int err = step(f);
        if (err < 0)
            fail_msg("not joined: %s", load_conn_say_why(&f->conn, err));
    }
}

/* Sends a burst, and waits for all of it to come back. */
static void exchange(struct fixture *f, size_t count, size_t size)
{
    size_t packets = f->packets + count, bytes = f->bytes + count * size, at = 0;

    for (size_t i = 0; i < count; i++) {
        client_packet_header(f->burst + at, &other, size);
        at += FRAME_PACKET_OVERHEAD;
        for (size_t k = 0; k < size; k++)
            f->burst[at++] = (uint8_t)(k * 7 + size);
    }
    assert_int_equal(load_conn_send(&f->conn, f->burst, at), 0);
    while (f->packets < packets)
        assert_int_equal(step(f), 0);
    assert_int_equal(f->packets, packets);
    assert_int_equal(f->bytes, bytes);
    assert_int_equal(f->conn.record_len, 0);
    assert_int_equal(f->conn.partial_len, 0);
    while (load_conn_blocked(&f->conn))
        assert_int_equal(step(f), 0);
    assert_int_equal(load_conn_watch_write(&f->conn, false), 0);
}

static void bursts_over_tls(void **state)
{
    struct fixture f;

    (void)state;
    start(&f, echo, TLS_RELAY_NAME);
    join(&f);
    assert_string_equal(f.conn.tls->suite, "TLS_AES_128_GCM_SHA256");
    exchange(&f, 1, 24);
    exchange(&f, 8, 1400);
    exchange(&f, 3, 16384);
    exchange(&f, 1, FRAME_MAX_PACKET);
    exchange(&f, 4, 20000);
    end(&f);
}

static void what_is_sent_has_its_records(void **state)
{
    struct load_tls shared = {0};
    struct load_conn plain = {0}, over_tls = {.shared = &shared};

    (void)state;
    assert_int_equal(load_conn_sent_size(&plain, 40000), 40000);
    assert_int_equal(load_conn_sent_size(&over_tls, 1), 1 + TLS_OVERHEAD);
    assert_int_equal(load_conn_sent_size(&over_tls, 16384), 16384 + TLS_OVERHEAD);
    assert_int_equal(load_conn_sent_size(&over_tls, 16385), 16385 + 2 * TLS_OVERHEAD);
}

static void the_relay_closes(void **state)
{
    struct fixture f;
    int err;

    (void)state;
    start(&f, close_with_notify, TLS_RELAY_NAME);
    do
        err = step(&f);
    while (err == 0);
    assert_int_equal(f.conn.state, LOAD_CONN_OPEN); /* what came before it was read */
    assert_int_equal(err, -EPIPE);
    assert_string_equal(load_conn_say_why(&f.conn, err), "the relay closed it");
    end(&f);
}

static void another_relay_is_refused(void **state)
{
    struct fixture f;
    int err;

    (void)state;
    start(&f, NULL, "other.example.com");
    do
        err = step(&f);
    while (err == 0);
    assert_int_equal(err, -EPROTO);
    assert_string_equal(load_conn_say_why(&f.conn, err),
                        "the certificate is not accepted: hostname mismatch");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_over_tls),
        cmocka_unit_test(what_is_sent_has_its_records),
        cmocka_unit_test(the_relay_closes),
        cmocka_unit_test(another_relay_is_refused),
    };

    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets that may be closed */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
