/* SPDX-License-Identifier: BSD-3-Clause */
/* Where another node of the region is, as operators type it. Pure. */
#ifndef RELAY_LINK_ADDRESS_H
#define RELAY_LINK_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#define LINK_HOST_SIZE 256 /* a host's name or address, with its NUL */

struct link_address {
    char host[LINK_HOST_SIZE];           /* the certificate is for it; without brackets */
    char dial[LINK_HOST_SIZE];           /* to connect to; the same unless given */
    char authority[LINK_HOST_SIZE + 16]; /* for the Host header: the port only if it is not usual */
    uint16_t port;
    bool tls;
};

/* Reads "HOST", "HOST:PORT", either with "/DIALHOST", "https://HOST:PORT", "http://HOST:PORT". 0 or
 * -EINVAL. */
int link_address_parse(struct link_address *out, const char *text)
    __attribute__((warn_unused_result));

#endif
