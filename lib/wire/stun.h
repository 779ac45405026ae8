/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STUN (RFC 8489): binding requests, by which clients ask how the world sees them, and the answers.
 * Without authentication, which this use of it has not. Pure: bytes in, bytes out.
 */
#ifndef WIRE_STUN_H
#define WIRE_STUN_H

#include <stddef.h>
#include <stdint.h>

#define STUN_HEADER_SIZE      20
#define STUN_TRANSACTION_SIZE 12

/* The longest request that is looked at: more does not fit a path of IPv6 for sure (RFC 8489
 * section 6.1). */
#define STUN_MAX_REQUEST 1280

/* Header and XOR-MAPPED-ADDRESS: 32 bytes for IPv4, 44 for IPv6. */
#define STUN_MAX_ANSWER (STUN_HEADER_SIZE + 4 + 20)

struct stun_request {
    uint8_t transaction[STUN_TRANSACTION_SIZE];
};

struct stun_address {
    uint8_t bytes[16]; /* IPv4: the first four */
    uint8_t size;      /* 4 or 16 */
    uint16_t port;
};

/*
 * Reads a datagram. 0 for a binding request to be answered; -EBADMSG when it is no well-formed
 * message of STUN, or its FINGERPRINT is wrong; -EOPNOTSUPP when it is one, but no binding request,
 * or has an attribute that must be understood and is not. Nothing but requests is ever answered, so
 * that two servers cannot keep each other busy.
 */
int stun_request_parse(struct stun_request *out, const uint8_t *bytes, size_t len)
    __attribute__((warn_unused_result));

/* Writes the answer, which tells the address; one that IPv6 maps IPv4 into is told as IPv4. Returns
 * its size. */
size_t stun_answer(uint8_t out[STUN_MAX_ANSWER], const struct stun_request *request,
                   const struct stun_address *address);

#endif
