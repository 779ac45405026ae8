/* SPDX-License-Identifier: BSD-3-Clause */
/* The matrix: cells, names of the cases, and cleaning up behind a case that failed. */
#include "matrix.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "relay_embedded.h"
#include "relay_process.h"

#define MAX_CASES 96
#define NAME_SIZE 96

static struct cell cells[] = {
    {HYPERDERP_ENGINE_IO_URING, 1, false}, {HYPERDERP_ENGINE_EPOLL, 1, false},
    {HYPERDERP_ENGINE_IO_URING, 3, false}, {HYPERDERP_ENGINE_EPOLL, 3, false},
    {HYPERDERP_ENGINE_IO_URING, 1, true},  {HYPERDERP_ENGINE_EPOLL, 1, true},
    {HYPERDERP_ENGINE_IO_URING, 3, true},  {HYPERDERP_ENGINE_EPOLL, 3, true}};

#define CELLS (sizeof(cells) / sizeof(cells[0]))

/* The cell of the running test. */
static const struct cell *current;

bool matrix_is_tls(void)
{
    return current && current->tls;
}

static int enter_cell(void **state)
{
    current = *state;
    return 0;
}

int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* What the engine needs of the kernel; asked of the kernel, as the relay itself is under test. 0 or
 * an errno. */
static int io_uring_error(void)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int fd = (int)syscall(__NR_io_uring_setup, 4, &params);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static bool is_wanted(hyperderp_engine engine)
{
    const char *wanted = getenv("RELAY_ENGINES");

    return wanted == NULL || *wanted == '\0' ||
           strstr(wanted, hyperderp_engine_name(engine)) != NULL;
}

/* Whether a test is one of those that the environment names, if it does. */
static bool is_named(const char *name)
{
    const char *wanted = getenv("RELAY_TESTS");

    return wanted == NULL || *wanted == '\0' || strstr(wanted, name) != NULL;
}

static void skip_io_uring(void **state)
{
    (void)state;
    print_message("io_uring is not usable here: %s\n", strerror(io_uring_error()));
    skip();
}

static int clean_up(void **state)
{
    (void)state;
    process_clean_up();
    embedded_clean_up();
    return 0;
}

static bool has_cell(const struct matrix_test *test, const struct cell *cell, bool first)
{
    const unsigned tls = CELLS_TLS | CELLS_TLS_ALONE;
    enum cells wanted = (enum cells)(test->cells & ~tls);

    if (cell->tls ? !(test->cells & tls) : (test->cells & CELLS_TLS_ALONE) != 0)
        return false;
    return wanted == CELLS_ALL || (cell->workers == 1 && wanted == CELLS_ENGINES) ||
           (wanted == CELLS_ONE && first);
}

int matrix_run(const char *group, const struct matrix_test *tests, size_t count)
{
    static struct CMUnitTest cases[MAX_CASES];
    static char names[MAX_CASES][NAME_SIZE];
    bool uring = io_uring_error() == 0;
    size_t used = 0;

    /* A daemon that is killed while it is written to must not take the test with it. */
    signal(SIGPIPE, SIG_IGN);
    for (size_t t = 0; t < count; t++) {
        bool first = true;
        for (size_t c = 0; c < CELLS; c++) {
            bool runs = uring || cells[c].engine != HYPERDERP_ENGINE_IO_URING;
            if (!is_wanted(cells[c].engine) || !is_named(tests[t].name) ||
                !has_cell(&tests[t], &cells[c], first && runs) || used == MAX_CASES)
                continue;
            first = first && !runs;
            snprintf(names[used], NAME_SIZE, "%s/%s/%u%s", tests[t].name,
                     hyperderp_engine_name(cells[c].engine), cells[c].workers,
                     cells[c].tls ? "/tls" : "");
            cases[used] = (struct CMUnitTest){.name = names[used],
                                              .test_func = runs ? tests[t].run : skip_io_uring,
                                              .setup_func = enter_cell,
                                              .teardown_func = clean_up,
                                              .initial_state = &cells[c]};
            used++;
        }
    }
    return _cmocka_run_group_tests(group, cases, used, NULL, NULL);
}
