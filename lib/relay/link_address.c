/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the address of another node. */
#include "relay/link_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTPS_PORT 443
#define HTTP_PORT  80

/* What a name, an IPv4 or, in brackets, an IPv6 address is written with. */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
#define IPV6_CHARACTERS "0123456789abcdefABCDEF:."

static bool is_ipv6(const char *text)
{
    struct in6_addr address;

    return inet_pton(AF_INET6, text, &address) == 1;
}

/* Copies the host that text begins with, without brackets. Returns what is behind it, or NULL. */
static const char *take_host(const char *text, char host[LINK_HOST_SIZE])
{
    bool brackets = *text == '[';
    const char *begin = text + brackets;
    size_t len = strspn(begin, brackets ? IPV6_CHARACTERS : NAME_CHARACTERS);

    if (len == 0 || len >= LINK_HOST_SIZE || (brackets && begin[len] != ']'))
        return NULL;
    memcpy(host, begin, len);
    host[len] = '\0';
    return !brackets || is_ipv6(host) ? begin + len + brackets : NULL;
}

/* Reads ":PORT", if it is there. Returns what is behind it, or NULL. */
static const char *take_port(const char *text, uint16_t *port)
{
    char *end;

    if (*text != ':')
        return text;
    size_t digits = strspn(text + 1, "0123456789");
    unsigned long number = digits > 0 && digits <= 5 ? strtoul(text + 1, &end, 10) : 0;
    if (number == 0 || number > UINT16_MAX)
        return NULL;
    *port = (uint16_t)number;
    return end;
}

/* The host that is dialled instead: in front of nothing else; an IPv6 address without brackets is
 * plain enough here, where no port can follow. */
static bool take_dial(const char *text, char dial[LINK_HOST_SIZE])
{
    size_t len = strlen(text);

    if (*text == '[') {
        const char *end = take_host(text, dial);
        return end && *end == '\0';
    }
    if (len == 0 || len >= LINK_HOST_SIZE ||
        (strspn(text, NAME_CHARACTERS) != len && !is_ipv6(text)))
        return false;
    memcpy(dial, text, len + 1);
    return true;
}

static bool is_usual_path(const char *text)
{
    return *text == '\0' || strcmp(text, "/") == 0 || strcmp(text, "/derp") == 0;
}

static void set_authority(struct link_address *address)
{
    bool brackets = strchr(address->host, ':') != NULL;
    bool usual = address->port == (address->tls ? HTTPS_PORT : HTTP_PORT);
    char port[8] = "";

    if (!usual)
        snprintf(port, sizeof(port), ":%u", address->port);
    snprintf(address->authority, sizeof(address->authority), "%s%s%s%s", brackets ? "[" : "",
             address->host, brackets ? "]" : "", port);
}

int link_address_parse(struct link_address *out, const char *text)
{
    struct link_address address = {.port = HTTPS_PORT, .tls = true};
    bool is_url = strncmp(text, "https://", 8) == 0;

    if (strncmp(text, "http://", 7) == 0) {
        address = (struct link_address){.port = HTTP_PORT};
        is_url = true;
    }
    if (is_url)
        text = strstr(text, "://") + 3;
    text = take_host(text, address.host);
    text = text ? take_port(text, &address.port) : NULL;
    if (!text)
        return -EINVAL;
    memcpy(address.dial, address.host, sizeof(address.dial));
    if (is_url ? !is_usual_path(text)
               : *text && (*text != '/' || !take_dial(text + 1, address.dial)))
        return -EINVAL;
    set_authority(&address);
    *out = address;
    return 0;
}
