/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames: the input is what a client sends, frame after frame. What is announced is checked against
 * a second writing of the bounds, and what the relay would answer is read back.
 */
#include <errno.h>

#include "fuzz.h"
#include "wire/frame.h"

static int expected(uint8_t type, uint64_t length)
{
    uint64_t min = 0;
    uint64_t max = 1048576;

    if (type == 0x02)
        min = 72, max = 16384;
    else if (type == 0x04)
        min = 32, max = 65568;
    else if (type == 0x07)
        min = 1, max = 1;
    else if (type == 0x0a)
        min = 64, max = 65600;
    else if (type == 0x10)
        max = 0;
    else if (type == 0x11)
        min = 32, max = 32;
    else if (type == 0x12 || type == 0x13)
        min = 8, max = 1000;
    return length > max ? -EMSGSIZE : length < min ? -EBADMSG : 0;
}

static void require_frame(const uint8_t *frame, size_t size, uint8_t type)
{
    struct frame_header header;

    REQUIRE(frame_header_decode(frame, size, &header) == FRAME_HEADER_SIZE);
    REQUIRE(header.type == type);
    REQUIRE(header.length == size - FRAME_HEADER_SIZE);
}

/* The frames a relay answers with, written to memory of their exact size. */
static void answers(const uint8_t *payload, size_t len)
{
    hyperderp_key key;

    if (len >= FRAME_PING_SIZE) {
        uint8_t *pong = malloc(FRAME_PONG_SIZE);
        REQUIRE(pong && frame_encode_pong(pong, payload) == FRAME_PONG_SIZE);
        require_frame(pong, FRAME_PONG_SIZE, FRAME_PONG);
        REQUIRE(memcmp(pong + FRAME_HEADER_SIZE, payload, FRAME_PING_SIZE) == 0);
        free(pong);
    }
    if (len >= sizeof(key)) {
        uint8_t *gone = malloc(FRAME_PEER_GONE_SIZE);
        memcpy(&key, payload, sizeof(key));
        REQUIRE(gone &&
                frame_encode_peer_gone(gone, &key, PEER_GONE_NOT_HERE) == FRAME_PEER_GONE_SIZE);
        require_frame(gone, FRAME_PEER_GONE_SIZE, FRAME_PEER_GONE);
        REQUIRE(memcmp(gone + FRAME_HEADER_SIZE, payload, sizeof(key)) == 0);
        REQUIRE(gone[FRAME_PEER_GONE_SIZE - 1] == 1);
        free(gone);
    }
    bool disco = packet_is_disco(payload, len);
    REQUIRE(!disco || (len >= 62 && memcmp(payload, "TS\xf0\x9f\x92\xac", 6) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size > 0) {
        struct frame_header header = {0xee, 0};
        uint8_t *copy = fuzz_copy(data, size < FRAME_HEADER_SIZE ? size : FRAME_HEADER_SIZE);
        size_t used = frame_header_decode(copy, size, &header);
        uint8_t again[FRAME_HEADER_SIZE];

        free(copy);
        if (used == 0) {
            REQUIRE(size < FRAME_HEADER_SIZE);
            break;
        }
        REQUIRE(used == FRAME_HEADER_SIZE);
        frame_header_encode(again, header.type, header.length);
        REQUIRE(memcmp(again, data, sizeof(again)) == 0);
        REQUIRE(strlen(frame_type_name(header.type)) > 3);
        REQUIRE(frame_check_from_client(&header) == expected(header.type, header.length));

        data += used;
        size -= used;
        size_t len = header.length < size ? header.length : size;
        uint8_t *payload = fuzz_copy(data, len);
        answers(payload, len);
        free(payload);
        data += len;
        size -= len;
    }
    return 0;
}
