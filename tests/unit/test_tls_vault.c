/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls/vault.h"

#define MANY 2000 /* several regions */

static void objects_are_distinct_and_begin_as_zeros(void **state)
{
    (void)state;
    static const uint8_t zero[VAULT_OBJECT];
    static void *objects[MANY];
    struct vault vault;

    vault_init(&vault);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            objects[i] = vault_take(&vault);
            assert_non_null(objects[i]);
            assert_int_equal((uintptr_t)objects[i] % 16, 0);
            assert_memory_equal(objects[i], zero, VAULT_OBJECT);
            memset(objects[i], (int)i | 1, VAULT_OBJECT);
        }
        for (unsigned i = 0; i < MANY; i++) {
            const uint8_t *bytes = objects[i];
            assert_int_equal(bytes[0], (uint8_t)(i | 1));
            assert_int_equal(bytes[VAULT_OBJECT - 1], (uint8_t)(i | 1));
            vault_give(&vault, objects[i]);
            /* All but the link to the next free one is wiped. */
            assert_memory_equal(bytes + sizeof(void *), zero, VAULT_OBJECT - sizeof(void *));
        }
    }
    vault_give(&vault, NULL);
    vault_destroy(&vault);
}

/* The kernel's own word on the mapping that holds an address: "dd" among its flags. */
static bool is_kept_out_of_dumps(const void *address)
{
    char line[512];
    bool inside = false;
    FILE *maps = fopen("/proc/self/smaps", "r");

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= (uintptr_t)address && (uintptr_t)address < to;
        if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            fclose(maps);
            return strstr(line, " dd") != NULL;
        }
    }
    fclose(maps);
    fail_msg("no mapping holds the address");
    return false;
}

static void objects_are_not_dumped(void **state)
{
    (void)state;
    struct vault vault;
    void *plain = malloc(100);

    vault_init(&vault);
    void *object = vault_take(&vault);
    assert_true(is_kept_out_of_dumps(object));
    assert_false(is_kept_out_of_dumps(plain));
    vault_give(&vault, object);
    vault_destroy(&vault);
    free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_distinct_and_begin_as_zeros),
        cmocka_unit_test(objects_are_not_dumped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
