/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file key.h
 * Node keys: the Curve25519 key pairs by which DERP names its peers and relays. All memory is the
 * caller's.
 *
 * All functions here are pure but for hyperderp_private_key_generate(), which draws from the
 * system's random source.
 *
 * @par Threads
 * Any thread may call them at any time, callbacks of a relay included.
 */
#ifndef HYPERDERP_KEY_H
#define HYPERDERP_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include <hyperderp/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of a raw key, public or private. */
#define HYPERDERP_KEY_SIZE 32

/** Bytes of a mesh key, the secret that the relays of a region share. */
#define HYPERDERP_MESH_KEY_SIZE 32

/** Room for the text of a public key: "nodekey:", 64 hexadecimal digits and a NUL. */
#define HYPERDERP_KEY_TEXT_SIZE 73

/** Room for the text of a private key: "privkey:", 64 hexadecimal digits and a NUL. */
#define HYPERDERP_PRIVATE_KEY_TEXT_SIZE 73

/** A public node key: the identity of a peer, or of the relay itself. */
typedef struct hyperderp_key {
    uint8_t bytes[HYPERDERP_KEY_SIZE]; /**< the key as it is on the wire */
} hyperderp_key;

/** A private node key. Wipe it with hyperderp_private_key_wipe() when it is no longer needed; a
 * relay wipes its own copies when it is freed. */
typedef struct hyperderp_private_key {
    uint8_t bytes[HYPERDERP_KEY_SIZE]; /**< the key, clamped as RFC 7748 asks or not */
} hyperderp_private_key;

/**
 * @name Public keys
 * @par Example
 * @code
 * hyperderp_private_key private_key;
 * hyperderp_key key;
 * char text[HYPERDERP_KEY_TEXT_SIZE];
 *
 * if (hyperderp_private_key_generate(&private_key) == 0) {
 *     hyperderp_private_key_public(&private_key, &key);
 *     hyperderp_key_format(&key, text);
 *     puts(text);
 * }
 * hyperderp_private_key_wipe(&private_key);
 * @endcode
 */
/**@{*/

/**
 * Reads a public key from its text form.
 *
 * @param out   receives the key; untouched on error.
 * @param text  "nodekey:" and 64 hexadecimal digits of either case, or the digits alone; nothing
 *              may follow them.
 * @return 0, or -EINVAL when an argument is NULL or the text has another form.
 */
HYPERDERP_API int hyperderp_key_parse(hyperderp_key *out, const char *text);

/**
 * Writes the text form of a public key, "nodekey:" and 64 lower-case hexadecimal digits.
 *
 * @param key   the key.
 * @param text  receives HYPERDERP_KEY_TEXT_SIZE bytes, the last of them a NUL; "" for a key of
 * NULL.
 */
HYPERDERP_API void hyperderp_key_format(const hyperderp_key *key,
                                        char text[HYPERDERP_KEY_TEXT_SIZE]);

/**
 * Tells whether two keys are the same, in a time that does not depend on their contents; NULL is
 * the same as nothing.
 *
 * @param a  a key.
 * @param b  another.
 * @return true when all their bytes are the same.
 */
HYPERDERP_API bool hyperderp_key_equal(const hyperderp_key *a, const hyperderp_key *b);

/** Tells whether all bytes of a key are zero: such a key names nobody, and neither does
 * NULL. Constant time. */
HYPERDERP_API bool hyperderp_key_is_zero(const hyperderp_key *key);

/**@}*/

/** @name Private keys */
/**@{*/

/**
 * Makes a new private key, clamped as Curve25519 asks (RFC 7748, section 5).
 *
 * @param out  receives the key; all zero when there are no random bytes.
 * @return 0; -EINVAL when out is NULL; -EIO when the system gives no random bytes.
 */
HYPERDERP_API int hyperderp_private_key_generate(hyperderp_private_key *out);

/**
 * Reads a private key from its text form.
 *
 * @param out   receives the key; untouched on error.
 * @param text  "privkey:" and 64 hexadecimal digits of either case, or the digits alone. The key is
 *              taken as it stands, whether it is clamped or not.
 * @return 0, or -EINVAL when an argument is NULL or the text has another form.
 */
HYPERDERP_API int hyperderp_private_key_parse(hyperderp_private_key *out, const char *text);

/**
 * Writes the text form of a private key. The text is as secret as the key.
 *
 * @param key   the key.
 * @param text  receives HYPERDERP_PRIVATE_KEY_TEXT_SIZE bytes, the last of them a NUL; "" for a key
 *              of NULL.
 */
HYPERDERP_API void hyperderp_private_key_format(const hyperderp_private_key *key,
                                                char text[HYPERDERP_PRIVATE_KEY_TEXT_SIZE]);

/**
 * Computes the public key that belongs to a private one; zeros for NULL.
 *
 * @param key  the private key.
 * @param out  receives the public one.
 */
HYPERDERP_API void hyperderp_private_key_public(const hyperderp_private_key *key,
                                                hyperderp_key *out);

/** Overwrites a private key so that no copy is left where it stood. NULL is allowed. */
HYPERDERP_API void hyperderp_private_key_wipe(hyperderp_private_key *key);

/**@}*/

#ifdef __cplusplus
}
#endif

#endif
