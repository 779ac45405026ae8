/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker that does not turn is noticed, and so is that it turns again. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "watchdog.h"

static sem_t entered, leave;

/* Holds up the worker that logs. */
static void block(void *user, hyperderp_log_level level, const char *line)
{
    (void)user, (void)level;
    if (!strstr(line, "client "))
        return;
    sem_post(&entered);
    sem_wait(&leave);
}

static void nap(void)
{
    const struct timespec moment = {.tv_nsec = 2000000};
    nanosleep(&moment, NULL);
}

static uint64_t turns_of(const hyperderp_relay *relay, unsigned worker)
{
    hyperderp_worker_info info = {.size = sizeof(info)};

    assert_int_equal(hyperderp_relay_worker(relay, worker, &info), 0);
    return info.loop_turns;
}

/* Looks until so many are stuck; each look is a second of the watchdog's time. */
static void look_until(struct watchdog *watchdog, int64_t *now, unsigned stuck)
{
    for (int i = 0; i < 4000; i++) {
        *now += 1000;
        if (watchdog_look(watchdog, *now) == stuck)
            return;
        nap();
    }
    fail_msg("never %u workers stuck", stuck);
}

static void a_stuck_worker_is_noticed(void **state)
{
    (void)state;
    hyperderp_relay_options options;
    hyperderp_listener_options listener;
    struct watchdog watchdog;
    hyperderp_relay *relay;
    char address[64];
    int64_t now = 1000;

    sem_init(&entered, 0, 0);
    sem_init(&leave, 0, 0);
    hyperderp_relay_options_init(&options);
    options.workers = 2;
    options.engine = HYPERDERP_ENGINE_EPOLL;
    options.log = block;
    options.log_level = HYPERDERP_LOG_DEBUG;
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), 0);
    assert_int_equal(hyperderp_relay_listener_address(relay, 0, address, sizeof(address)), 0);
    assert_int_equal(hyperderp_relay_start(relay), 0);
    assert_int_equal(watchdog_init(&watchdog, relay, 4000000), 0);
    assert_int_equal(watchdog.patience_ms, 2000);

    /* Idle workers turn when they are woken: nobody is stuck, however long it takes. */
    for (int i = 0; i < 5; i++) {
        uint64_t before[] = {turns_of(relay, 0), turns_of(relay, 1)};
        assert_int_equal(watchdog_look(&watchdog, now += 1000), 0);
        do
            nap();
        while (turns_of(relay, 0) == before[0] || turns_of(relay, 1) == before[1]);
    }

    /* A client that breaks the protocol is logged, and the log does not return. */
    char command[256];
    snprintf(command, sizeof(command), "exec 3<>/dev/tcp/127.0.0.1/%s; printf 'x\\r\\n\\r\\n' >&3",
             strrchr(address, ':') + 1);
    pid_t child = fork();
    if (child == 0) {
        execlp("bash", "bash", "-c", command, (char *)NULL);
        _exit(127);
    }
    sem_wait(&entered);
    look_until(&watchdog, &now, 1);
    sem_post(&leave);
    look_until(&watchdog, &now, 0);
    for (int i = 0; i < 8; i++)
        sem_post(&leave);
    hyperderp_relay_free(relay);
    watchdog_free(&watchdog);
    waitpid(child, NULL, 0);
    sem_destroy(&entered);
    sem_destroy(&leave);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_stuck_worker_is_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
