/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages to a worker: in order, none lost, and no one's after it has closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "relay/mailbox.h"

struct note {
    struct message message; /* first */
    unsigned poster, number;
};

static void in_order(void **state)
{
    struct mailbox mailbox;
    struct note notes[6] = {0};
    struct message *message;

    (void)state;
    mailbox_init(&mailbox);
    assert_null(mailbox_take(&mailbox));
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3; i++)
            assert_true(mailbox_post(&mailbox, &notes[round * 3 + i].message));
        message = mailbox_take(&mailbox);
        for (unsigned i = 0; i < 3; i++, message = message->next)
            assert_ptr_equal(message, &notes[round * 3 + i]);
        assert_null(message);
    }
    mailbox_destroy(&mailbox);
}

static void closes_only_when_empty(void **state)
{
    struct mailbox mailbox;
    struct message first, second;

    (void)state;
    mailbox_init(&mailbox);
    assert_true(mailbox_post(&mailbox, &first));
    assert_false(mailbox_close(&mailbox));
    assert_true(mailbox_post(&mailbox, &second));
    assert_ptr_equal(mailbox_take(&mailbox), &first);
    assert_true(mailbox_close(&mailbox));
    assert_false(mailbox_post(&mailbox, &first));
    assert_null(mailbox_take(&mailbox));
    assert_true(mailbox_close(&mailbox));
    assert_false(mailbox_post(&mailbox, &first));
    mailbox_destroy(&mailbox);
}

#define POSTERS 4
#define POSTS   20000

struct poster {
    struct mailbox *mailbox;
    unsigned number;
};

static void *post(void *arg)
{
    struct poster *poster = arg;

    for (unsigned i = 0; i < POSTS; i++) {
        struct note *note = malloc(sizeof(*note));

        *note = (struct note){.poster = poster->number, .number = i};
        if (!mailbox_post(poster->mailbox, &note->message))
            abort();
    }
    return NULL;
}

static void from_many_threads(void **state)
{
    struct poster posters[POSTERS];
    pthread_t thread[POSTERS];
    unsigned next[POSTERS] = {0}, count = 0;
    struct mailbox mailbox;

    (void)state;
    mailbox_init(&mailbox);
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){&mailbox, i};
        assert_int_equal(pthread_create(&thread[i], NULL, post, &posters[i]), 0);
    }
    while (count < POSTERS * POSTS) {
        struct message *message = mailbox_take(&mailbox);

        for (struct message *following; message; message = following) {
            struct note *note = (struct note *)message;

            following = message->next;
            assert_int_equal(note->number, next[note->poster]++);
            count++;
            free(note);
        }
    }
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(thread[i], NULL);
    assert_true(mailbox_close(&mailbox));
    mailbox_destroy(&mailbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(closes_only_when_empty),
        cmocka_unit_test(from_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
