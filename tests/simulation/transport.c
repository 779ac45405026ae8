/* SPDX-License-Identifier: BSD-3-Clause */
/* Layers of a client. */
#include "transport.h"

#include <errno.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "choice.h"
#include "report.h"

#define HOST "relay.example"

#define WS_FIN          0x80
#define WS_CONTINUATION 0
#define WS_BINARY       2
#define WS_CLOSE        8
#define WS_PING         9
#define WS_PONG         10

static hyperderp_certificate *certificate;
static struct tls_client *client;

static char *pem_of(X509 *x509, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    if (x509)
        PEM_write_bio_X509(bio, x509);
    else
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    long len = BIO_get_mem_data(bio, &text);
    char *copy = world_alloc((size_t)len + 1);
    memcpy(copy, text, (size_t)len);
    BIO_free(bio);
    return copy;
}

void transport_make(void)
{
    struct tls_client_options options = {.verification = TLS_VERIFY_NOTHING};
    char fault[HYPERDERP_FAULT_SIZE] = "";
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *x509 = X509_new();
    X509_NAME *name = X509_get_subject_name(x509);

    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)HOST, -1, -1, 0);
    X509_set_issuer_name(x509, name);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -86400);
    X509_gmtime_adj(X509_getm_notAfter(x509), 86400 * 30L);
    X509_set_pubkey(x509, key);
    X509_sign(x509, key, NULL);
    char *chain = pem_of(x509, NULL), *private = pem_of(NULL, key);
    if (hyperderp_certificate_read(&certificate, chain, strlen(chain), private, strlen(private),
                                   fault) != 0 ||
        tls_client_new(&client, &options, fault) != 0)
        report_failure("no certificate: %s", fault);
    world_free(chain);
    world_free(private);
    X509_free(x509);
    EVP_PKEY_free(key);
}

hyperderp_certificate *transport_certificate(void)
{
    return certificate;
}

/* ---- Out ------------------------------------------------------------------------------------- */

static void send_sealed(struct transport *transport, const void *bytes, size_t len)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    if (!transport->tls) {
        bytes_add(&transport->output, bytes, len);
    } else if (transport->phase == TRANSPORT_TLS) {
        bytes_add(&transport->plain, bytes, len);
    } else if (len > 0) {
        uint8_t *out = bytes_reserve(&transport->output, client_tls_sealed_size(len));
        ssize_t size = client_tls_seal(&transport->secure, &transport->ciphers, &piece, 1, out);
        if (size < 0)
            report_failure("a client cannot seal: %zd", size);
        bytes_grew(&transport->output, (size_t)size);
    }
}

static void send_ws_frame(struct transport *transport, uint8_t first, const uint8_t *payload,
                          size_t len)
{
    static const uint8_t mask[4] = {0x5a, 0xc3, 0x01, 0xfe};
    size_t size = 2, bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;
    uint8_t *out = world_alloc(len + 14);

    out[0] = first;
    out[1] = (uint8_t)(0x80 | (bytes == 0 ? len : bytes == 2 ? 126 : 127));
    for (; bytes > 0; bytes--)
        out[size++] = (uint8_t)(len >> 8 * (bytes - 1));
    memcpy(out + size, mask, sizeof(mask));
    size += sizeof(mask);
    for (size_t i = 0; i < len; i++)
        out[size + i] = payload[i] ^ mask[i % 4];
    send_sealed(transport, out, size + len);
    world_free(out);
}

/* A message in one frame or two, and now and then a Ping. */
static void send_message(struct transport *transport, const uint8_t *bytes, size_t len)
{
    size_t first = script_one_in(8) ? script_below((uint32_t)len + 1) : len;

    if (script_one_in(32))
        send_ws_frame(transport, WS_FIN | WS_PING, bytes, len < 20 ? len : 20);
    if (first < len)
        send_ws_frame(transport, WS_BINARY, bytes, first);
    send_ws_frame(transport, WS_FIN | (first < len ? WS_CONTINUATION : WS_BINARY),
                  bytes + (first < len ? first : 0), first < len ? len - first : len);
}

void transport_say(struct transport *transport, const void *bytes, size_t len)
{
    if (transport->phase == TRANSPORT_OVER)
        return;
    if (transport->websocket)
        send_message(transport, bytes, len);
    else
        send_sealed(transport, bytes, len);
}

void transport_begin(struct transport *transport, bool proxied, bool tls, bool websocket)
{
    static const char header[] = "PROXY TCP4 10.0.0.77 10.0.0.1 4242 443\r\n";
    static const char upgrade[] =
        "GET /derp HTTP/1.1\r\nHost: " HOST "\r\nConnection: keep-alive, Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: derp\r\n\r\n";
    const uint8_t *hello;

    *transport = (struct transport){.tls = tls, .websocket = websocket};
    transport->phase = tls ? TRANSPORT_TLS : websocket ? TRANSPORT_WEBSOCKET : TRANSPORT_OPEN;
    if (proxied)
        bytes_add(&transport->output, header, sizeof(header) - 1);
    if (tls && client_tls_begin(&transport->secure, client, HOST) != 0)
        report_failure("a client cannot begin its handshake");
    if (tls) {
        size_t len = client_tls_output(&transport->secure, &hello);
        bytes_add(&transport->output, hello, len);
    }
    if (websocket)
        send_sealed(transport, upgrade, sizeof(upgrade) - 1);
}

void transport_end(struct transport *transport)
{
    if (transport->tls)
        client_tls_wipe(&transport->secure);
    tls_ciphers_wipe(&transport->ciphers);
    bytes_clear(&transport->came);
    bytes_clear(&transport->opened);
    bytes_clear(&transport->plain);
    bytes_clear(&transport->output);
}

