/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file hyperderp.h
 * The whole public API of libhyperderp: an embeddable DERP relay, and a client.
 */
#ifndef HYPERDERP_H
#define HYPERDERP_H

#include <hyperderp/client.h>
#include <hyperderp/counters.h>
#include <hyperderp/key.h>
#include <hyperderp/mesh.h>
#include <hyperderp/relay.h>
#include <hyperderp/tls.h>
#include <hyperderp/version.h>

#endif
