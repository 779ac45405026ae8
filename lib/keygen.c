/* SPDX-License-Identifier: BSD-3-Clause */
/* New private keys. Apart from the other functions on keys, as these need nothing of the system. */
#include <errno.h>
#include <sys/random.h>

#include <hyperderp/key.h>

int hyperderp_private_key_generate(hyperderp_private_key *out)
{
    if (!out)
        return -EINVAL;
    /* libsodium's generator ends the process when the system has no random bytes to give; a
     * library must not do that to the program it is part of. */
    if (getentropy(out->bytes, HYPERDERP_KEY_SIZE) != 0) {
        hyperderp_private_key_wipe(out);
        return -EIO;
    }
    out->bytes[0] &= 0xf8;
    out->bytes[31] &= 0x7f;
    out->bytes[31] |= 0x40;
    return 0;
}
