/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Datagrams on the port of STUN. What is taken for a request has the marks of one, by another
 * reading of the bytes; its answer is small, carries its transaction and tells the address that the
 * first bytes of the input make.
 */
#include <errno.h>
#include <stdbool.h>

#include "fuzz.h"
#include "wire/stun.h"

static void require_request(const uint8_t *bytes, size_t size)
{
    static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};
    size_t at = STUN_HEADER_SIZE;
    bool ended = false;

    REQUIRE(size >= STUN_HEADER_SIZE && size <= STUN_MAX_REQUEST);
    REQUIRE(bytes[0] == 0 && bytes[1] == 1);
    REQUIRE((size_t)(bytes[2] * 256 + bytes[3]) + STUN_HEADER_SIZE == size);
    REQUIRE(memcmp(bytes + 4, cookie, sizeof(cookie)) == 0);
    while (at < size) {
        REQUIRE(!ended && size - at >= 4);
        size_t len = (size_t)(bytes[at + 2] * 256 + bytes[at + 3]);
        ended = bytes[at] == 0x80 && bytes[at + 1] == 0x28;
        REQUIRE(!ended || len == 4);
        at += 4 + (len + 3) / 4 * 4;
    }
    REQUIRE(at == size);
}

static void require_answer(const struct stun_request *request, const struct stun_address *address,
                           const uint8_t *asked)
{
    uint8_t out[STUN_MAX_ANSWER];
    size_t size = stun_answer(out, request, address);
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is_mapped = address->size == 16 && memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
    size_t told = is_mapped ? 4 : address->size;
    const uint8_t *bytes = address->bytes + (is_mapped ? sizeof(mapped) : 0);

    REQUIRE(size == STUN_HEADER_SIZE + 8 + told);
    REQUIRE(out[0] == 1 && out[1] == 1);
    REQUIRE(memcmp(out + 4, asked + 4, STUN_HEADER_SIZE - 4) == 0);
    for (size_t i = 0; i < told; i++)
        REQUIRE((out[28 + i] ^ asked[4 + i]) == bytes[i]);
    REQUIRE(((out[26] ^ asked[4]) << 8 | (out[27] ^ asked[5])) == address->port);
    /* No server takes it for a request. */
    REQUIRE(stun_request_parse(&(struct stun_request){{0}}, out, size) == -EOPNOTSUPP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stun_address address = {.size = 4};
    struct stun_request request;
    uint8_t *copy = fuzz_copy(data, size);
    int result = stun_request_parse(&request, copy, size);

    REQUIRE(result == 0 || result == -EBADMSG || result == -EOPNOTSUPP);
    if (result == 0) {
        require_request(copy, size);
        REQUIRE(memcmp(request.transaction, copy + 8, STUN_TRANSACTION_SIZE) == 0);
        memcpy(address.bytes, copy + 4, 16);
        address.port = (uint16_t)(copy[8] * 256 + copy[9]);
        require_answer(&request, &address, copy);
        address.size = 16;
        require_answer(&request, &address, copy);
    }
    free(copy);
    return 0;
}
