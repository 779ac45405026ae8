/* SPDX-License-Identifier: BSD-3-Clause */
/* Hexadecimal digits in certificates and pins. For lib/tls alone. */
#ifndef TLS_HEX_H
#define TLS_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Reads hexadecimal digits in pairs, at most 2 * room of them; tells how many bytes they are, 0 for
 * what is none or too much. */
size_t tls_read_hex(const char *hex, size_t digits, uint8_t *out, size_t room);

#endif
