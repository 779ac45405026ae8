/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing and checking the test packets. Both run for every packet, so the bytes come from one
 * addition per eight of them, in rows that a compiler turns into vector instructions. */
#include "payload.h"

#include <errno.h>
#include <string.h>

#define STEP 0x9e3779b97f4a7c15u /* odd, so that no two words of a packet are the same */
#define ROW  8                   /* words */

#define MEASURED ((uint64_t)1 << 63)

/* The fields as they stand at the start of a packet. */
struct head {
    uint32_t sender;
    uint32_t check;
    uint64_t sequence; /* and MEASURED */
    uint64_t due_ns;
};

_Static_assert(sizeof(struct head) == PAYLOAD_MIN_SIZE, "the head has no padding");

/* The finalizer of MurmurHash3: each bit of the input changes half of the output's. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

static uint64_t seed_of(const struct head *head, uint32_t receiver, size_t size)
{
    uint64_t seed = mix(head->due_ns + STEP * (receiver + (uint64_t)1));

    seed = mix(seed ^ head->sequence);
    return mix(seed ^ ((uint64_t)head->sender << 32 | size));
}

/* The first words behind the head. */
static void first_row(uint64_t row[ROW], uint64_t seed)
{
    for (unsigned i = 0; i < ROW; i++)
        row[i] = seed + (i + 1) * STEP;
}

static void next_row(uint64_t row[ROW])
{
    for (unsigned i = 0; i < ROW; i++)
        row[i] += ROW * STEP;
}

void payload_write(uint8_t *out, size_t size, const struct payload *payload)
{
    struct head head = {
        .sender = payload->sender,
        .sequence = payload->sequence | (payload->measured ? MEASURED : 0),
        .due_ns = payload->due_ns,
    };
    uint64_t seed = seed_of(&head, payload->receiver, size), row[ROW];
    size_t at = sizeof(head);

    head.check = (uint32_t)seed;
    memcpy(out, &head, sizeof(head));
    for (first_row(row, seed); at + sizeof(row) <= size; at += sizeof(row)) {
        memcpy(out + at, row, sizeof(row));
        next_row(row);
    }
    memcpy(out + at, row, size - at);
}

int payload_read(const uint8_t *in, size_t size, uint32_t receiver, struct payload *payload)
{
    struct head head;
    uint64_t seed, row[ROW], got[ROW], wrong[ROW] = {0}, any;
    size_t at = sizeof(head);

    if (size < PAYLOAD_MIN_SIZE)
        return -EBADMSG;
    memcpy(&head, in, sizeof(head));
    *payload = (struct payload){
        .sender = head.sender,
        .receiver = receiver,
        .sequence = head.sequence & ~MEASURED,
        .due_ns = head.due_ns,
        .measured = (head.sequence & MEASURED) != 0,
    };
    seed = seed_of(&head, receiver, size);
    any = head.check ^ (uint32_t)seed;
    for (first_row(row, seed); at + sizeof(row) <= size; at += sizeof(row)) {
        memcpy(got, in + at, sizeof(got));
        for (unsigned i = 0; i < ROW; i++)
            wrong[i] |= got[i] ^ row[i];
        next_row(row);
    }
    for (unsigned i = 0; i < ROW; i++)
        any |= wrong[i];
    return any != 0 || memcmp(in + at, row, size - at) != 0 ? -EBADMSG : 0;
}
