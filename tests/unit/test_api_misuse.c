/* SPDX-License-Identifier: BSD-3-Clause */
/* Every public function, called as it should not be: an error, never undefined behaviour. The cases
 * are in tests/unit/misuse, a file for each public header. */
#include <string.h>

#include "misuse/misuse.h"

/* The functions of the public headers, which the Makefile collects. */
static const char *const public_functions[] = {
#include "public_functions.inc"
};

#define MOST 512

static struct CMUnitTest tests[MOST]; /* those of zeros are none */
static unsigned count;

void misuse_add(const char *function, void (*test)(void **state))
{
    tests[count++] = (struct CMUnitTest){.name = function, .test_func = test};
}

static void every_public_function_is_here(void **state)
{
    unsigned missing = 0;
    (void)state;

    assert_true(sizeof(public_functions) / sizeof(public_functions[0]) > 50);
    for (size_t f = 0; f < sizeof(public_functions) / sizeof(public_functions[0]); f++) {
        unsigned found = 0;
        for (unsigned i = 0; i < count; i++)
            found += strcmp(tests[i].name, public_functions[f]) == 0;
        if (found != 1)
            print_message("%s() needs one MISUSE() in tests/unit/misuse, and has %u\n",
                          public_functions[f], found);
        missing += found != 1;
    }
    assert_int_equal(missing, 0);
}

int main(void)
{
    misuse_add("every_public_function_is_here", every_public_function_is_here);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