/* ---- In -------------------------------------------------------------------------------------- */

static void be_over(struct transport *transport, const char *fault)
{
    trace("a client's transport is over: %s", fault ? fault
                                              : transport->secure.error
                                                  ? strerror(-transport->secure.error)
                                                  : "by the relay");
    transport->phase = TRANSPORT_OVER;
    transport->fault = fault;
}

/* The handshake: goes over to records when it is done. The relay may give up in the middle. */
static void shake_hands(struct transport *transport, const uint8_t *bytes, size_t len)
{
    const uint8_t *answer;
    int done = client_tls_input(&transport->secure, bytes, len);

    if (done < 0) {
        trace("a handshake fails: %s", transport->secure.fault);
        be_over(transport, NULL);
        return;
    }
    size_t size = client_tls_output(&transport->secure, &answer);
    bytes_add(&transport->output, answer, size);
    if (!done)
        return;
    ssize_t rest =
        client_tls_take_over(&transport->secure, bytes_reserve(&transport->came, len), len);
    if (rest < 0)
        report_failure("a client cannot take over its handshake: %zd", rest);
    bytes_grew(&transport->came, (size_t)rest);
    transport->phase = transport->websocket ? TRANSPORT_WEBSOCKET : TRANSPORT_OPEN;
    send_sealed(transport, bytes_data(&transport->plain), bytes_count(&transport->plain));
    bytes_take(&transport->plain, bytes_count(&transport->plain));
}

static void open_records(struct transport *transport)
{
    struct bytes *came = &transport->came;
    size_t content, rest;

    client_tls_open(&transport->secure, &transport->ciphers, bytes_data(came), bytes_count(came),
                    &content, &rest);
    bytes_add(&transport->opened, bytes_data(came), content);
    bytes_take(came, content);
    came->end = came->begin + rest;
}

/* The answer to the upgrade; what else than a switch comes is a page, and the end. */
static void read_upgrade(struct transport *transport, struct bytes *content)
{
    static const char switched[] = "HTTP/1.1 101 ";
    static const char seen[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n";
    struct bytes *opened = &transport->opened;
    const uint8_t *begin = bytes_data(opened);
    const uint8_t *end =
        bytes_count(opened) > 0 ? memmem(begin, bytes_count(opened), "\r\n\r\n", 4) : NULL;

    if (!end)
        return;
    if (memcmp(begin, switched, sizeof(switched) - 1) != 0) {
        be_over(transport, NULL);
        return;
    }
    bytes_take(opened, (size_t)(end + 4 - begin));
    bytes_add(content, seen, sizeof(seen) - 1);
    transport->phase = TRANSPORT_OPEN;
}

/* What is there of a message's content: a stream does not wait for the end of a message. */
static bool read_ws_content(struct transport *transport, struct bytes *content)
{
    struct bytes *opened = &transport->opened;
    size_t len = bytes_count(opened);

    len = len < transport->message ? len : transport->message;
    bytes_add(content, bytes_data(opened), len);
    bytes_take(opened, len);
    transport->message -= len;
    return transport->message == 0;
}

/* The header of a frame, and of control frames the rest. False when it is not whole. */
static bool read_ws_frame(struct transport *transport)
{
    struct bytes *opened = &transport->opened;
    const uint8_t *at = bytes_data(opened);
    size_t count = bytes_count(opened);

    if (count < 2)
        return false;
    size_t head = at[1] == 126 ? 4 : 2, len = at[1];
    uint8_t opcode = at[0] & 15;
    if ((at[0] & 0xf0) != WS_FIN || at[1] > 126 ||
        (opcode != WS_BINARY && opcode != WS_CLOSE && opcode != WS_PONG)) {
        be_over(transport, "what comes is no frame of WebSocket");
        return false;
    }
    if (count < head)
        return false;
    if (head == 4)
        len = (size_t)(at[2] << 8 | at[3]);
    if (len > 16384 || (opcode != WS_BINARY && len > 125)) {
        be_over(transport, "a frame of WebSocket is too large");
        return false;
    }
    if (opcode == WS_BINARY) {
        bytes_take(opened, head);
        transport->message = len;
        return true;
    }
    if (count < head + len)
        return false;
    bytes_take(opened, head + len);
    if (opcode == WS_CLOSE)
        be_over(transport, NULL);
    return opcode != WS_CLOSE;
}

void transport_hear(struct transport *transport, const uint8_t *bytes, size_t len,
                    struct bytes *content)
{
    if (transport->phase == TRANSPORT_OVER) {
        trace("%zu bytes come behind the end", len);
        return;
    }
    if (transport->phase == TRANSPORT_TLS)
        shake_hands(transport, bytes, len);
    else if (transport->tls)
        bytes_add(&transport->came, bytes, len);
    else
        bytes_add(&transport->opened, bytes, len);
    if (transport->tls && transport->phase != TRANSPORT_TLS && bytes_count(&transport->came) > 0)
        open_records(transport);
    if (transport->phase == TRANSPORT_WEBSOCKET)
        read_upgrade(transport, content);
    if (transport->phase == TRANSPORT_OPEN && transport->websocket) {
        while (read_ws_content(transport, content) && read_ws_frame(transport))
            ;
    } else if (transport->phase == TRANSPORT_OPEN) {
        bytes_add(content, bytes_data(&transport->opened), bytes_count(&transport->opened));
        bytes_take(&transport->opened, bytes_count(&transport->opened));
    }
    /* An alert in the middle is how a relay ends that has run out of memory. */
    if (transport->tls && transport->secure.error == -EPROTO)
        be_over(transport, "what comes is no TLS");
    else if (transport->tls && transport->secure.error && transport->phase != TRANSPORT_OVER)
        be_over(transport, NULL);
}
