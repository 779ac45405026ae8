/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs each test once in every cell of the matrix of engines, workers, and TLS or not, and knows
 * how patient the tests must be in this build. */
#ifndef TESTS_MATRIX_H
#define TESTS_MATRIX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hyperderp/hyperderp.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* How long anything may take that is not itself being measured. */
#define PATIENCE_MS (SANITIZED ? 60000 : 20000)

/* "Never waits a second": what a build without sanitizers must keep. */
#define A_SECOND_US (SANITIZED ? 5000000 : 1000000)

/* One place in the matrix; tests get it as *state. */
struct cell {
    hyperderp_engine engine;
    unsigned workers;
    bool tls; /* what the test's clients speak, see matrix_is_tls() */
};

enum cells {
    CELLS_ONE,           /* one worker, the first engine that is there */
    CELLS_ENGINES,       /* each engine, one worker */
    CELLS_ALL,           /* each engine, one worker and three */
    CELLS_TLS = 4,       /* added to one of those: over TLS as well */
    CELLS_TLS_ALONE = 8, /* over TLS alone */
};

struct matrix_test {
    const char *name;
    void (*run)(void **state);
    unsigned cells;
};

/* Whether the relays and clients of the running test speak TLS: process_start(), embedded_start()
 * and client_join() see to it. */
bool matrix_is_tls(void);

/* Runs the tests as a cmocka group and returns the exit status of the program. The environment's
 * RELAY_ENGINES may name the engines to use, RELAY_TESTS the tests to run; io_uring is skipped
 * where the kernel does not allow it. */
int matrix_run(const char *group, const struct matrix_test *tests, size_t count);

/* Microseconds of a clock that only goes forward. */
int64_t now_us(void);

#endif
