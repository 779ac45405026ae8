/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each public function says when it is called as it should not be.
 * tests/unit/test_api_misuse.c runs it all, and fails for a function of the public headers that is
 * not here.
 *
 * A function has one MISUSE() in the file here that is named after its header: NULL for each
 * argument, numbers, sizes and enums out of range, and the wrong moment. Nothing may crash, wait
 * for ever, or be seen by a sanitizer.
 */
#ifndef TESTS_UNIT_MISUSE_MISUSE_H
#define TESTS_UNIT_MISUSE_MISUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include <hyperderp/hyperderp.h>

/* The text of the test for a function: MISUSE(hyperderp_key_parse) { assert_... } */
#define MISUSE(function)                                                                           \
    static void misuse_of_##function(void);                                                        \
    static void test_##function(void **state)                                                      \
    {                                                                                              \
        (void)state;                                                                               \
        misuse_of_##function();                                                                    \
    }                                                                                              \
    __attribute__((constructor)) static void add_##function(void)                                  \
    {                                                                                              \
        misuse_add(#function, test_##function);                                                    \
    }                                                                                              \
    static void misuse_of_##function(void)

void misuse_add(const char *function, void (*test)(void **state));

/* An enum's value that no header has. */
#define MISUSE_ENUM(type) ((type)12345)

/* What a call says in each moment of a relay's life. All relays have one worker, and from ready on
 * a listener in the clear, number 0. */
struct misuse_answers {
    int fresh;   /* just made */
    int ready;   /* with a listener */
    int running; /* to another thread than its workers */
    int drained;
    int stopped;
    int inside; /* running; from each callback: admit, peer_changed, log */
};

/* Not called in this moment, in which it is right. */
#define MISUSE_RIGHT INT32_MIN

/* Calls it in each of these moments; void functions return 0 here. */
void misuse_expect(int (*call)(hyperderp_relay *relay), struct misuse_answers answers);

/* The same for a function without a return value that may not be called from a callback: it must
 * have said so in the log, by its name, and the relay goes on. */
void misuse_expect_refusal(int (*call)(hyperderp_relay *relay), const char *function);

/* A relay in the second of these moments. */
hyperderp_relay *misuse_ready_relay(void);

#endif
