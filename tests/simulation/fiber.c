/* SPDX-License-Identifier: BSD-3-Clause */
/* ucontext, and what sanitizers have to be told of it. */
#include "fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "relay/within.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN
#endif
#endif

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_SIZE ((size_t)1 << 20)
#define GUARD_SIZE ((size_t)1 << 16)

static struct fiber *current;
static ucontext_t outside;

#ifdef FIBER_ASAN
static const void *outside_stack;
static size_t outside_size;
static void *outside_fake;
#endif
#ifdef FIBER_TSAN
static void *outside_tsan;
#endif

/* What is seen first on the other side of a switch. */
static void arrived_inside(struct fiber *fiber)
{
    (void)fiber;
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &outside_stack, &outside_size);
#endif
}

static void leave_fiber(struct fiber *fiber)
{
    (void)fiber;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(fiber->done ? NULL : &fiber->fake_stack, outside_stack,
                                   outside_size);
#endif
#ifdef FIBER_TSAN
    __tsan_switch_to_fiber(outside_tsan, 0);
#endif
}

static void main_of_fiber(void)
{
    struct fiber *fiber = current;

    arrived_inside(fiber);
    fiber->run(fiber->arg);
    fiber->done = true;
    leave_fiber(fiber);
    setcontext(&outside);
}

static void *map_stack(void)
{
    uint8_t *memory = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    if (memory == MAP_FAILED || mprotect(memory, GUARD_SIZE, PROT_NONE) != 0) {
        perror("simulation: a fiber's stack");
        abort();
    }
    return memory + GUARD_SIZE;
}

void fiber_start(struct fiber *fiber, void *(*run)(void *arg), void *arg)
{
    if (!fiber->stack)
        fiber->stack = map_stack();
    fiber->run = run;
    fiber->arg = arg;
    fiber->done = false;
    fiber->within = NULL;
    fiber->fake_stack = NULL;
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_SIZE;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, main_of_fiber, 0);
#ifdef FIBER_TSAN
    fiber->tsan = __tsan_create_fiber(0);
#endif
}

void fiber_resume(struct fiber *fiber)
{
    struct within *outside_within = within_exchange(fiber->within);

    current = fiber;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&outside_fake, fiber->stack, STACK_SIZE);
#endif
#ifdef FIBER_TSAN
    outside_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->tsan, 0);
#endif
    swapcontext(&outside, &fiber->context);
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(outside_fake, NULL, NULL);
#endif
    current = NULL;
    fiber->within = within_exchange(outside_within);
}

void fiber_yield(void)
{
    struct fiber *fiber = current;

    leave_fiber(fiber);
    swapcontext(&fiber->context, &outside);
    arrived_inside(fiber);
}

struct fiber *fiber_current(void)
{
    return current;
}

void fiber_end(struct fiber *fiber)
{
    (void)fiber;
#ifdef FIBER_TSAN
    if (fiber->tsan)
        __tsan_destroy_fiber(fiber->tsan);
    fiber->tsan = NULL;
#endif
}
