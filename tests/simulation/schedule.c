/* SPDX-License-Identifier: BSD-3-Clause */
/* The scheduler, and what the library calls in place of the functions of libpthread and the clock.
 */
#include "schedule.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "choice.h"
#include "fiber.h"
#include "report.h"

#define MAX_THREADS 32

/* So often in a row may threads find that they cannot go on. */
#define MAX_BLOCKED 1000000

struct thread {
    struct fiber fiber;
    bool detached, joined;
    char name[16];
    /* Waits for events; NULL: it can go on. */
    bool (*ready)(void *of);
    int64_t (*next)(void *of);
    void *of;
    int64_t until;
};

static struct schedule_settings settings;
static struct thread threads[MAX_THREADS];
static unsigned thread_count;
static int64_t now;
static unsigned blocked;

void schedule_begin(const struct schedule_settings *given)
{
    settings = *given;
    now = SCHEDULE_BEGIN;
    thread_count = 0;
    blocked = 0;
}

static bool can_run(struct thread *thread)
{
    return !thread->fiber.done &&
           (!thread->ready || thread->until <= now || thread->ready(thread->of));
}

void schedule_end(void)
{
    /* Those that nobody waits for may still be about to end. */
    for (unsigned i = 0; i < MAX_BLOCKED && schedule_step(); i++)
        ;
    for (unsigned i = 0; i < thread_count; i++) {
        if (!threads[i].fiber.done)
            report_failure("%s has not ended", threads[i].name);
        fiber_end(&threads[i].fiber);
    }
}

int64_t schedule_now(void)
{
    return now;
}

void schedule_advance(int64_t until)
{
    if (until > now)
        now = until;
}

static struct thread *running(void)
{
    return (struct thread *)(void *)fiber_current();
}

_Static_assert(offsetof(struct thread, fiber) == 0, "a thread is its fiber");

const char *schedule_name(void)
{
    return running() ? running()->name : "world";
}

bool schedule_in_thread(void)
{
    return fiber_current() != NULL;
}

static void resume(struct thread *thread)
{
    now += chance_below(settings.step_ns + 1);
    thread->ready = NULL;
    fiber_resume(&thread->fiber);
}

bool schedule_step(void)
{
    struct thread *able[MAX_THREADS];
    unsigned count = 0;

    for (unsigned i = 0; i < thread_count; i++)
        if (can_run(&threads[i]))
            able[count++] = &threads[i];
    if (count == 0)
        return false;
    resume(able[count > 1 ? chance_below(count) : 0]);
    return true;
}

int64_t schedule_next(void)
{
    int64_t first = SCHEDULE_NEVER;

    for (unsigned i = 0; i < thread_count; i++) {
        struct thread *thread = &threads[i];
        if (thread->fiber.done)
            continue;
        if (!thread->ready)
            return now;
        int64_t next = thread->next(thread->of);
        next = next < thread->until ? next : thread->until;
        first = next < first ? next : first;
    }
    return first;
}

void schedule_wait(bool (*ready)(void *of), int64_t (*next)(void *of), void *of, int64_t until)
{
    struct thread *thread = running();

    blocked = 0;
    thread->ready = ready;
    thread->next = next;
    thread->of = of;
    thread->until = until;
    fiber_yield();
}

/* The world waits for threads: time goes on when they do nothing else. */
static void let_others_run(void)
{
    if (schedule_step())
        return;
    int64_t next = schedule_next();
    if (next == SCHEDULE_NEVER)
        report_failure("deadlock: the world waits, and no thread can go on");
    schedule_advance(next);
}

void schedule_point(void)
{
    if (!chance_one_in(settings.preempt_one_in))
        return;
    report_fault(FAULT_PREEMPTION);
    if (schedule_in_thread())
        fiber_yield();
    else
        (void)schedule_step();
}

void schedule_blocked(void)
{
    if (++blocked > MAX_BLOCKED)
        report_failure("deadlock: %s waits for ever", schedule_name());
    if (schedule_in_thread())
        fiber_yield();
    else
        let_others_run();
}

/* ---- What the library calls ------------------------------------------------------------------ */

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_nanosleep(const struct timespec *pause, struct timespec *rest);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_join(pthread_t which, void **result);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until);

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    if (clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, out);
    *out = (struct timespec){.tv_sec = now / 1000000000, .tv_nsec = now % 1000000000};
    return 0;
}

int __wrap_nanosleep(const struct timespec *pause, struct timespec *rest)
{
    (void)rest;
    now += pause->tv_sec * 1000000000 + pause->tv_nsec;
    schedule_blocked();
    return 0;
}

/* A place for a thread: that of one that has ended and nobody knows, or a new one. */
static struct thread *take_place(void)
{
    for (unsigned i = 0; i < thread_count; i++)
        if (threads[i].detached && threads[i].fiber.done) {
            fiber_end(&threads[i].fiber);
            return &threads[i];
        }
    if (thread_count == MAX_THREADS)
        report_failure("more threads than relays have");
    snprintf(threads[thread_count].name, sizeof(threads[0].name), "thread %u", thread_count);
    return &threads[thread_count++];
}

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    int state = PTHREAD_CREATE_JOINABLE;

    if (chance_one_in(settings.no_thread_one_in)) {
        report_fault(FAULT_NO_THREAD);
        return EAGAIN;
    }
    struct thread *thread = take_place();
    (void)pthread_attr_getdetachstate(attributes, &state);
    thread->detached = state == PTHREAD_CREATE_DETACHED;
    thread->ready = NULL;
    thread->joined = false;
    fiber_start(&thread->fiber, run, arg);
    *out = (pthread_t)(thread - threads + 1);
    return 0;
}

int __wrap_pthread_join(pthread_t which, void **result)
{
    struct thread *thread = &threads[which - 1];

    if (which == 0 || which > thread_count || thread->joined)
        report_failure("joins a thread that there is not");
    while (!thread->fiber.done)
        schedule_blocked();
    blocked = 0;
    thread->joined = true;
    if (result)
        *result = NULL;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    schedule_point();
    while (pthread_mutex_trylock(mutex) == EBUSY)
        schedule_blocked();
    return 0;
}

/* Wakes without a reason, as POSIX allows: whoever waits looks again at what it waits for. */
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    (void)condition;
    pthread_mutex_unlock(mutex);
    schedule_blocked();
    return __wrap_pthread_mutex_lock(mutex);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    int64_t end = (int64_t)until->tv_sec * 1000000000 + until->tv_nsec;

    if (now >= end)
        return ETIMEDOUT;
    return __wrap_pthread_cond_wait(condition, mutex);
}
