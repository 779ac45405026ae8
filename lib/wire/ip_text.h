/* SPDX-License-Identifier: BSD-3-Clause */
/* IP addresses as text (RFC 4291 section 2.2). Pure. */
#ifndef WIRE_IP_TEXT_H
#define WIRE_IP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each reads a text, which need not be terminated, and takes no other form than inet_pton() does.
 * The first writes the form in which IPv6 maps an IPv4 address (RFC 4291 section 2.5.5.2). */
bool ip_text_v4(const char *text, size_t len, uint8_t out[16]) __attribute__((warn_unused_result));
bool ip_text_v6(const char *text, size_t len, uint8_t out[16]) __attribute__((warn_unused_result));

/* Writes four bytes as IPv6 maps them. */
void ip_map_v4(uint8_t out[16], const uint8_t bytes[4]);

/* Whether 16 bytes are such an IPv4 address, which then is the last four. */
bool ip_is_v4(const uint8_t bytes[16]);

#endif
