/* SPDX-License-Identifier: BSD-3-Clause */
/* The public headers from C++: they compile without a warning, and their functions link. */
#include <hyperderp/hyperderp.h>

#include <cstdio>
#include <cstring>

int main()
{
    hyperderp_relay_options options;
    hyperderp_relay *relay = nullptr;
    hyperderp_key key;

    hyperderp_relay_options_init(&options);
    options.admit = [](void *, const hyperderp_client_info *, hyperderp_admission *) {
        return HYPERDERP_DENY;
    };
    if (std::strcmp(hyperderp_version(), HYPERDERP_VERSION) != 0)
        return 1;
    if (hyperderp_relay_new(&relay, &options) != 0)
        return 2;
    hyperderp_relay_public_key(relay, &key);
    bool made = !hyperderp_key_is_zero(&key);
    hyperderp_relay_free(relay);
    std::puts(hyperderp_version());
    return made ? 0 : 3;
}
