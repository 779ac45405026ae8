/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of libcurl's functions. */
#include "curl_library.h"

#include <errno.h>

#include "log.h"
#include "optional_library.h"

struct curl_library curl;

int curl_library_load(void)
{
    /* One ABI; Debian has it with OpenSSL and with GnuTLS, which may be the only one there is. */
    static const char *const sonames[] = {"libcurl.so.4", "libcurl-gnutls.so.4", NULL};
#define CURL_FUNCTION(name) {"curl_" #name, &curl.name},
    static const struct library_function functions[] = {CURL_FUNCTIONS(CURL_FUNCTION)};
#undef CURL_FUNCTION

    static const char purpose[] = "access.verify_client_url and access.tailscaled_socket";
    int error = optional_library_load(sonames, functions, sizeof(functions) / sizeof(functions[0]),
                                      purpose);

    if (error)
        return error;
    const curl_version_info_data *version = curl.version_info(CURLVERSION_NOW);
    if (version->version_num < CURL_OLDEST) {
        log_print(HYPERDERP_LOG_ERROR, "%s needs libcurl 7.85, here is %s: install a newer one",
                  purpose, version->version);
        return -ELIBACC;
    }
    return 0;
}
