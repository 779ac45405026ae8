/* SPDX-License-Identifier: BSD-3-Clause */
/* Traffic secrets out of OpenSSL's key log. */
#include "tls/secrets.h"

#include <string.h>

#include <openssl/ssl.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t tls_read_hex(const char *hex, size_t digits, uint8_t *out, size_t room)
{
    if (digits % 2 != 0 || digits / 2 > room)
        return 0;
    for (size_t i = 0; i < digits / 2; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return digits / 2;
}

/* The lines of the NSS key log format are OpenSSL's only way to give traffic secrets out: label,
 * client random, secret. They come before the other side is verified, so they are used only when
 * the handshake is done. */
void tls_secrets_take(const SSL *ssl, const char *line)
{
    static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
    struct tls_secrets *secrets = SSL_get_app_data(ssl);
    const char *hex = strrchr(line, ' ');

    if (!secrets || !hex)
        return;
    hex++;
    if (strncmp(line, client, sizeof(client) - 1) == 0)
        secrets->has_client = tls_read_hex(hex, strlen(hex), secrets->client, TLS_MAX_SECRET) > 0;
    if (strncmp(line, server, sizeof(server) - 1) == 0)
        secrets->has_server = tls_read_hex(hex, strlen(hex), secrets->server, TLS_MAX_SECRET) > 0;
}
