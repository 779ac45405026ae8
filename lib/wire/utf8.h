/* SPDX-License-Identifier: BSD-3-Clause */
/* What is UTF-8 and what is not (RFC 3629). */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the UTF-8 character that text begins with; 0 when it does not begin with one. len is at
 * least 1. */
size_t utf8_size(const uint8_t *text, size_t len);

#endif
