/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator's waiting: not before its time is over, events at once, and one timer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/eventfd.h>

#include "../../bench/wait.c"

#define ROOM     4
#define FAR_NS   (3600ull * NS_PER_SECOND)
#define SLEPT_NS (2ull * NS_PER_MS)

struct fixture {
    struct load_wait wait;
    int fd;
    struct epoll_event events[ROOM];
};

static void start(struct fixture *f)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = f};

    *f = (struct fixture){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    assert_true(f->fd >= 0);
    assert_int_equal(load_wait_init(&f->wait), 0);
    assert_int_equal(epoll_ctl(f->wait.epoll, EPOLL_CTL_ADD, f->fd, &event), 0);
}

static void end(struct fixture *f)
{
    close(f->fd);
    load_wait_free(&f->wait);
}

static void cause_event(const struct fixture *f)
{
    const uint64_t one = 1;

    assert_int_equal(write(f->fd, &one, sizeof(one)), sizeof(one));
}

static uint64_t idle_ns(struct fixture *f)
{
    return atomic_load(&f->wait.idle_ns);
}

/* Its own timer's event is nobody's; and it comes each time. */
static void sleeps_until_its_time(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t now_ns = clock_ns();

        assert_int_equal(load_wait(&f.wait, now_ns, now_ns + SLEPT_NS, f.events, ROOM), 0);
        assert_true(clock_ns() >= now_ns + SLEPT_NS);
    }
    assert_int_equal(idle_ns(&f), 0);
    end(&f);
}

static void an_event_ends_the_wait(void **state)
{
    struct fixture f;
    uint64_t now_ns;

    (void)state;
    start(&f);
    cause_event(&f);
    now_ns = clock_ns();
    assert_int_equal(load_wait(&f.wait, now_ns, now_ns + FAR_NS, f.events, ROOM), 1);
    assert_ptr_equal(f.events[0].data.ptr, &f);
    assert_int_equal(load_wait(&f.wait, now_ns, now_ns, f.events, ROOM), 1);
    assert_ptr_equal(f.events[0].data.ptr, &f);
    end(&f);
}

/* The timer's event and another's at once: the other stays. */
static void the_timer_is_taken_out(void **state)
{
    struct fixture f;
    struct epoll_event both[2] = {{.data.ptr = NULL}, {.data.ptr = &f}};

    (void)state;
    assert_int_equal(drop_timer(both, 2), 1);
    assert_ptr_equal(both[0].data.ptr, &f);
    assert_int_equal(drop_timer(both, 1), 1);
    both[0].data.ptr = NULL;
    assert_int_equal(drop_timer(both, 1), 0);
    assert_int_equal(drop_timer(both, 0), 0);
}

static void a_short_wait_does_not_sleep(void **state)
{
    struct fixture f;
    uint64_t now_ns, begun_ns = clock_ns(), counted;

    (void)state;
    start(&f);
    do { /* a look may be interrupted, but not each of them */
        now_ns = clock_ns();
        assert_int_equal(load_wait(&f.wait, now_ns, now_ns + LOAD_WAIT_SHORT_NS, f.events, ROOM),
                         0);
        assert_int_equal(f.wait.set_ns, 0);
    } while (idle_ns(&f) == 0);
    counted = idle_ns(&f);
    assert_true(counted <= clock_ns() - begun_ns);

    /* Nothing was waited for: that is no idle time. */
    assert_int_equal(load_wait(&f.wait, now_ns, now_ns, f.events, ROOM), 0);
    /* Nor is it when something came. */
    cause_event(&f);
    now_ns = clock_ns();
    assert_int_equal(load_wait(&f.wait, now_ns, now_ns + 1, f.events, ROOM), 1);
    assert_int_equal(idle_ns(&f), counted);
    end(&f);
}

static void an_interrupted_look_is_not_counted(void **state)
{
    struct fixture f;

    (void)state;
    start(&f);
    note_idle(&f.wait, LOAD_WAIT_SHORT_NS + 1);
    assert_int_equal(idle_ns(&f), 0);
    note_idle(&f.wait, LOAD_WAIT_SHORT_NS);
    assert_int_equal(idle_ns(&f), LOAD_WAIT_SHORT_NS);
    end(&f);
}

/* Set for the next packet, it stays so while others arrive; an earlier time sets it anew. */
static void the_timer_is_set_when_needed(void **state)
{
    struct fixture f;
    uint64_t now_ns = clock_ns();

    (void)state;
    start(&f);
    cause_event(&f);
    assert_int_equal(load_wait(&f.wait, now_ns, now_ns + FAR_NS, f.events, ROOM), 1);
    assert_int_equal(f.wait.set_ns, now_ns + FAR_NS);
    assert_int_equal(load_wait(&f.wait, now_ns + 1, now_ns + FAR_NS + 1, f.events, ROOM), 1);
    assert_int_equal(f.wait.set_ns, now_ns + FAR_NS);
    assert_int_equal(load_wait(&f.wait, now_ns, now_ns + FAR_NS - 1, f.events, ROOM), 1);
    assert_int_equal(f.wait.set_ns, now_ns + FAR_NS - 1);
    assert_int_equal(load_wait(&f.wait, now_ns + FAR_NS, now_ns + 2 * FAR_NS, f.events, ROOM), 1);
    assert_int_equal(f.wait.set_ns, now_ns + 2 * FAR_NS);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleeps_until_its_time),
        cmocka_unit_test(an_event_ends_the_wait),
        cmocka_unit_test(the_timer_is_taken_out),
        cmocka_unit_test(a_short_wait_does_not_sleep),
        cmocka_unit_test(an_interrupted_look_is_not_counted),
        cmocka_unit_test(the_timer_is_set_when_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
