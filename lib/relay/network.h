/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks, as people write them: "10.0.0.0/8", "2001:db8::/32", or one address. */
#ifndef RELAY_NETWORK_H
#define RELAY_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

struct network {
    uint8_t ip[16]; /* IPv4 as IPv6 maps it */
    uint8_t bits;   /* of these 16 bytes */
};

/* Reads a network; bits behind its mask are let go. */
bool network_parse(struct network *out, const char *text) __attribute__((warn_unused_result));

/* Whether an address, IPv4 as IPv6 maps it, belongs to a network. Networks of IPv6 hold none of
 * IPv4, though they could by their bits: who writes ::/0 does not mean 192.0.2.1. */
bool network_contains(const struct network *network, const uint8_t ip[16]);

#endif
