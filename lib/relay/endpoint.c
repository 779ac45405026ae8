/* SPDX-License-Identifier: BSD-3-Clause */
/* From a socket's address, to text. */
#include "relay/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "wire/ip_text.h"

struct endpoint endpoint_read(const struct sockaddr *address)
{
    struct endpoint endpoint = {.kind = ENDPOINT_UNKNOWN};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        ip_map_v4(endpoint.ip, (const uint8_t *)&v4.sin_addr);
        endpoint.port = ntohs(v4.sin_port);
        endpoint.kind = ENDPOINT_IP;
    } else if (address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof(v6));
        memcpy(endpoint.ip, &v6.sin6_addr, sizeof(endpoint.ip));
        endpoint.port = ntohs(v6.sin6_port);
        endpoint.kind = ENDPOINT_IP;
    } else if (address->sa_family == AF_UNIX) {
        endpoint.kind = ENDPOINT_UNIX;
    }
    return endpoint;
}

struct endpoint endpoint_of_peer(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);

    (void)getpeername(fd, (struct sockaddr *)&address, &size);
    return endpoint_read((struct sockaddr *)&address);
}

void endpoint_format(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_SIZE])
{
    static const char *const others[] = {
        [ENDPOINT_UNKNOWN] = "unknown", [ENDPOINT_UNIX] = "unix", [ENDPOINT_LOCAL] = "local"};
    char host[INET6_ADDRSTRLEN];
    bool is_v4 = ip_is_v4(endpoint->ip);

    if (endpoint->kind != ENDPOINT_IP) {
        snprintf(out, ENDPOINT_TEXT_SIZE, "%s", others[endpoint->kind]);
        return;
    }
    inet_ntop(is_v4 ? AF_INET : AF_INET6, endpoint->ip + (is_v4 ? 12 : 0), host, sizeof(host));
    snprintf(out, ENDPOINT_TEXT_SIZE, is_v4 ? "%s:%u" : "[%s]:%u", host, endpoint->port);
}
