/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The header of the PROXY protocol, version 1 (a line of text) and 2 (binary), as HAProxy's
 * proxy-protocol.txt has it: by it a load balancer tells whom a connection comes from. Pure;
 * strict: only who is trusted may send one, and who sends it otherwise is not who he is taken for.
 */
#ifndef WIRE_PROXY_H
#define WIRE_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_V1_MAX_HEADER 107 /* with its CR LF */
#define PROXY_V2_MIN_HEADER 16  /* signature, command, family, length */

/* The longest that is taken: addresses, and what load balancers add of their own, is some hundred
 * bytes. */
#define PROXY_MAX_HEADER 4096

struct proxy_header {
    unsigned version;
    /* False where the connection is the proxy's own (LOCAL), or the proxy does not know or tell an
     * IP address (UNKNOWN, UNSPEC, UNIX): then the socket's peer counts. */
    bool has_source;
    uint8_t source[16]; /* of the client; IPv4 as IPv6 maps it */
    uint16_t port;
};

/*
 * Reads a header. Call it again with the same buffer and more bytes behind while it returns 0: that
 * costs next to nothing until the header is whole.
 *
 * Returns the size of the header (what follows it is the client's), 0 when it is not complete,
 * -E2BIG when it is version 2 and exceeds PROXY_MAX_HEADER, -EBADMSG when it is malformed in any
 * other way. What cannot become a header is refused with the first byte that tells. The fields of
 * type, length and value of version 2 must fit their frame; they are skipped, but for a CRC32C,
 * which must be right. What comes with LOCAL is skipped unseen.
 */
int proxy_header_parse(struct proxy_header *out, const uint8_t *bytes, size_t len)
    __attribute__((warn_unused_result));

#endif
