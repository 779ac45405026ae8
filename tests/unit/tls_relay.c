/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "wire/frame.h"
#include "wire/hello.h"
#include "wire/http.h"

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"

bool tls_relay_write(struct tls_relay *relay, const void *bytes, size_t len)
{
    return len == 0 || SSL_write(relay->ssl, bytes, (int)len) == (int)len;
}

bool tls_relay_read(struct tls_relay *relay, void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        int n = SSL_read(relay->ssl, (uint8_t *)bytes + at, (int)(len - at));
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Reads the request, byte by byte so that what is behind it stays there. */
static bool read_request(struct tls_relay *relay)
{
    struct http_request request;
    char head[HTTP_MAX_HEAD];
    size_t len = 0, scanned = 0;
    int size = 0;

    while (size == 0 && len < sizeof(head) && tls_relay_read(relay, head + len, 1))
        size = http_request_parse(&request, head, ++len, &scanned);
    if (size <= 0)
        return false;
    relay->fast_start = request.fast_start;
    return true;
}

/* The hello of a relay. */
static const char *join(struct tls_relay *relay)
{
    static const uint8_t nonce[HELLO_NONCE_SIZE] = {7};
    const struct server_info ours = {.version = DERP_PROTOCOL_VERSION};
    uint8_t frame[HELLO_MAX_CLIENT_INFO], out[HELLO_MAX_SERVER_INFO];
    struct hello_secret secret;
    struct client_info info;
    struct frame_header header;
    hyperderp_key client;

    if (!read_request(relay))
        return "no request came";
    if (!relay->fast_start && !tls_relay_write(relay, SWITCHING, sizeof(SWITCHING) - 1))
        return "the 101 could not be sent";
    if (!tls_relay_write(relay, out, hello_server_key_encode(out, &relay->key)))
        return "ServerKey could not be sent";
    if (!tls_relay_read(relay, frame, FRAME_HEADER_SIZE))
        return "no ClientInfo came";
    if (frame_header_decode(frame, FRAME_HEADER_SIZE, &header) == 0 ||
        header.type != FRAME_CLIENT_INFO || header.length > sizeof(frame))
        return "what came is no ClientInfo";
    if (!tls_relay_read(relay, frame, header.length) ||
        hello_client_info_open(&relay->private_key, frame, header.length, &client, &info, &secret) <
            0)
        return "ClientInfo cannot be opened";
    ssize_t n = hello_server_info_seal(&secret, nonce, &ours, out, sizeof(out));
    return n > 0 && tls_relay_write(relay, out, (size_t)n) ? NULL : "no ServerInfo";
}

static void *serve(void *user)
{
    const struct timeval patience = {.tv_sec = TLS_RELAY_PATIENCE_MS / 1000};
    struct tls_relay *relay = user;
    int one = 1, fd = accept(relay->listener, NULL, NULL);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    relay->ssl = SSL_new(relay->context);
    SSL_set_fd(relay->ssl, fd);
    if (SSL_accept(relay->ssl) == 1 && relay->run != NULL) {
        relay->fault = join(relay);
        if (relay->fault == NULL)
            relay->fault = relay->run(relay);
    } else if (relay->run != NULL) {
        relay->fault = "the TLS handshake failed";
    }
    SSL_free(relay->ssl);
    close(fd);
    return NULL;
}

static void listen_somewhere(struct tls_relay *relay)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(relay->listener, 1), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&address, &len), 0);
    snprintf(relay->address, sizeof(relay->address), "127.0.0.1:%u", ntohs(address.sin_port));
}

static void make_context(struct tls_relay *relay, const char *suites)
{
    X509 *derpkey = certificate_make_derpkey(&relay->key);

    assert_non_null(derpkey);
    relay->context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(relay->context, relay->certificate->leaf), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(relay->context, relay->certificate->key), 1);
    assert_int_equal(SSL_CTX_add_extra_chain_cert(relay->context, derpkey), 1); /* takes it */
    if (suites != NULL)
        assert_int_equal(SSL_CTX_set_ciphersuites(relay->context, suites), 1);
}

void tls_relay_start(struct tls_relay *relay, tls_relay_fn *run, const char *suites)
{
    struct tls_client_options options = {.verification = TLS_VERIFY_PIN};
    char fault[HYPERDERP_FAULT_SIZE];

    *relay = (struct tls_relay){.run = run};
    assert_int_equal(hyperderp_private_key_generate(&relay->private_key), 0);
    hyperderp_private_key_public(&relay->private_key, &relay->key);
    assert_int_equal(hyperderp_certificate_make(&relay->certificate, TLS_RELAY_NAME, 30), 0);
    assert_int_equal(hyperderp_certificate_hash(relay->certificate, options.pin), 0);
    assert_int_equal(tls_client_new(&relay->client, &options, fault), 0);
    make_context(relay, suites);
    listen_somewhere(relay);
    assert_int_equal(pthread_create(&relay->thread, NULL, serve, relay), 0);
}

void tls_relay_end(struct tls_relay *relay)
{
    pthread_join(relay->thread, NULL);
    close(relay->listener);
    SSL_CTX_free(relay->context);
    tls_client_free(relay->client);
    hyperderp_certificate_free(relay->certificate);
    hyperderp_private_key_wipe(&relay->private_key);
    if (relay->fault != NULL)
        fail_msg("the relay: %s", relay->fault);
}
