/* SPDX-License-Identifier: BSD-3-Clause */
/* The embedder's options: read whatever their size, checked, defaults filled in. */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include <hyperderp/relay.h>

/* Copies what the embedder's struct has, which may be older (shorter) or newer (longer) than ours,
 * and fills in defaults. NULL gives the defaults. 0, or -EINVAL for a value out of range. */
int options_read(hyperderp_relay_options *out, const hyperderp_relay_options *options);
/* The limits among the options. */
hyperderp_limits options_limits(const hyperderp_relay_options *options);

/* Fills in the defaults of limits and checks them: 0 or -EINVAL. */
int options_check_limits(hyperderp_limits *limits, unsigned workers);

int options_read_listener(hyperderp_listener_options *out,
                          const hyperderp_listener_options *options);

#endif
