/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file hyperderp.h
 * A DERP relay inside your program: the whole public API of libhyperderp. A DERP relay passes
 * encrypted packets between VPN peers that cannot reach each other directly. The program around it
 * decides where to listen and who may join, and reads the counters; the library moves the packets.
 * A client of such relays is in client.h.
 *
 * @par Conventions
 * Errors are returned as 0 or a negative errno, and errno itself says nothing. A NULL that is not
 * said to be allowed, and a number, an enum or a size out of range give -EINVAL; what is not the
 * moment for a call gives -EBUSY, or what its comment says. Functions that return no error do
 * nothing then; what they should have filled in is zero or "", and what they return says no, 0,
 * NULL or "unknown". Two things cannot be noticed: a pointer to what was freed already, and an
 * hyperderp_admission that was answered already.
 *
 * Structs that begin with `size` grow at their end. Their initialiser, or you, set it to the bytes
 * that your header knows, and all else to zero. A library that is newer takes what you do not know
 * as not set. One that is older takes your struct as long as what it does not know is zero, and
 * answers -E2BIG when you ask for more than it can; -E2BIG is also what a size beyond 4096 gives,
 * which nobody has set. Of structs that it fills in it fills what both know, and leaves the rest as
 * it is: set that to zero before the call if an older library is possible.
 *
 * Callbacks: see relay.h. What they may not call with their own relay answers -EBUSY there, or,
 * where there is no return value, does nothing and says so in the log.
 *
 * Memory: see allocator.h. The allocator is the only thing that relays of one process share,
 * besides what OpenSSL and libsodium keep for themselves; else the library has no global state.
 *
 * Functions that end in `_sized` are called through the macro of the same name without it, which
 * adds the size; from other languages than C and C++ they are called themselves.
 *
 * fork(): every file descriptor of the library is closed by an exec. A child that does not exec has
 * copies of a relay without its workers, locked as it happened to be: it must not touch the relay
 * or anything else of the library but the functions of key.h, also not free it, and should exec or
 * _exit(). The parent's relays do not notice. A process that wants to be a daemon forks before it
 * makes a relay.
 *
 * @par Example
 * A relay that everybody may join, until somebody types a line:
 * @code
 * #include <hyperderp/hyperderp.h>
 * #include <stdio.h>
 *
 * int main(void)
 * {
 *     hyperderp_relay *relay;
 *     hyperderp_listener_options listener;
 *
 *     if (hyperderp_relay_new(&relay, NULL) < 0)
 *         return 1;
 *     hyperderp_listener_options_init(&listener);
 *     listener.address = "127.0.0.1:3340";
 *     if (hyperderp_relay_add_listener(relay, &listener) < 0 ||
 *         hyperderp_relay_start(relay) < 0) {
 *         hyperderp_relay_free(relay);
 *         return 1;
 *     }
 *     getchar();
 *     hyperderp_relay_drain(relay, 5000);
 *     hyperderp_relay_free(relay);
 *     return 0;
 * }
 * @endcode
 *
 * It is built like this:
 * @code
 * cc -o relay relay.c $(pkg-config --cflags --libs libhyperderp)
 * @endcode
 */
#ifndef HYPERDERP_H
#define HYPERDERP_H

#include <hyperderp/allocator.h>
#include <hyperderp/client.h>
#include <hyperderp/counters.h>
#include <hyperderp/key.h>
#include <hyperderp/local.h>
#include <hyperderp/mesh.h>
#include <hyperderp/packet.h>
#include <hyperderp/relay.h>
#include <hyperderp/tls.h>
#include <hyperderp/version.h>

#endif
