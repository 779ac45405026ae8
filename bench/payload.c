/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing and checking the test packets. Both run for every packet, so the bytes come from one
 * addition per eight of them, in rows of vectors. */
#include "payload.h"

#include <errno.h>
#include <string.h>

#define STEP 0x9e3779b97f4a7c15u /* odd, so that no two words of a packet are the same */

/* Two words, in a vector as each 64-bit processor has them: SSE2, NEON. */
typedef uint64_t words __attribute__((vector_size(16)));

/* Eight words. They stay in registers as long as nothing takes them for an array of bytes: each
 * vector is stored and loaded by itself. */
struct row {
    words a, b, c, d;
};

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
static struct row first_row(uint64_t seed)
{
    return (struct row){
        .a = {seed + 1 * STEP, seed + 2 * STEP},
        .b = {seed + 3 * STEP, seed + 4 * STEP},
        .c = {seed + 5 * STEP, seed + 6 * STEP},
        .d = {seed + 7 * STEP, seed + 8 * STEP},
    };
}

static void next_row(struct row *row)
{
    row->a += 8 * STEP;
    row->b += 8 * STEP;
    row->c += 8 * STEP;
    row->d += 8 * STEP;
}

static void store_row(uint8_t *out, const struct row *row)
{
    memcpy(out, &row->a, sizeof(words));
    memcpy(out + sizeof(words), &row->b, sizeof(words));
    memcpy(out + 2 * sizeof(words), &row->c, sizeof(words));
    memcpy(out + 3 * sizeof(words), &row->d, sizeof(words));
}

static void load_row(struct row *row, const uint8_t *in)
{
    memcpy(&row->a, in, sizeof(words));
    memcpy(&row->b, in + sizeof(words), sizeof(words));
    memcpy(&row->c, in + 2 * sizeof(words), sizeof(words));
    memcpy(&row->d, in + 3 * sizeof(words), sizeof(words));
}

/* Notes in `wrong` the bits in which two rows differ. */
static void note_difference(struct row *wrong, const struct row *got, const struct row *row)
{
    wrong->a |= got->a ^ row->a;
    wrong->b |= got->b ^ row->b;
    wrong->c |= got->c ^ row->c;
    wrong->d |= got->d ^ row->d;
}

static bool is_zero(const struct row *row)
{
    words any = row->a | row->b | row->c | row->d;

    return (any[0] | any[1]) == 0;
}

void payload_write(uint8_t *out, size_t size, const struct payload *payload)
{
    struct head head = {
        .sender = payload->sender,
        .sequence = payload->sequence | (payload->measured ? MEASURED : 0),
        .due_ns = payload->due_ns,
    };
    uint64_t seed = seed_of(&head, payload->receiver, size);
    struct row row = first_row(seed);
    uint8_t rest[sizeof(row)];
    size_t at = sizeof(head);

    head.check = (uint32_t)seed;
    memcpy(out, &head, sizeof(head));
    for (; at + sizeof(row) <= size; at += sizeof(row)) {
        store_row(out + at, &row);
        next_row(&row);
    }
    store_row(rest, &row);
    memcpy(out + at, rest, size - at);
}

int payload_read(const uint8_t *in, size_t size, uint32_t receiver, struct payload *payload)
{
    struct row row, got, wrong = {0};
    uint8_t rest[sizeof(row)];
    size_t at = sizeof(struct head);
    struct head head;
    uint64_t seed;

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
    for (row = first_row(seed); at + sizeof(row) <= size; at += sizeof(row)) {
        load_row(&got, in + at);
        note_difference(&wrong, &got, &row);
        next_row(&row);
    }
    if (head.check != (uint32_t)seed || !is_zero(&wrong))
        return -EBADMSG;
    store_row(rest, &row);
    return memcmp(in + at, rest, size - at) == 0 ? 0 : -EBADMSG;
}
