/* SPDX-License-Identifier: BSD-3-Clause */
/* What is UTF-8 and what is not (RFC 3629). */
#ifndef WIRE_UTF8_H
#define WIRE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the UTF-8 character that text begins with; 0 when it does not begin with one. len is at
 * least 1. */
size_t utf8_size(const uint8_t *text, size_t len);

#define UTF8_MAX_SIZE 4 /* bytes of a character */

/* Copies a text of somebody else's so that it may stand in a log line: control characters and what
 * is not UTF-8 become '?', and what does not fit into max bytes and a NUL is cut off between two
 * characters. */
void utf8_copy_printable(char *out, size_t max, const char *text, size_t len);

#endif
