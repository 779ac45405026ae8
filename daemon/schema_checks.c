/* SPDX-License-Identifier: BSD-3-Clause */
/* Forms of addresses, networks, hosts and URLs. */
#include "schema_checks.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

const char *check_not_empty(const char *text)
{
    return *text ? NULL : "expected a path";
}

const char *check_socket_path(const char *text)
{
    return !*text || (*text == '/' && strlen(text) < 108) ? NULL
                                                          : "expected /PATH, at most 107 bytes";
}

static bool is_digits(const char *text, size_t most)
{
    size_t len = strlen(text);
    return len >= 1 && len <= most && strspn(text, "0123456789") == len;
}

static bool is_port(const char *text)
{
    return is_digits(text, 5) && atol(text) <= 65535;
}

/* Letters that names and IPv4 addresses are made of. */
static bool is_host(const char *text, size_t len)
{
    return len >= 1 && len <= 253 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") >= len;
}

/* "[...]", an IPv6 address with perhaps "%interface". */
static bool is_bracketed(const char *text, size_t len)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr binary;

    if (len < 4 || text[0] != '[' || text[len - 1] != ']')
        return false;
    size_t plain = strcspn(text + 1, "%]");
    if (plain >= sizeof(address))
        return false;
    memcpy(address, text + 1, plain);
    address[plain] = '\0';
    return inet_pton(AF_INET6, address, &binary) == 1;
}

/* HOST:PORT, [IPV6]:PORT, or with any_host :PORT. */
static bool is_host_and_port(const char *text, bool any_host)
{
    const char *colon = strrchr(text, ':');

    if (!colon || !is_port(colon + 1))
        return false;
    size_t len = (size_t)(colon - text);
    return (len == 0 && any_host) || is_host(text, len) || is_bracketed(text, len);
}

const char *schema_check_listen(const char *text)
{
    static const char expected[] = "expected HOST:PORT, :PORT, [IPV6]:PORT, systemd:NAME or "
                                   "unix:/PATH";

    if (strncmp(text, "unix:", 5) == 0)
        return text[5] == '/' && strlen(text + 5) < 108 ? NULL : "expected unix:/PATH";
    if (strncmp(text, "systemd:", 8) == 0)
        return text[8] ? NULL : "expected systemd:NAME";
    return is_host_and_port(text, true) ? NULL : expected;
}

const char *schema_check_address(const char *text)
{
    if (!*text || is_host_and_port(text, true))
        return NULL;
    return "expected HOST:PORT, :PORT, [IPV6]:PORT, or \"\" to turn it off";
}

/* A name as DNS has it, or an address; both go into a certificate. */
static bool is_hostname(const char *text)
{
    unsigned char binary[16];

    if (inet_pton(AF_INET6, text, binary) == 1)
        return true;
    if (!is_host(text, strlen(text)) || strchr(text, '_') || strstr(text, ".."))
        return false;
    /* What looks like an IPv4 address must be one. */
    if (strspn(text, "0123456789.") == strlen(text))
        return inet_pton(AF_INET, text, binary) == 1;
    return text[0] != '.' && text[0] != '-';
}

const char *check_hostname(const char *text)
{
    return !*text || is_hostname(text) ? NULL
                                       : "expected a name, or an IP address without brackets";
}

const char *check_network(const char *text)
{
    static const char expected[] = "expected a network such as 10.0.0.0/8 or 2001:db8::/32, or an "
                                   "address";
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    char address[INET6_ADDRSTRLEN];
    unsigned char binary[16];

    if (len >= sizeof(address))
        return expected;
    memcpy(address, text, len);
    address[len] = '\0';
    int bits = inet_pton(AF_INET, address, binary) == 1    ? 32
               : inet_pton(AF_INET6, address, binary) == 1 ? 128
                                                           : -1;
    if (bits < 0 || (slash && (!is_digits(slash + 1, 3) || atoi(slash + 1) > bits)))
        return expected;
    return NULL;
}

/* HOST, [IPV6], or one of them with a port. */
static bool is_authority(const char *text, size_t len)
{
    char copy[320];

    if (len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return is_host(copy, len) || is_bracketed(copy, len) || is_host_and_port(copy, false);
}

/* http://HOST... or https://HOST..., without blanks. */
static bool is_url(const char *text)
{
    const char *host = NULL;

    if (strncmp(text, "http://", 7) == 0)
        host = text + 7;
    else if (strncmp(text, "https://", 8) == 0)
        host = text + 8;
    if (!host || strlen(text) > 2048)
        return false;
    for (const char *at = text; *at; at++)
        if (*at <= ' ' || *at == 0x7f || *at == '"' || *at == '<' || *at == '>')
            return false;
    return is_authority(host, strcspn(host, "/?#"));
}

const char *check_url(const char *text)
{
    return !*text || is_url(text) ? NULL : "expected a URL, http:// or https://";
}

const char *check_home(const char *text)
{
    if (strcmp(text, "default") == 0 || strcmp(text, "blank") == 0 || is_url(text))
        return NULL;
    return "expected \"default\", \"blank\" or a URL, http:// or https://";
}

/* A URL of nothing but a host, a port and the usual path. */
static bool is_node_url(const char *text)
{
    const char *path = is_url(text) ? strchr(strstr(text, "://") + 3, '/') : NULL;

    return is_url(text) && !strpbrk(text, "?#") &&
           (!path || strcmp(path, "/") == 0 || strcmp(path, "/derp") == 0);
}

const char *check_node(const char *text)
{
    const char *slash = strchr(text, '/');

    if (strstr(text, "://"))
        return is_node_url(text) ? NULL : "expected http:// or https://, HOST or HOST:PORT";
    if (!slash && is_authority(text, strlen(text)))
        return NULL;
    if (slash && is_authority(text, (size_t)(slash - text)) &&
        is_host(slash + 1, strlen(slash + 1)))
        return NULL;
    return "expected HOST, HOST:PORT, HOST/DIALHOST or a URL";
}
