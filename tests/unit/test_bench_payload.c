/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's packets: whatever happens to one on its way is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../../bench/payload.c"

#define RECEIVER 8

static const struct payload sample = {
    .sender = 7, .receiver = RECEIVER, .sequence = 123456, .due_ns = 987654321, .measured = true};

/* Sizes around the words that a packet is made of, and the largest. */
static const size_t sizes[] = {24, 25, 31, 32, 33, 39, 40, 47, 64, 1400, 1401, 65536};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        uint8_t *packet = malloc(sizes[i]); /* exact, for the sanitizers */
        struct payload got;

        assert_non_null(packet);
        payload_write(packet, sizes[i], &sample);
        assert_int_equal(payload_read(packet, sizes[i], RECEIVER, &got), 0);
        assert_int_equal(got.sender, sample.sender);
        assert_int_equal(got.receiver, RECEIVER);
        assert_true(got.measured);
        assert_int_equal(got.sequence, sample.sequence);
        assert_int_equal(got.due_ns, sample.due_ns);
        free(packet);
    }
}

static void every_changed_bit_is_seen(void **state)
{
    uint8_t packet[24 + 2 * 64 + 13]; /* two rows of words and a part */
    struct payload got;

    (void)state;
    payload_write(packet, sizeof(packet), &sample);
    for (size_t bit = 0; bit < 8 * sizeof(packet); bit++) {
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(payload_read(packet, sizeof(packet), RECEIVER, &got), -EBADMSG);
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(payload_read(packet, sizeof(packet), RECEIVER, &got), 0);
}

/* A packet that came to another connection than it was for is damaged. */
static void another_receiver_is_seen(void **state)
{
    uint8_t packet[40];
    struct payload got;

    (void)state;
    payload_write(packet, sizeof(packet), &sample);
    for (uint32_t receiver = 0; receiver < 1000; receiver++)
        assert_int_equal(payload_read(packet, sizeof(packet), receiver, &got),
                         receiver == RECEIVER ? 0 : -EBADMSG);
}

static void measured_is_apart_from_the_sequence(void **state)
{
    struct payload unmeasured = sample, got;
    uint8_t packet[40];

    (void)state;
    unmeasured.measured = false;
    payload_write(packet, sizeof(packet), &unmeasured);
    assert_int_equal(payload_read(packet, sizeof(packet), RECEIVER, &got), 0);
    assert_false(got.measured);
    assert_int_equal(got.sequence, sample.sequence);
}

static void another_length_is_seen(void **state)
{
    uint8_t packet[200];
    struct payload got;

    (void)state;
    payload_write(packet, 200, &sample);
    for (size_t size = 0; size < 200; size++)
        assert_int_equal(payload_read(packet, size, RECEIVER, &got), -EBADMSG);
}

static void moved_and_mixed_bytes_are_seen(void **state)
{
    struct payload next = sample;
    uint8_t packet[1400], other[1400];
    struct payload got;

    (void)state;
    next.sequence++;
    payload_write(packet, sizeof(packet), &sample);
    memmove(packet + 800, packet + 808, 400); /* lost a word */
    assert_int_equal(payload_read(packet, sizeof(packet), RECEIVER, &got), -EBADMSG);

    payload_write(packet, sizeof(packet), &sample);
    payload_write(other, sizeof(other), &next);
    for (size_t at = PAYLOAD_MIN_SIZE; at < sizeof(packet); at += 8)
        assert_memory_not_equal(packet + at, other + at, 8);
    memcpy(packet + 700, other + 700, 700); /* the end of the next packet */
    assert_int_equal(payload_read(packet, sizeof(packet), RECEIVER, &got), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_back),
        cmocka_unit_test(every_changed_bit_is_seen),
        cmocka_unit_test(another_receiver_is_seen),
        cmocka_unit_test(measured_is_apart_from_the_sequence),
        cmocka_unit_test(another_length_is_seen),
        cmocka_unit_test(moved_and_mixed_bytes_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
