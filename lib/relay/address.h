/* SPDX-License-Identifier: BSD-3-Clause */
/* From an address that people type to a socket that is bound to it. */
#ifndef RELAY_ADDRESS_H
#define RELAY_ADDRESS_H

/* Binds a new socket of this type to "HOST:PORT", "[IPV6]:PORT" or ":PORT", the last for every IPv6
 * and IPv4 address. Returns it, or -errno; -EINVAL for another form, -ENOENT when there is no such
 * host. */
int address_bind(const char *address, int type);

/* What such an error says, and what an operator may do about it: "; ...", or "". */
const char *address_error(int error);
const char *address_advice(int error);

#endif
