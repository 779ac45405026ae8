/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handshake driver with hostile bytes: the first byte says in what pieces they come. It ends
 * done or failed within its bound, never hands out keys before it is done, and what it sends is
 * whole records.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "tls/handshake.h"

static struct tls_server *server(void)
{
    static struct tls_server *made;
    hyperderp_certificate *certificate;
    char fault[HYPERDERP_FAULT_SIZE];

    if (!made) {
        REQUIRE(hyperderp_certificate_make(&certificate, "derp.example.com", 3650) == 0);
        REQUIRE(tls_server_new(&made, certificate, NULL, NULL, NULL, fault) == 0);
        hyperderp_certificate_free(certificate);
    }
    return made;
}

/* What goes out before the keys are changed is a plain record, later an encrypted one. */
static void require_records(const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        REQUIRE(len >= TLS_HEADER_SIZE);
        REQUIRE(bytes[0] >= 20 && bytes[0] <= 23); /* the version says nothing */
        size_t size = TLS_HEADER_SIZE + ((size_t)bytes[3] << 8 | bytes[4]);
        REQUIRE(size <= len && size <= TLS_MAX_RECORD);
        bytes += size;
        len -= size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct tls_handshake *handshake = tls_handshake_new(server());
    REQUIRE(handshake);
    size_t piece = data[0] ? data[0] : size, total = 0;
    enum tls_progress progress = TLS_PROGRESS_MORE;
    const uint8_t *out;

    (void)tls_looks_like_client_hello(data + 1, size - 1);
    for (size_t at = 1; at < size && progress == TLS_PROGRESS_MORE; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        total += len;
        progress = tls_handshake_input(handshake, data + at, len);
        size_t out_len = tls_handshake_output(handshake, &out);
        if (out_len > 0)
            require_records(out, out_len);
        /* Without the client's own secret nobody gets as far as that. */
        REQUIRE(progress != TLS_PROGRESS_DONE);
        REQUIRE(progress != TLS_PROGRESS_MORE || total <= TLS_MAX_HANDSHAKE_INPUT);
        REQUIRE((progress == TLS_PROGRESS_FAILED) == (tls_handshake_fault(handshake)[0] != '\0'));
    }
    tls_handshake_free(handshake);
    return 0;
}
