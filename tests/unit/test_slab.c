/* SPDX-License-Identifier: BSD-3-Clause */
/* Slots with generations: numbers are used again, but an old one finds nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "io/loop.h"
#include "relay/slab.h"

#define COUNT 1000

struct held {
    uint32_t slot, generation;
    bool in;
};

static void each_has_a_slot_of_its_own(void **state)
{
    static struct held held[COUNT];
    static bool taken[2 * COUNT];
    struct slab slab;

    (void)state;
    slab_init(&slab);
    assert_null(slab_find(&slab, 0, 0));
    assert_null(slab_find(&slab, UINT32_MAX, 0));
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(slab_add(&slab, &held[i], &held[i].slot, &held[i].generation), 0);
        assert_true(held[i].slot < slab.count && slab.count <= 2 * COUNT);
        assert_false(taken[held[i].slot]);
        taken[held[i].slot] = true;
    }
    for (unsigned i = 0; i < COUNT; i++)
        assert_ptr_equal(slab_find(&slab, held[i].slot, held[i].generation), &held[i]);
    assert_null(slab_find(&slab, slab.count, 0));
    slab_destroy(&slab);
}

static void an_old_number_finds_nobody(void **state)
{
    struct slab slab;
    int first, second;
    uint32_t slot, generation, next_slot, next_generation;

    (void)state;
    slab_init(&slab);
    assert_int_equal(slab_add(&slab, &first, &slot, &generation), 0);
    slab_remove(&slab, slot);
    assert_null(slab_find(&slab, slot, generation));
    assert_null(slab_find(&slab, slot, generation + 1));
    assert_int_equal(slab_add(&slab, &second, &next_slot, &next_generation), 0);
    assert_int_equal(next_slot, slot);
    assert_int_not_equal(next_generation, generation);
    assert_null(slab_find(&slab, slot, generation));
    assert_ptr_equal(slab_find(&slab, slot, next_generation), &second);
    slab_destroy(&slab);
}

/* The generation wraps where a token has no more bits for it. */
static void generations_wrap_as_tokens_do(void **state)
{
    struct slab slab;
    int object;
    uint32_t slot, generation;

    (void)state;
    slab_init(&slab);
    assert_int_equal(slab_add(&slab, &object, &slot, &generation), 0);
    slab.slots[slot].generation = IO_TOKEN_GENERATIONS - 1;
    io_token token = io_token_make(IO_OP_RECV, slot, IO_TOKEN_GENERATIONS - 1);
    assert_ptr_equal(slab_find(&slab, slot, io_token_generation(token)), &object);
    slab_remove(&slab, slot);
    assert_null(slab_find(&slab, slot, io_token_generation(token)));
    assert_int_equal(slab_add(&slab, &object, &slot, &generation), 0);
    assert_int_equal(generation, 0);
    assert_ptr_equal(slab_find(&slab, slot, 0), &object);
    assert_ptr_equal(slab_find(&slab, slot, IO_TOKEN_GENERATIONS), &object);
    slab_destroy(&slab);
}

static void tokens_read_back(void **state)
{
    (void)state;
    for (int op = IO_OP_ACCEPT; op <= IO_OP_INTERNAL; op++) {
        io_token token = io_token_make((enum io_op)op, 0xfffffffe, IO_TOKEN_GENERATIONS - 2);

        assert_int_equal(io_token_op(token), op);
        assert_int_equal(io_token_slot(token), 0xfffffffe);
        assert_int_equal(io_token_generation(token), IO_TOKEN_GENERATIONS - 2);
    }
}

static void random_adds_and_removes(void **state)
{
    static struct held held[COUNT];
    struct slab slab;

    (void)state;
    srandom(11);
    slab_init(&slab);
    for (unsigned step = 0; step < 100000; step++) {
        struct held *one = &held[random() % COUNT];

        if (one->in)
            slab_remove(&slab, one->slot);
        else
            assert_int_equal(slab_add(&slab, one, &one->slot, &one->generation), 0);
        one->in = !one->in;
        one = &held[random() % COUNT];
        void *found = slab_find(&slab, one->slot, one->generation);
        assert_ptr_equal(found == one ? found : NULL, one->in ? one : NULL);
    }
    assert_true(slab.count <= 2 * COUNT);
    slab_destroy(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_a_slot_of_its_own),
        cmocka_unit_test(an_old_number_finds_nobody),
        cmocka_unit_test(generations_wrap_as_tokens_do),
        cmocka_unit_test(tokens_read_back),
        cmocka_unit_test(random_adds_and_removes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
